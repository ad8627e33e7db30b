"""Who is let in, and what every answer says."""

from __future__ import annotations

import re
import stat

import pytest

from server.headers import HEADERS
from tests.views.panel import HTMX, add
from views.guards import SAFE_METHODS

SOME_OF_ALL = (
    "/",
    "/jobs",
    "/jobs/none",
    "/nowhere",
    "/healthz",
    "/assets/0/app.css",
    "/jobs?before=broken",
    "/workers/w9/stop",
)


def addresses(app, method: str) -> list[str]:
    """Every address of the panel that takes `method`, with something put in for its variables."""
    rules = [rule for rule in app.url_map.iter_rules() if method in rule.methods]
    return [re.sub(r"<any\((\w+).*?>|<(int:)?[^>]+>", _put_in, rule.rule) for rule in rules]


def _put_in(found: re.Match[str]) -> str:
    return found[1] or ("1" if found[2] else "x")


@pytest.mark.parametrize("url", SOME_OF_ALL)
def test_every_answer_carries_the_security_headers(panel, url):
    for answer in (panel.get(url), panel.post(url), panel.piece(url)):
        for name, value in HEADERS.items():
            assert answer.headers[name] == value, (url, answer.status)
        assert "HX-Request" in answer.headers["Vary"]
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_pages_are_never_stored_by_a_cache(panel):
    for url in ("/", "/jobs", "/nowhere", "/healthz"):
        assert panel.get(url).headers["Cache-Control"] == "no-store"


def test_an_internal_error_is_a_page_with_headers_and_no_trace(panel, monkeypatch):
    monkeypatch.setattr("engine.queries.counts", lambda *_: 1 / 0)
    answer = panel.get("/")
    assert answer.status_code == 500
    assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
    assert "ZeroDivisionError" not in answer.text
    assert re.search(r"reference [0-9a-f]{8}", answer.text)


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_the_hosts_of_this_machine_are_answered(panel, host):
    assert panel.get("/", Host=host).status_code == 200


FOREIGN_HOSTS = (
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "[::2]",
    "evil@localhost.x",
    "x@localhost",
)
MALFORMED_HOSTS = (
    *("a b", "localhost..", ".a", "localhost.", f"{'a' * 64}.example", "localhost:99999", "localhost:x"),
    *(
        "[",
        "[::1",
        "[::1]x",
        "[v1.x]",
        "loc\talhost",
        "l\xf6calhost",
        "%6c",
        "localhost/",
        "localhost,localhost",
        ":80",
    ),
)


@pytest.mark.parametrize("host", [*FOREIGN_HOSTS, *MALFORMED_HOSTS[:4]])
def test_a_foreign_host_is_refused_everywhere(app, panel, host):
    for url in addresses(app, "GET"):
        assert panel.get(url, Host=host).status_code == 400, url


def test_a_malformed_host_is_refused_in_a_sentence_with_the_security_headers(panel):
    for host in MALFORMED_HOSTS:
        for method in ("GET", "POST", "OPTIONS"):
            answer = panel.client.open("/jobs", method=method, headers={"Host": host})
            assert answer.status_code == 400, host
            assert "host name" in answer.text
            assert dict(answer.headers).items() >= HEADERS.items()


def test_only_the_oldest_clients_may_name_no_host(panel):
    for protocol, status in (("HTTP/1.0", 200), ("HTTP/1.1", 400)):
        answer = panel.client.get("/healthz", headers={"Host": ""}, environ_overrides={"SERVER_PROTOCOL": protocol})
        assert answer.status_code == status


def test_an_address_of_another_host_is_refused_whatever_the_header_says(panel):
    for target in (
        *(
            "http://evil.example/jobs",
            "http://localhost:1/jobs",
            "ftp://localhost/jobs",
            "http://[x/",
            "jobs",
            "*",
            "x:1",
        ),
    ):
        answer = panel.client.get("/jobs", environ_overrides={"RAW_URI": target})
        assert answer.status_code == 400, target
        assert "address of this request" in answer.text


def test_an_address_that_names_the_same_host_is_answered(panel):
    assert panel.client.get("/jobs", environ_overrides={"RAW_URI": "http://localhost/jobs"}).status_code == 200


MALFORMED_HEADERS = (
    *(
        ("Origin", value)
        for value in ("http://[x", "http://a]:99999/", "localhost", "http://a:x", "http://a b", "", "//a")
    ),
    *(("Referer", value) for value in ("http://[evil", "http://localhost:99999/jobs", "http://localhost/\xe4", "a\tb")),
    *(("Authorization", value) for value in ("", ":", "Basic \xff", "Bearer\tx", "\xe4")),
)


def test_a_malformed_header_is_refused_before_anything_is_done(panel):
    before = panel.dump()
    for name, value in MALFORMED_HEADERS:
        for answer in (
            panel.get("/jobs", **{name: value}),
            panel.post("/enqueue", headers={name: value}, command="echo hi"),
            panel.post("/enqueue", htmx=True, headers={name: value}, command="echo hi"),
        ):
            assert answer.status_code == 400, (name, value)
            assert name in answer.text
            assert dict(answer.headers).items() >= HEADERS.items()
    assert panel.dump() == before


