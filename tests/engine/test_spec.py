"""What may be asked of a job: each field just inside and just outside its limits, and JSON that is none."""

from __future__ import annotations

import json
import re

import pytest

from engine import spec
from engine.errors import InvalidInput

NOW = 1_760_000_000_000
TEN_YEARS_S = 10 * spec.YEAR_S
DAY_MS = 86_400_000
MAX_BYTES_OF_ENV = "x" * (spec.ENV_BYTES - len('{"A": ""}'))


def parse(**fields):
    return spec.parse({"command": "true", **fields}, NOW)


# --- just inside: the field, what is given, the column, what is stored

INSIDE = [
    ("command", "x", "command", "x"),
    ("command", " spaces are kept ", "command", " spaces are kept "),
    ("command", "two\nlines\tand tabs", "command", "two\nlines\tand tabs"),
    ("command", "ü🎉\x01\x7f", "command", "ü🎉\x01\x7f"),
    ("command", "x" * 100_000, "command", "x" * 100_000),
    ("command", "ü" * 50_000, "command", "ü" * 50_000),
    ("id", "a", "id", "a"),
    ("id", "0", "id", "0"),
    ("id", "_", "id", "_"),
    ("id", "A.b_c:d@e+f-9", "id", "A.b_c:d@e+f-9"),
    ("id", "x" * 128, "id", "x" * 128),
    ("id", None, "id", None),
    ("queue", "a", "queue", "a"),
    ("queue", "mail.out_1-b", "queue", "mail.out_1-b"),
    ("queue", "x" * 64, "queue", "x" * 64),
    ("queue", None, "queue", None),
    ("priority", -100, "priority", -100),
    ("priority", 0, "priority", 0),
    ("priority", 100, "priority", 100),
    ("priority", 5.0, "priority", 5),
    ("priority", None, "priority", None),
    ("max_retries", 0, "max_retries", 0),
    ("max_retries", 1000, "max_retries", 1000),
    ("max_retries", 2.0, "max_retries", 2),
    ("max_retries", None, "max_retries", None),
    ("timeout_sec", 0, "timeout_ms", 0),
    ("timeout_sec", 0.0, "timeout_ms", 0),
    ("timeout_sec", 0.0001, "timeout_ms", 1),
    ("timeout_sec", 1.5, "timeout_ms", 1500),
    ("timeout_sec", spec.YEAR_S, "timeout_ms", spec.YEAR_S * 1000),
    ("timeout_sec", None, "timeout_ms", None),
    ("run_at", "2025-11-04T10:30:00Z", "next_run_at", 1_762_252_200_000),
    ("run_at", "2025-11-04T10:30:00.250Z", "next_run_at", 1_762_252_200_250),
    ("run_at", "2025-11-04T10:30:00+01:00", "next_run_at", 1_762_248_600_000),
    ("run_at", "2025-11-04 10:30+00:00", "next_run_at", 1_762_252_200_000),
    ("run_at", " 2025-11-04T10:30:00Z ", "next_run_at", 1_762_252_200_000),
    ("run_at", "1970-01-01T00:00:00Z", "next_run_at", 0),
    ("run_at", "9999-12-31T23:59:59Z", "next_run_at", 253_402_300_799_000),
    ("run_at", "2025-11-04 10:30z", "next_run_at", 1_762_252_200_000),
    ("run_at", "2025-11-04 11:30 Europe/Berlin", "next_run_at", 1_762_252_200_000),
    ("run_at", "2025-11-04  9:30 UTC", "next_run_at", 1_762_248_600_000),
    ("run_at", "+1w", "next_run_at", NOW + 7 * DAY_MS),
    ("run_at", "+1.5h", "next_run_at", NOW + 5_400_000),
    ("run_at", "+1h30m", "next_run_at", NOW + 5_400_000),
    ("timeout_sec", "1h", "timeout_ms", 3_600_000),
    ("timeout_sec", "1h30m", "timeout_ms", 5_400_000),
    ("timeout_sec", "250ms", "timeout_ms", 250),
    ("command", "test a = a\r\necho b\r\n", "command", "test a = a\necho b\n"),
    ("run_at", "+0s", "next_run_at", NOW),
    ("run_at", "+90s", "next_run_at", NOW + 90_000),
    ("run_at", "+10m", "next_run_at", NOW + 600_000),
    ("run_at", "+2h", "next_run_at", NOW + 7_200_000),
    ("run_at", "+1d", "next_run_at", NOW + DAY_MS),
    ("run_at", "+3650d", "next_run_at", NOW + 3650 * DAY_MS),
    ("run_at", f"+{TEN_YEARS_S}s", "next_run_at", NOW + TEN_YEARS_S * 1000),
    ("run_at", None, "next_run_at", None),
    ("cwd", "/", "cwd", "/"),
    ("cwd", "/a b/ü", "cwd", "/a b/ü"),
    ("cwd", "/" + "x" * 4095, "cwd", "/" + "x" * 4095),
    ("cwd", None, "cwd", None),
    ("env", {}, "env", "{}"),
    ("env", {"A": ""}, "env", '{"A": ""}'),
    ("env", {"_x9": "ü\n"}, "env", '{"_x9": "ü\\n"}'),
    ("env", {"QUEUECTL": "mine"}, "env", '{"QUEUECTL": "mine"}'),
    ("env", {"A": MAX_BYTES_OF_ENV}, "env", json.dumps({"A": MAX_BYTES_OF_ENV})),
    ("env", None, "env", None),
    ("tags", [], "tags", "[]"),
    ("tags", ["x"], "tags", '["x"]'),
    ("tags", ["b", "a", "b"], "tags", '["b", "a"]'),
    ("tags", ["x" * 64], "tags", json.dumps(["x" * 64])),
    ("tags", ["ü", "a.b/c"], "tags", '["ü", "a.b/c"]'),
    ("tags", [str(n) for n in range(20)], "tags", json.dumps([str(n) for n in range(20)])),
    ("tags", None, "tags", None),
]


