"""Every setting: default, limits, wrong types, dashes, and the way back to the default."""

from __future__ import annotations

import pytest

import models
from engine import config
from engine.config import KEYS
from engine.errors import InvalidInput, NotFound, Refused
from models import Config

NUMBERS = [key for key in KEYS.values() if not isinstance(key.kind, tuple)]
WHOLE = [key for key in NUMBERS if key.kind is int]
FRACTIONS = [key for key in NUMBERS if key.kind is float]
WORDS = [key for key in KEYS.values() if isinstance(key.kind, tuple)]


def of(keys):
    return pytest.mark.parametrize("key", keys, ids=[key.name for key in keys])


DEFAULTS = {
    "max_retries_default": 3,
    "backoff_base": 2,
    "max_backoff_sec": 21_600,
    "backoff_jitter": 0,
    "job_timeout_sec": 0,
    "kill_grace_sec": 10,
    "max_crashes": 3,
    "output_limit_kb": 256,
    "durability": "normal",
    "retention_completed_days": 7,
    "retention_cancelled_days": 30,
    "retention_dead_days": 0,
    "retention_output_days": 0,
    "trash_minutes": 60,
    "retention_workers_days": 30,
}


def test_the_defaults_are_those_that_are_documented(queue):
    assert config.get_all() == DEFAULTS


@of(KEYS.values())
def test_a_key_that_was_never_set_has_its_default(queue, key):
    assert config.get(key.name) == key.default


@of(KEYS.values())
def test_a_default_is_within_its_own_limits(queue, key):
    assert config.set(key.name, key.default) == key.default


@of(KEYS.values())
def test_every_key_says_what_it_means_and_when_it_applies(queue, key):
    assert key.help.endswith(".") or key.help.endswith("slower.")
    assert key.applies


@of(NUMBERS)
@pytest.mark.parametrize("edge", ["low", "high"])
def test_a_number_at_its_limit_is_stored(queue, key, edge):
    limit = getattr(key, edge)
    assert config.set(key.name, limit) == limit == config.get(key.name)


@of(NUMBERS)
@pytest.mark.parametrize("step", [-1, 1], ids=["below", "above"])
def test_a_number_just_outside_its_limits_is_refused(queue, key, step):
    outside = key.low - 1 if step < 0 else key.high + 1
    with pytest.raises(InvalidInput, match=f"^{key.name} must be a (whole )?number from .* to .*\\.$") as caught:
        config.set(key.name, outside)
    assert caught.value.field == key.name


@of(NUMBERS)
def test_the_refusal_names_both_limits(queue, key):
    with pytest.raises(InvalidInput) as caught:
        config.set(key.name, key.high + 1)
    assert f"from {key.low:g} to {int(key.high)}." in str(caught.value)


@of(FRACTIONS)
def test_a_fraction_just_outside_its_limits_is_refused(queue, key):
    for outside in (key.low - 0.001, key.high + 0.001):
        with pytest.raises(InvalidInput):
            config.set(key.name, outside)


@of(FRACTIONS)
def test_a_fraction_is_stored_where_one_makes_sense(queue, key):
    middle = key.low + (key.high - key.low) / 3
    assert config.set(key.name, str(middle)) == config.get(key.name) == middle


@of(WHOLE)
@pytest.mark.parametrize("given", ["{}.5", "{}.0000001"])
def test_a_fraction_is_refused_where_none_makes_sense(queue, key, given):
    with pytest.raises(InvalidInput, match="whole number"):
        config.set(key.name, given.format(int(key.low)))


@of(NUMBERS)
@pytest.mark.parametrize("given", ["{}", " {} ", "{}\n", "{}.0", "+{}"])
def test_a_number_may_be_given_as_text(queue, key, given):
    number = int(key.low) + 1
    if number <= key.high:
        assert config.set(key.name, given.format(number)) == number


@of(NUMBERS)
def test_a_whole_number_is_kept_whole(queue, key):
    assert isinstance(config.set(key.name, float(key.low)), int)


NOT_NUMBERS = [
    *("", " ", "x", "three", "1_0", "0x10", "1,5", "1 0", "--5", "٣", "½", "5\0", "\udcff", "9" * 5000),
    *("nan", "inf", "-inf", "infinity", "1e999", float("nan"), float("inf"), 10**400, 10**5000),
    *(True, False, None, [], [5], {}, {"a": 1}, object()),
]


@of(NUMBERS)
@pytest.mark.parametrize("given", NOT_NUMBERS, ids=range(len(NOT_NUMBERS)))
def test_what_is_not_a_number_is_refused_with_a_sentence(queue, key, given):
    with pytest.raises(InvalidInput, match=f"^{key.name} must be a "):
        config.set(key.name, given)


@of(WORDS)
def test_each_of_the_words_is_stored(queue, key):
    for word in key.kind:
        assert config.set(key.name, word) == config.get(key.name) == word


@of(WORDS)
@pytest.mark.parametrize("given", ["", "Normal", " full", "none", 0, 1, None, True, [], ["full"], {}, "\udcff"])
def test_another_word_is_refused_with_the_choices(queue, key, given):
    with pytest.raises(InvalidInput, match=f"^{key.name} must be {' or '.join(key.kind)}\\.$"):
        config.set(key.name, given)


