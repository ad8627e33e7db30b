"""Many jobs in one text: what is read, and every mistake with its place."""

from __future__ import annotations

import pytest

from engine import batch, jobs
from engine.errors import InvalidInput


def all_mistakes(text: str, form: str = "json") -> list[str]:
    found = batch.read(text, form)
    return [str(one) for one in (*found.mistakes, *batch.mistakes(found.jobs, 0))]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("", []),
        ('{"command": "a"}', [""]),
        ('{\n"command": "a"\n}', [""]),
        ('{"command": "a"}\n\n{"command": "b"}\r\n', ["line 1", "line 3"]),
        ('[{"command": "a"},\n {"command": "b"}]', ["job 1", "job 2"]),
        ('not json\n{"command": "b"}', ["line 2"]),
    ],
)
def test_json_is_an_object_an_array_or_an_object_a_line(text, places):
    assert [place for place, _ in batch.read(text).jobs] == places


@pytest.mark.parametrize(
    "text",
    [
        '{"command": "a"}],[{"command": "b"}\n{"command": "c"}',
        '{"command": "a"},{"command": "b"}\n{"command": "c"}',
        '{"command": "a"}\n{"command": "b\nc"}\n{}],[{}',
        '{"command": "a"}\n{"command": "b", "tags": [["x"\n"y"]]}\n{"command": "c"}],[{"command": "d"}',
        '{"command": "a"}\n{"command": "b", "env": {"A": [[1\n2]]}}\n{"command": "c"}],[{"command": "d"}',
        '{"command": "a"}\n{"command": "b"}]], "lines": [[{"command": "c"}',
        '{"command": "a"}\n[{"command": "b"}]',
    ],
)
def test_lines_that_are_objects_only_together_are_not_taken_for_any(text):
    """All lines are read at once, each as an array of its own."""
    assert all_mistakes(text)


def test_plain_lines_are_commands_without_the_empty_ones_and_the_remarks():
    found = batch.read('echo a\r\n\n  # a remark\n{"command": "x"}\n  echo b', "lines")
    assert found.jobs == [
        ("line 1", {"command": "echo a"}),
        ("line 4", {"command": '{"command": "x"}'}),
        ("line 5", {"command": "  echo b"}),
    ]


def test_every_mistake_is_told_with_its_line_and_field():
    text = '{"command": "a", "priority": 200, "cwd": "x"}\nnot json\n{"id": "i", "command": "b"}\n{"id": "i"}\n{"colour": 1}'
    told = all_mistakes(text)
    assert [sentence[:30] for sentence in told] == [
        "line 2: Not valid JSON: unexpe",
        "line 1: priority: must be from",
        "line 1: cwd: must be an absolu",
        "line 4: command is missing; sa",
        "line 5: command is missing; sa",
        "line 5: 'colour' is not a fiel",
    ]
    assert " at column 1." in told[0]


def test_an_id_given_twice_is_a_mistake():
    told = all_mistakes('{"id": "i", "command": "a"}\n{"id": "i", "command": "a"}')
    assert told == ["line 2: id i was given in line 1 already."]


def test_ids_that_are_taken_are_found(queue):
    for number in range(0, 1200, 400):
        jobs.enqueue({"command": "true", "id": f"i{number}"})
    found = batch.taken([(f"line {number}", {"command": "true", "id": f"i{number}"}) for number in range(1200)])
    assert [mistake.place for mistake in found] == ["line 0", "line 400", "line 800"]


@pytest.mark.parametrize(
    ("text", "form"), [("a\nb\nc", "lines"), ("[1, 2, 3]", "json"), ('{"command": "a"}\n' * 3, "json")]
)
def test_more_than_may_be_are_refused_at_once(text, form):
    with pytest.raises(InvalidInput, match="There are 3 jobs; at most 2"):
        batch.read(text, form, most=2)


@pytest.mark.parametrize("text", ["not json", "[1", '{"command": "a"', "[" * 5000, "5"])
def test_what_is_no_json_at_all_is_refused_in_one_sentence(text):
    with pytest.raises(InvalidInput, match=r"\.$"):
        batch.read(text)


def test_bytes_that_are_no_text_are_refused_with_their_place():
    with pytest.raises(InvalidInput, match=r"jobs\.txt is not UTF-8 at byte 5;"):
        batch.decode(b"echo \xff", "jobs.txt")