def _name(case) -> str:
    return f"{case[0]}={str(case[1])[:24]!a}"


@pytest.mark.parametrize(("field", "value", "column", "stored"), INSIDE, ids=map(_name, INSIDE))
def test_a_value_just_inside_its_limits_is_taken(field, value, column, stored):
    assert parse(**{field: value}).get(column) == stored


# --- just outside: the field, what is given, a part of the sentence

NOT_TEXT = [5, 1.5, True, [], ["x"], {}, {"a": 1}]
OUTSIDE = [
    ("command", "", "is empty"),
    ("command", " \t\n ", "is empty"),
    ("command", "x" * 100_001, "is 100,001 bytes; at most 100,000"),
    ("command", "ü" * 50_000 + "x", "is 100,001 bytes"),
    ("command", "a\0b", "NUL byte"),
    ("command", "\ud800", "surrogate"),
    *(("command", value, "must be text, not") for value in NOT_TEXT),
    ("id", "", "1 to 128"),
    ("id", "x" * 129, "1 to 128"),
    *(
        ("id", value, "1 to 128")
        for value in ("-a", ".a", ":a", "a b", "a/b", "a\n", "ü", "٣", "a'b", "a;b", "a%", "../x")
    ),
    ("id", "a\0", "NUL byte"),
    ("id", "\udcff", "is not UTF-8"),
    *(("id", value, "must be text, not") for value in NOT_TEXT),
    ("queue", "", "1 to 64"),
    ("queue", "x" * 65, "1 to 64"),
    *(("queue", value, "1 to 64") for value in ("-a", ".a", "a b", "a:b", "a/b", "a\n", "ü")),
    *(("queue", value, "must be text, not") for value in NOT_TEXT),
    ("priority", -101, "from -100 to 100"),
    ("priority", 101, "from -100 to 100"),
    ("priority", 10**400, "from -100 to 100"),
    *(("priority", value, "whole number from -100 to 100") for value in (0.5, float("inf"), "5", True, [], {})),
    ("priority", 1e300, "from -100 to 100"),
    ("max_retries", -1, "from 0 to 1000"),
    ("max_retries", 1001, "from 0 to 1000"),
    ("max_retries", 10**400, "from 0 to 1000"),
    *(("max_retries", value, "whole number from 0 to 1000") for value in (0.5, "3", False, [], {})),
    ("timeout_sec", -1, "from 0 (no timeout) to 31536000"),
    ("timeout_sec", -0.001, "from 0"),
    ("timeout_sec", spec.YEAR_S + 0.001, "from 0"),
    ("timeout_sec", float("inf"), "from 0"),
    ("timeout_sec", float("nan"), "from 0"),
    ("timeout_sec", 10**400, "from 0"),
    ("timeout_sec", -(10**400), "from 0"),
    *(("timeout_sec", value, "must be a number of seconds") for value in ("5", "1y", "h", "-1h", "", True, [], {})),
    ("run_at", "", 'use "2025-11-04T10:30:00Z"'),
    *(("run_at", v, "use ") for v in ("now", "+5", "-5m", "+ 5m", "+1y", "+1.5", "5m", "1762252200", "+9999999999s")),
    ("run_at", "2025-13-01T00:00:00Z", "2025-13-01 is no date: months go from 01 to 12"),
    ("run_at", "2025-02-30T00:00:00Z", "2025-02-30 is no date: that month has 28 days"),
    ("run_at", "2025-02-30 09:00 Europe/Berlin", "2025-02-30 is no date: that month has 28 days"),
    ("run_at", "2025-11-04T25:00:00Z", "25:00:00 is no time of day"),
    ("run_at", "tomorrow 9:60", "9:60 is no time of day"),
    ("run_at", "0000-01-01T00:00:00Z", "0000-01-01 is no date"),
    ("run_at", "2025-11-04T10:30:00+25:00", "+25:00 is no offset from UTC"),
    ("run_at", "tomorrow", 'has no time; write "tomorrow 09:00"'),
    ("run_at", "2025-11-04T10:30:00", "has no time zone"),
    ("run_at", "2025-11-04", "has no time zone"),
    ("run_at", f"+{TEN_YEARS_S + 1}s", "more than ten years"),
    ("run_at", "+999999999d", "more than ten years"),
    ("run_at", "1969-12-31T23:59:59.999Z", "between the years 1970 and 9999"),
    ("run_at", "1970-01-01T00:00:00+00:01", "between the years 1970 and 9999"),
    ("run_at", "0001-01-01T00:00:00+23:59", "between the years 1970 and 9999"),
    ("run_at", "9999-12-31T23:59:59-23:59", "between the years 1970 and 9999"),
    *(("run_at", value, "must be text, not") for value in NOT_TEXT),
    ("cwd", "", "absolute path"),
    *(("cwd", value, "absolute path") for value in ("a", "./a", "~", " /a", "/" + "x" * 4096, "/" + "ü" * 2048)),
    ("cwd", "/a\0", "NUL byte"),
    *(("cwd", value, "must be text, not") for value in NOT_TEXT),
    *(("env", value, "must be an object") for value in ("A=b", 5, True, [], [["A", "b"]])),
    *(("env", {name: "x"}, "is not a name") for name in ("", "1A", "A B", "A=B", "A-B", "ü", "A\n")),
    ("env", {"QUEUECTL_DB": "x"}, "is set by QueueCTL"),
    ("env", {"QUEUECTL_": "x"}, "is set by QueueCTL"),
    *(("env", {"A": value}, "A must be text, not") for value in (5, None, True, [], {})),
    ("env", {"A": "a\0"}, "A contains a NUL byte"),
    ("env", {"A\0": "a"}, "NUL byte"),
    ("env", {"A": "\ud800"}, "surrogate"),
    ("env", {"A": MAX_BYTES_OF_ENV + "x"}, "more than 64,000 bytes"),
    *(("tags", value, "must be a list") for value in ("a", 5, True, {})),
    ("tags", [str(n) for n in range(21)], "more than 20"),
    *(
        ("tags", [tag], "each tag has 1 to 64")
        for tag in ("", "a b", "a,b", "a\tb", "a\n", "x" * 65, "\x7f", "\x01", "\u00a0")
    ),
    *(("tags", [tag], "must be text") for tag in (5, None, True, [], {})),
    ("tags", ["\ud800"], "surrogate"),
]