def test_a_malformed_address_of_the_tab_does_not_fail_the_action(panel):
    for value in ("http://[evil", "\xff", "x" * 5000, "about:blank"):
        add("dead", id="x")
        assert panel.post("/jobs/x/delete", htmx=True, headers={"HX-Current-URL": value}).status_code == 204


def test_the_cookies_of_other_programs_do_no_harm(app):
    client = app.test_client(use_cookies=False)
    for value in (";", "=;=", "a=\xff", '"', "session=x; session=y", 'queuectl-0="\\', "=" * 4000):
        for cookie in (value, f"{app.config['SESSION_COOKIE_NAME']}={value}"):
            assert client.get("/healthz", headers={"Cookie": cookie}).status_code == 200
            assert client.get("/config", headers={"Cookie": cookie}).status_code == 200


def test_more_hosts_are_named_in_the_environment(tmp_path, monkeypatch):
    from app import create_app

    monkeypatch.setenv("QUEUECTL_HOSTS", "Queue.example, other.example")
    client = create_app(str(tmp_path / "queue.db")).test_client()
    assert client.get("/healthz", headers={"Host": "queue.example"}).status_code == 200
    assert client.get("/healthz", headers={"Host": "third.example"}).status_code == 400


FOREIGN = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "https://localhost"},
    {"Origin": "http://localhost:1"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
)


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_request_that_another_site_sends_is_refused_even_with_a_token(app, panel, headers):
    before = panel.dump()
    for url in addresses(app, "POST"):
        assert panel.post(url, headers=headers).status_code == 403, url
    assert panel.dump() == before


def test_another_sites_page_may_load_no_part_of_the_panel(app, panel):
    for site in ("cross-site", "same-site"):
        for mode, kind in (("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("navigate", "object")):
            way = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": kind}
            assert panel.get("/jobs?output=x", **way).status_code == 403
            assert panel.client.head("/export", headers=way).status_code == 403
    for url in addresses(app, "GET"):
        assert panel.get(url, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403, url


def test_another_sites_page_may_lead_to_the_panel(panel):
    way = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert panel.get("/jobs", **way).status_code == 200


def test_a_form_without_its_token_is_refused(app, panel):
    before = panel.dump()
    for url in addresses(app, "POST"):
        answer = panel.client.post(url, data={"command": "echo hi", "value": "1", "count": "1"})
        assert answer.status_code == 400, url
        assert "reload the page" in answer.text
    assert panel.dump() == before


def test_the_token_may_come_as_a_header(panel):
    answer = panel.client.post("/preferences/theme", data={"choice": "dark"}, headers={"X-CSRFToken": panel.token()})
    assert answer.status_code == 303


@pytest.mark.parametrize(
    "headers",
    [{"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://localhost"}, {}],
    ids=str,
)
def test_the_panels_own_requests_pass(panel, headers):
    assert panel.post("/enqueue", headers=headers, command="echo hi").status_code == 303


def test_only_get_and_post_exist(app, panel):
    for rule in app.url_map.iter_rules():
        assert rule.methods <= {*SAFE_METHODS, "POST"}, rule
    for method in ("PUT", "PATCH", "DELETE", "TRACE"):
        answer = panel.client.open("/jobs/x/delete", method=method, headers={"X-HTTP-Method-Override": "POST"})
        assert answer.status_code in (400, 405), method


def test_looking_changes_nothing(app, panel):
    add("dead", id="x")
    panel.get("/")
    before = panel.dump()
    for url in addresses(app, "GET"):
        panel.get(url)
        panel.piece(url)
        panel.client.head(url)
    assert panel.dump() == before


def test_cookies_are_for_this_site_alone(panel):
    session, theme = (
        panel.get("/").headers["Set-Cookie"],
        panel.post("/preferences/theme", choice="dark").headers["Set-Cookie"],
    )
    for cookie in (session, theme):
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie


def test_the_key_is_its_owners_alone_and_shared_by_all_processes(app, tmp_path):
    from app import create_app

    key = tmp_path / "queue.db.run" / "panel.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    assert create_app(str(tmp_path / "queue.db")).config["SECRET_KEY"] == app.config["SECRET_KEY"]
    assert [path.name for path in key.parent.iterdir() if path.name.startswith("panel")] == ["panel.key"]


def test_a_form_that_is_too_large_is_refused(panel):
    answer = panel.post("/enqueue", command="x" * 1_200_000)
    assert answer.status_code == 413
    assert "at most 1 MB" in answer.text


def test_a_refusal_reaches_htmx_as_a_toast(panel):
    answer = panel.post("/jobs/none/retry", htmx=True)
    assert answer.status_code == 404
    assert "no job" in answer.headers["HX-Trigger"]
    assert "<html" not in answer.text
    assert panel.client.post("/jobs/none/retry", headers=HTMX).status_code == 400
