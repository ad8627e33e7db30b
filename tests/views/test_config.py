"""The pages of the settings: where a value comes from, who changed it, the way back, and what others change meanwhile."""

from __future__ import annotations

import json

import pytest

import models
from engine import config
from models import Config
from tests.views.panel import add
from views import settings

HOSTILE = "<img src=x onerror=alert(1)>"


def _setting(page: str, name: str) -> str:
    """The part of the page that is about this setting."""
    return page.split(f'<section id="{name}"')[1].split("</section>")[0]


def test_every_setting_is_in_one_group(panel):
    grouped = [name for names in settings.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(config.KEYS)


def test_a_number_has_its_limits_and_its_unit_and_a_word_its_choices(panel):
    page = panel.get("/config").text
    retries = _setting(page, "max_retries_default")
    assert 'type="number" min="0" max="1000" step="1" value="3"' in retries
    assert '<span class="muted unit">retries</span>' in retries
    assert 'step="any"' in _setting(page, "backoff_base")
    assert "<option selected>normal</option>" in _setting(page, "durability")


def test_where_a_value_comes_from_is_told(panel):
    config.set("backoff_base", 3, models.now_ms() - 3600_000, actor=HOSTILE)
    page = panel.get("/config").text
    changed, other = _setting(page, "backoff_base"), _setting(page, "max_crashes")
    assert 'data-source="set"' in changed
    assert "1 h ago</time> by &lt;img src=x" in changed
    assert "default 2" in changed
    assert 'href="/config/backoff_base"' in changed
    assert "Reset backoff_base to its default" in changed
    assert 'data-source="default"' in other
    assert "Reset" not in other
    assert "History" not in other
    assert HOSTILE not in page


def test_a_setting_of_a_time_before_the_history_is_shown_as_set(panel):
    Config.insert(key="max_crashes", value="9", updated_at=1).execute()
    assert 'data-source="set"' in _setting(panel.get("/config").text, "max_crashes")


def test_long_times_are_told_in_larger_units(panel):
    config.set("job_timeout_sec", 5400)
    page = panel.get("/config").text
    assert "(1 h 30 min)" in _setting(page, "job_timeout_sec")
    assert "(6 h)" in _setting(page, "max_backoff_sec")
    assert "(" not in _setting(page, "kill_grace_sec").split("setting-facts")[1]


def test_only_the_changed_can_be_shown(panel):
    assert 'data-show="changed"' in panel.get("/config?show=changed").text
    assert "data-show" not in panel.get("/config?show=other").text


def test_a_change_offers_its_way_back_to_a_value_or_to_the_default(panel):
    first = json.loads(panel.post("/config/backoff_base", htmx=True, value="3").headers["HX-Trigger"])["toast"]["undo"]
    assert (first["url"], first["fields"]) == ("/config/backoff_base/reset", {})
    second = json.loads(panel.post("/config/backoff_base", htmx=True, value="4").headers["HX-Trigger"])["toast"]["undo"]
    assert (second["url"], second["fields"]) == ("/config/backoff_base", {"value": "3"})
    panel.post(second["url"], **second["fields"])
    assert config.get("backoff_base") == 3


@pytest.mark.parametrize("htmx", [False, True])
def test_what_somebody_else_set_meanwhile_is_not_overwritten_unseen(panel, htmx):
    seen = panel.get("/config").text.split('name="seen" value="')[1].split('"')[0]
    config.set("backoff_base", 5, actor="cli:ana")
    answer = panel.post("/config/backoff_base", htmx=htmx, value="7", seen=seen)
    assert answer.status_code == 409
    assert "Meanwhile cli:ana set it to 5. Save again to replace that." in answer.text
    assert 'value="7"' in _setting(answer.text, "backoff_base") if not htmx else 'value="7"' in answer.text
    assert config.get("backoff_base") == 5
    seen = answer.text.split('id="form-backoff_base"')[1].split('name="seen" value="')[1].split('"')[0]
    panel.post("/config/backoff_base", htmx=htmx, value="7", seen=seen)
    assert config.get("backoff_base") == 7


def test_a_page_hears_of_what_others_changed_and_only_of_that(panel):
    config.set("max_crashes", 9)
    url = panel.get("/config").text.split('hx-get="/config/changes')[1].split('"')[0]
    url = f"/config/changes{url}"
    assert panel.piece(url).status_code == 204
    config.set("backoff_base", 5, actor="cli:ana")
    heard = panel.piece(url).text
    assert 'id="facts-backoff_base"' in heard
    assert 'id="form-backoff_base"' in heard
    assert heard.count('hx-swap-oob="true"') == 2
    assert "by cli:ana" in heard
    following = heard.split('hx-get="')[1].split('"')[0].replace("&amp;", "&")
    assert panel.piece(following).status_code == 204


def test_the_page_of_one_setting_hears_of_no_other(panel):
    page = panel.get("/config/backoff_base").text
    url = "/config/changes" + page.split('hx-get="/config/changes')[1].split('"')[0].replace("&amp;", "&")
    config.set("max_crashes", 9)
    heard = panel.piece(url)
    assert heard.status_code == 200
    assert "oob" not in heard.text
    assert panel.piece("/config/changes?since=x").status_code == 200


def test_a_history_leads_back_to_each_value(panel):
    config.set("backoff_base", 3, actor="cli:ana")
    config.set("backoff_base", 4, actor=HOSTILE)
    page = panel.get("/config/backoff-base").text
    assert "default (2)" in page
    assert "cli:ana" in page
    assert HOSTILE not in page
    assert "queuectl config revert backoff_base" in page
    assert "backoff_base is back to 3." in panel.post("/config/backoff_base/revert", htmx=True).headers["HX-Trigger"]
    assert config.get("backoff_base") == 3
    assert panel.get("/config/nothing").status_code == 404
    assert "was never changed" in panel.get("/config/max_crashes").text
    assert panel.post("/config/max_crashes/revert").status_code == 409


def test_the_page_without_script_goes_back_to_where_it_was(panel):
    here = {"Referer": "http://localhost/config/backoff_base"}
    assert panel.post("/config/backoff_base", headers=here, value="3").location == "/config/backoff_base#backoff_base"
    here = {"Referer": "http://localhost/config?show=changed"}
    assert panel.post("/config/backoff_base", headers=here, value="4").location == "/config?show=changed#backoff_base"


def test_the_title_of_a_settings_page_tells_of_trouble_as_others_do(panel):
    add("dead")
    assert "(no workers" in panel.get("/config/backoff_base").text or "1 dead" in panel.get("/config/backoff_base").text


@pytest.mark.parametrize("htmx", [False, True])
def test_only_the_change_that_the_page_showed_is_reverted(panel, htmx):
    config.set("backoff_base", 3)
    page = panel.get("/config/backoff_base").text
    seen = page.split('hx-post="/config/backoff_base/revert?seen=')[1].split('"')[0]
    config.set("backoff_base", 5, actor="cli:ana")
    answer = panel.post(f"/config/backoff_base/revert?seen={seen}", htmx=htmx)
    assert answer.status_code == 409
    assert "Meanwhile cli:ana set it to 5. Look at its history before you revert that." in answer.text
    assert config.get("backoff_base") == 5