@of(KEYS.values())
def test_a_refused_value_changes_nothing(queue, key):
    before = config.get_all()
    with pytest.raises(InvalidInput):
        config.set(key.name, "no such value")
    assert config.get_all() == before
    assert Config.select().count() == 0


@of(KEYS.values())
def test_dashes_in_a_name_are_as_good_as_underscores(queue, key):
    dashed = key.name.replace("_", "-")
    config.set(dashed, key.default)
    assert config.get(dashed) == key.default
    assert [row.key for row in Config.select()] == [key.name]


@pytest.mark.parametrize(
    "name", ["", "nope", "BACKOFF_BASE", "backoff base", "x" * 5000, "\udcff", "a\0b"], ids=range(7)
)
@pytest.mark.parametrize(
    "verb", [config.get, config.reset, lambda name: config.set(name, 1)], ids=["get", "reset", "set"]
)
def test_an_unknown_key_is_not_found_and_the_known_ones_are_named(queue, verb, name):
    with pytest.raises(NotFound) as caught:
        verb(name)
    assert str(caught.value).startswith("There is no setting ")
    assert all(known in str(caught.value) for known in KEYS)
    assert len(str(caught.value)) < 600


@of(KEYS.values())
def test_a_reset_key_has_its_default_again(queue, key):
    config.set(key.name, key.kind[-1] if key in WORDS else key.high)
    assert config.reset(key.name) == key.default == config.get(key.name)


def test_resetting_a_key_that_was_never_set_is_no_error(queue):
    assert config.reset("backoff_base") == 2


def test_the_last_value_set_is_the_one_that_counts(queue):
    config.set("backoff_base", 3)
    config.set("backoff_base", 4)
    assert config.get("backoff_base") == 4
    assert Config.select().count() == 1


def test_setting_one_key_leaves_the_others(queue):
    config.set("backoff_base", 3)
    assert config.get_all() == DEFAULTS | {"backoff_base": 3}


def test_all_keys_come_in_the_order_of_the_documentation(queue):
    config.set("max_crashes", 5)
    config.set("backoff_base", 5)
    assert list(config.get_all()) == list(KEYS)


def test_settings_survive_reopening(queue):
    config.set("backoff_base", 1.5)
    config.set("durability", "full")
    models.disconnect()
    models.connect(str(queue.path))
    assert (config.get("backoff_base"), config.get("durability")) == (1.5, "full")


def test_the_last_change_of_each_key_is_known(queue, clock):
    config.set("backoff_base", 9)
    config.set("backoff_base", 3, actor="ana")
    clock.forward(5)
    config.set("max_crashes", 4)
    last = config.last_changes()
    assert {key: (row.after, row.actor, row.at) for key, row in last.items()} == {
        "backoff_base": ("3", "ana", clock.now - 5000),
        "max_crashes": ("4", "somebody", clock.now),
    }


def test_a_key_of_a_later_version_is_ignored(queue):
    """As is left behind by a downgrade."""
    Config.insert(key="from_the_future", value='"x"', updated_at=0).execute()
    assert config.get_all() == DEFAULTS


# --- who changed what


def _changes(name: str | None = None) -> list[tuple]:
    return [(row.key, row.before, row.after, row.actor) for row in config.history(name)]


def test_every_change_is_remembered_with_who_made_it(queue, clock):
    config.set("backoff_base", 3, actor="panel")
    clock.forward(1)
    config.set("max_crashes", 5)
    config.reset("backoff-base", actor="cli:ann")
    assert _changes() == [
        ("backoff_base", "3", None, "cli:ann"),
        ("max_crashes", None, "5", "somebody"),
        ("backoff_base", None, "3", "panel"),
    ]
    assert [row.at for row in config.history("backoff_base")] == [clock.now, clock.now - 1000]


def test_what_changes_nothing_is_not_remembered(queue):
    config.set("backoff_base", 3)
    config.set("backoff_base", "3.0")
    config.reset("max_crashes")
    assert len(config.history()) == 1


def test_a_refused_change_is_not_remembered(queue):
    with pytest.raises(InvalidInput):
        config.set("backoff_base", "much")
    assert config.history() == []


def test_the_last_change_of_a_key_is_taken_back(queue):
    config.set("backoff_base", 3)
    config.set("backoff_base", 4)
    config.set("max_crashes", 9)
    assert config.revert("backoff-base", actor="panel") == 3
    assert _changes()[0] == ("backoff_base", "4", "3", "panel")
    assert config.revert("backoff_base") == 4  # to take back is a change, and can be taken back
    assert config.get("max_crashes") == 9


def test_the_first_change_is_taken_back_to_the_default(queue):
    config.set("backoff_base", 3)
    assert config.revert("backoff_base") == 2
    assert config.last_changes()["backoff_base"].after is None


def test_what_was_never_changed_is_not_taken_back(queue):
    with pytest.raises(Refused, match=r"^backoff_base was never changed; there is nothing to take back\.$"):
        config.revert("backoff_base")
    with pytest.raises(NotFound):
        config.history("nonsense")
