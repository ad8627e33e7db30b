"""Compressed pages, and the token in them that no length tells of."""

from __future__ import annotations

import gzip
import re

from tests.views.panel import HTMX, add

GZIP = {"Accept-Encoding": "gzip"}


def token(page: str) -> str:
    return re.search(r'name="csrf_token" value="([^"]+)"', page)[1]


def test_a_page_and_its_piece_are_packed_for_who_can_unpack_them(panel):
    for number in range(50):
        add(id=f"job{number}")
    for headers in (GZIP, GZIP | HTMX):
        packed = panel.client.get("/jobs", headers=headers)
        assert packed.headers["Content-Encoding"] == "gzip"
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert "job49" in gzip.decompress(packed.data).decode()
        assert int(packed.headers["Content-Length"]) == len(packed.data) < 12_000
    assert "Content-Encoding" not in panel.get("/jobs", **{"Accept-Encoding": "gzip;q=0"}).headers
    assert "Content-Encoding" not in panel.get("/jobs").headers


def test_the_token_looks_different_in_every_answer_and_each_is_taken(panel):
    pages = [panel.get("/queues").text for _ in range(2)]
    one, two = (token(panel.get("/config").text) for _ in pages)
    assert not {one[at : at + 8] for at in range(len(one) - 8)} & {two[at : at + 8] for at in range(len(two) - 8)}
    for sent in (one, two):
        assert panel.client.post("/queues/mail/pause", data={"csrf_token": sent}).status_code == 303
        assert panel.client.post("/queues/mail/pause", headers={"X-CSRFToken": sent}).status_code == 303
    for broken in (one[:-4], "A" + one[1:] if one[0] != "A" else "B" + one[1:], "é", "x"):
        assert panel.client.post("/queues/mail/pause", data={"csrf_token": broken}).status_code == 400


def test_a_filter_that_is_not_valid_is_called_so(panel):
    page = panel.get("/jobs?since=bogus")
    assert (page.status_code, "That filter is not valid" in page.text, "stored" in page.text) == (422, True, False)


def test_many_jobs_are_plain_lines_until_something_else_is_chosen(panel):
    assert re.search(r'value="lines" required checked', panel.get("/enqueue/many").text)
