"""Whatever is typed at the door: it is stored exactly as given, or refused with one sentence and nothing is stored."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import models
from engine import jobs, queries, spec
from engine.errors import QueueError

everything = settings(
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
    ],
)
ODD = [
    "",
    "\0",
    "\ud800",
    "\udcff",
    "\x7f",
    "\u2028",
    "ü",
    "🎉",
    "x" * 200,
    "x" * 100_001,
    "'; DROP TABLE job; --",
    "%",
    "\\",
]
text = st.one_of(
    st.text(st.characters(), max_size=20), st.sampled_from(ODD), st.sampled_from(["echo hi", "/tmp", "+5m", "a1"])
)
numbers = st.one_of(
    st.integers(), st.integers(-101, 101), st.floats(), st.sampled_from([0, 1, -1, 2**63, 10**400, 1e308, -0.0])
)
scalars = st.one_of(st.none(), st.booleans(), numbers, text)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4)),
    max_leaves=8,
)
plausible = st.fixed_dictionaries(
    {"command": st.one_of(st.just("true"), text)},
    optional={
        "id": st.one_of(st.text("abc.:-_ ", max_size=6), text),
        "queue": st.one_of(st.text("abc.-_", max_size=4), text),
        "priority": numbers,
        "max_retries": st.one_of(st.integers(0, 1001), numbers),
        "timeout_sec": numbers,
        "run_at": st.one_of(st.datetimes().map(lambda at: at.isoformat() + "Z"), text),
        "cwd": text.map(lambda name: f"/{name}"),
        "env": st.dictionaries(st.one_of(st.text("AB_9", max_size=3), text), st.one_of(text, scalars), max_size=3),
        "tags": st.lists(st.one_of(st.text("abc", max_size=3), text), max_size=3),
    },
)
payloads = st.one_of(
    plausible,
    plausible.flatmap(
        lambda payload: st.dictionaries(st.sampled_from([*spec.FIELDS, "state", "x"]), values).map(payload.__or__)
    ),
    st.dictionaries(st.one_of(st.sampled_from(list(spec.FIELDS)), text), values, max_size=4),
    values,
)
written = st.one_of(
    payloads.map(json.dumps),
    payloads.map(lambda value: json.dumps(value, ensure_ascii=False)),
    payloads.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.tuples(payloads.map(json.dumps), st.integers(0, 80), text).map(
        lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]
    ),
    st.binary(max_size=40),
    text,
)


def _count() -> int:
    return models.db.execute_sql("SELECT count(*) FROM job").fetchone()[0]


def _is_stored(document) -> bool:
    """Whether it was stored, exactly as given; otherwise it was refused with one sentence and nothing was stored."""
    before = _count()
    try:
        job_id = jobs.enqueue(spec.parse_json(document))
    except QueueError as error:
        sentence = str(error)
        assert sentence.endswith(".")
        assert len(sentence) < 1000
        assert sentence.isprintable()
        assert _count() == before
        return False
    assert _count() == before + 1
    _is_stored_as_given(job_id, json.loads(document))
    return True


def _is_stored_as_given(job_id: str, payload: dict) -> None:
    shown = queries.as_json(queries.find(job_id))
    assert shown["state"] == "pending"
    for name, value in payload.items():
        if name == "tags":
            value = list(dict.fromkeys(value or []))
        elif name == "env":
            value = value or {}
        elif name in ("run_at", "timeout_sec") or value is None:
            continue
        assert shown[name] == value


@settings(everything, max_examples=400)
@given(document=written)
def test_any_document_is_stored_as_given_or_refused_with_a_sentence(queue, document):
    _is_stored(document)


@settings(everything, max_examples=150)
@given(batch=st.lists(plausible, max_size=4))
def test_a_batch_is_stored_whole_or_not_at_all(queue, batch):
    before = _count()
    try:
        stored = jobs.enqueue_many(batch)
    except QueueError:
        stored = []
    assert _count() == before + len(stored)
    assert len(stored) in (0, len(batch))


# --- ten thousand more, made by a plain seeded generator: hypothesis takes ten times as long to invent one

SANE = {
    "command": ["true", "echo hi", "printf '%s\\n' \"$A\"", "ü"],
    "queue": ["default", "mail", "a.b-c_d", None],
    "priority": [0, 100, -100, 7.0, None],
    "max_retries": [0, 3, 1000, None],
    "timeout_sec": [0, 0.5, 3600, None],
    "run_at": ["+5m", "2025-11-04T10:30:00Z", "2030-01-01 00:00+02:00", None],
    "cwd": ["/", "/srv/app", None],
    "env": [{}, {"A": "b", "C_1": "ü\n"}, None],
    "tags": [[], ["x"], ["nightly", "a/b"], None],
}
ALPHABET = "aZ09 ._:-+/,%\\'\"{}[]\n\t\0\x01\x7f\x85ü🎉\u2028\ud800\udcff\ufeff"
NUMBERS = [
    -1,
    1,
    101,
    -101,
    1001,
    2**31,
    2**63,
    -(2**63) - 1,
    10**400,
    1e308,
    5e-324,
    -0.0,
    0.1,
    float("inf"),
    float("nan"),
]


def _random_text(rng: random.Random) -> str:
    if rng.random() < 0.2:
        return rng.choice(ODD)
    return "".join(rng.choice(ALPHABET) for _ in range(rng.randrange(12)))


def _random_value(rng: random.Random, depth: int = 0):
    kind = rng.randrange(5 if depth > 2 else 7)
    if kind < 2:
        return _random_text(rng)
    if kind < 4:
        return rng.choice(NUMBERS)
    if kind == 4:
        return rng.choice([None, True, False, rng.randrange(-150, 1500), rng.uniform(-2, 200)])
    inner = [_random_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return inner if kind == 5 else {_random_text(rng): value for value in inner}


def _random_document(rng: random.Random) -> str | bytes:
    payload = {name: rng.choice(choices) for name, choices in SANE.items() if name == "command" or rng.random() < 0.3}
    payload["id"] = rng.choice([None, f"job:{rng.randrange(10**9)}"])
    for _ in range(rng.randrange(3)):
        payload[rng.choice(list(spec.FIELDS))] = _random_value(rng)
    if rng.random() < 0.05:
        payload[_random_text(rng)] = _random_value(rng)
    document = json.dumps(payload, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.1:
        at = rng.randrange(len(document))
        document = document[:at] + rng.choice(["", _random_text(rng)]) + document[at + rng.randrange(5) :]
    return document.encode("utf-8", "surrogatepass") if rng.random() < 0.3 else document


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_random_documents_are_stored_as_given_or_refused(queue, seed):
    rng = random.Random(seed)
    stored = sum(_is_stored(_random_document(rng)) for _ in range(1000))
    assert 100 < stored < 900, "the generator makes both kinds"