@pytest.mark.parametrize(("field", "value", "says"), OUTSIDE, ids=map(_name, OUTSIDE))
def test_a_value_just_outside_its_limits_is_refused_by_name(field, value, says):
    with pytest.raises(InvalidInput) as caught:
        parse(**{field: value})
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert says in str(caught.value)


def test_the_time_zone_that_is_suggested_is_one_that_is_taken():
    with pytest.raises(InvalidInput) as caught:
        parse(run_at="2025-11-04")
    suggested = str(caught.value).split('"')[1]
    assert parse(run_at=suggested)["next_run_at"] == 1_762_214_400_000


@pytest.mark.parametrize("given", [0.5, -1.5, 1e-300])
def test_a_fraction_is_not_called_no_number(given):
    with pytest.raises(InvalidInput) as caught:
        parse(priority=given)
    assert "not a number" not in str(caught.value)


@pytest.mark.parametrize("payload", [{}, {"command": None}, {"id": "a"}])
def test_a_job_without_a_command_is_refused(payload):
    with pytest.raises(InvalidInput, match=r"^command is missing; say what to run") as caught:
        spec.parse(payload, NOW)
    assert caught.value.field == "command"


@pytest.mark.parametrize(
    "name", ["cmd", "", "Command", " command", "x" * 5000, "\ud800", "a\0b", "команда"], ids=range(8)
)
def test_an_unknown_field_is_refused_and_the_known_ones_are_named(name):
    with pytest.raises(InvalidInput) as caught:
        parse(**{name: 1})
    assert all(known in str(caught.value) for known in spec.FIELDS)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["state", "attempts", "created_at", "updated_at", "next_run_at", "run", "crashes"])
