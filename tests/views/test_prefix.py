"""The panel behind a reverse proxy, under a path of its own."""

from __future__ import annotations

import re

import pytest

from app import create_app
from engine.errors import InvalidInput
from models import STATES, Worker
from tests.views.panel import HTMX, Panel, add

FOLLOWED = re.compile(r'(?:href|src|hx-get)="([^"]*)"')
ADDRESSES = re.compile(r'(?:href|src|action|formaction|hx-get|hx-post)="([^"]*)"')
BEHIND = {"X-Forwarded-Prefix": "/queue", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "jobs.example"}


@pytest.fixture
def make(tmp_path, monkeypatch):
    """A panel in this environment; it names one more host."""

    def made(**environment: str) -> Panel:
        monkeypatch.setenv("QUEUECTL_HOSTS", "jobs.example")
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return Panel(create_app(str(tmp_path / "queue.db")).test_client(), tmp_path / "queue.db")

    return made


def addresses(page: str, kind: re.Pattern[str] = ADDRESSES) -> set[str]:
    return {address.replace("&amp;", "&") for address in kind.findall(page)}


def test_every_address_of_every_page_is_under_the_prefix_and_answers(make):
    panel = make(QUEUECTL_PREFIX="/queue/")
    for state in STATES:
        add(state, id=f"one-{state}", tags=["nightly"])
    Worker.insert(host="here", pid=1, created_at=1, started_at=1, status="running").execute()
    seen: set[str] = set()
    left = {"/queue/", "/queue", "/queue/nowhere", "/queue/palette?q=one"}
    while left:
        url = left.pop()
        seen.add(url)
        answer = panel.get(url)
        assert answer.status_code in ((404,) if url == "/queue/nowhere" else (200, 204)), url
        answer.get_data()  # also what is streamed, to its end
        if answer.mimetype != "text/html":
            continue
        both = answer.text + panel.piece(url).text
        assert {address for address in addresses(both) if not address.startswith(("/queue/", "#"))} == set(), url
        followed = {address.partition("#")[0] for address in addresses(both, FOLLOWED)}
        left |= {address for address in followed if address and not re.search("[?&](v|before|after)=", address)} - seen
        assert len(seen) < 500
    for page in ("jobs/one-dead", "dlq", "workers", "config", "enqueue", "shortcuts", "jobs/one-dead/delete"):
        assert f"/queue/{page}" in seen


def test_forms_lead_back_under_the_prefix(make):
    panel = make(QUEUECTL_PREFIX="/queue")
    add("dead", id="one")
    token = re.search(r'name="csrf_token" value="([^"]+)"', panel.get("/queue/config").text)[1]

    def post(url: str, **headers: str):
        return panel.client.post(url, data={"csrf_token": token, "choice": "dark", "command": "true"}, headers=headers)

    assert post("/queue/enqueue").location.startswith("/queue/jobs/")
    came_from = {"Referer": "http://localhost/queue/jobs?state=dead"}
    assert post("/queue/dlq/one/retry", **came_from).location == "/queue/jobs?state=dead"
    from_itself = {"Referer": "http://localhost/queue/jobs/one/delete"}
    assert post("/queue/jobs/one/delete", **from_itself).location == "/queue/jobs"
    assert "Path=/queue" in post("/queue/preferences/theme").headers["Set-Cookie"]


def test_the_session_is_the_prefixs_own(make):
    assert "Path=/queue;" in make(QUEUECTL_PREFIX="/queue").get("/queue/config").headers["Set-Cookie"] + ";"


def test_a_proxy_that_cut_the_prefix_off_names_it(make):
    page = make(QUEUECTL_PROXIES="1").get("/jobs", **BEHIND)
    assert page.status_code == 200
    assert 'href="/queue/workers"' in page.text
    assert "Secure" in page.headers["Set-Cookie"]


def test_nobody_is_believed_who_was_not_named(make):
    page = make().get("/jobs", **BEHIND)
    assert "/queue/" not in page.text
    assert "Secure" not in page.headers["Set-Cookie"]
    assert make().get("/jobs", Host="jobs.example", **{"X-Forwarded-Host": "evil.example"}).status_code == 200


def test_a_proxys_host_must_be_ours_too(make):
    assert make(QUEUECTL_PROXIES="1").get("/", **{"X-Forwarded-Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "javascript:alert(1)", "/a b", '/"><script>', "/a//b", "queue", "/é"]
)
def test_a_prefix_that_is_no_path_is_not_believed(make, prefix):
    page = make(QUEUECTL_PROXIES="1").client.get("/", headers={"X-Forwarded-Prefix": prefix.encode().decode("latin-1")})
    assert {address for address in addresses(page.text) if not re.match(r"/(?!/)[\w?=.&/-]*$|#", address)} == set()
    assert 'href="/jobs"' in page.text


def test_the_last_proxys_word_counts_not_the_readers(make):
    page = make(QUEUECTL_PROXIES="1").get("/", **{"X-Forwarded-Prefix": "/evil, /queue"})
    assert 'href="/queue/jobs"' in page.text


@pytest.mark.parametrize(
    "wrong",
    [{"QUEUECTL_PROXIES": "yes"}, {"QUEUECTL_PROXIES": "-1"}, {"QUEUECTL_PREFIX": "queue"}, {"QUEUECTL_PREFIX": "//x"}],
)
def test_an_environment_that_says_nonsense_is_refused(make, wrong):
    with pytest.raises(InvalidInput, match="must be"):
        make(**wrong)


def test_htmx_is_sent_on_under_the_prefix(make):
    panel = make(QUEUECTL_PREFIX="/queue")
    add("dead", id="one")
    token = re.search(r'name="csrf_token" value="([^"]+)"', panel.get("/queue/config").text)[1]
    headers = HTMX | {"HX-Current-URL": "http://localhost/queue/jobs/one"}
    answer = panel.client.post("/queue/jobs/one/delete", data={"csrf_token": token}, headers=headers)
    assert answer.headers["HX-Redirect"] == "/queue/jobs"