def test_a_field_that_is_the_queues_own_is_refused(name):
    with pytest.raises(InvalidInput, match=f"^{name} is set by the queue; leave it out\\.$"):
        parse(**{name: 1})


def test_every_field_is_explained():
    assert all(field.help and name == field.name for name, field in spec.FIELDS.items())


# --- JSON


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "unexpected end of the text at line 1, column 1"),
        ("{", "unexpected end of the text at line 1, column 2"),
        ("nope", "unexpected 'n' at line 1, column 1"),
        ("{'command': 'x'}", 'unexpected "\'" at line 1, column 2'),
        ('{"command": "x",}', "unexpected '}' at line 1, column 17"),
        ('{"command": "x",\n}', "unexpected '}' at line 2, column 1"),
        ('{"command": ,}', "unexpected '}' at line 1, column 14"),
        ('{"command": "x"\n "id": "a"}', "unexpected '\"' at line 2, column 2"),
        ('{\n\n  "command": x}', "unexpected 'x' at line 3, column 14"),
        ('{"command": "x"} {}', "unexpected '{' at line 1, column 18"),
        ('{"command": "a\nb"}', "unexpected '\\n' at line 1, column 15"),
        ('{"command": "echo}', "a string without its closing quote at line 1, column 13"),
        ('\ufeff{"command": "x"}', "unexpected '\\ufeff' at line 1, column 1"),
    ],
)
def test_invalid_json_is_refused_by_its_place_in_the_same_words_on_every_python(text, says):
    with pytest.raises(InvalidInput, match=f"^Not valid JSON: {re.escape(says)}\\."):
        spec.parse_json(text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[]", "a list"),
        ('"x"', "text"),
        ("5", "a number"),
        ("true", "true or false"),
        ("null", "null"),
        ("1.5", "a fraction"),
    ],
)
def test_json_that_is_no_object_is_refused_by_its_kind(text, kind):
    with pytest.raises(InvalidInput, match=f"^A job is a JSON object, .*, not {kind}\\.$"):
        spec.parse_json(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"command": "a", "command": "b"}', "'command' is given twice"),
        ('{"command": "a", "env": {"A": "1", "A": "2"}}', "'A' is given twice"),
        ('{"priority": NaN}', "NaN is not a number"),
        ('{"priority": -Infinity}', "-Infinity is not a number"),
        ('{"priority": ' + "9" * 5000 + "}", "Not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (b'{"command": "\xff"}', "Not valid UTF-8 at byte 13"),
        (b"\xff\xfe\xfa", "Not valid"),
    ],
    ids=range(9),
)
def test_other_broken_json_is_refused_with_a_sentence(text, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        spec.parse_json(text)
    assert len(str(caught.value)) < 300


def test_json_is_read_from_bytes():
    assert spec.parse_json('{"command": "ü"}'.encode()) == {"command": "ü"}


def test_a_huge_object_with_one_name_twice_is_refused_in_one_pass():
    """Counted by comparisons of names, not by the clock."""
    compared = 0

    class Name(str):
        __hash__ = str.__hash__

        def __eq__(self, other):
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    names = [Name(n) for n in range(2000)] + [Name("1999")]
    with pytest.raises(InvalidInput, match="'1999' is given twice"):
        spec._no_twins([(name, 1) for name in names])
    assert compared < 20_000
