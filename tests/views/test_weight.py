"""What a first look costs, in bytes on the wire: on a phone in a basement it is the speed."""

from __future__ import annotations

import gzip
import re

from engine import jobs
from tests.views.panel import add

MOST = 60_000


def weight(panel, url: str) -> int:
    page = panel.get(url)
    sent = panel.get(url, **{"Accept-Encoding": "gzip"}).data
    assets = set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text))
    packed = [panel.get(address, **{"Accept-Encoding": "gzip"}).data for address in assets]
    return len(sent) + sum(map(len, packed))


def test_a_first_page_with_all_it_loads_is_light(panel):
    for number in range(50):
        job_id = f"job-{number}"
        jobs.enqueue({"command": f"./report.sh --month {number} --to someone{number}@example.org", "id": job_id})
    add("dead", id="one")
    weights = {
        url: weight(panel, url)
        for url in ("/", "/jobs", "/jobs/one", "/dlq", "/queues", "/workers", "/config", "/enqueue")
    }
    assert {url: bytes_ for url, bytes_ in weights.items() if bytes_ > MOST} == {}


def test_what_is_asked_at_every_key_in_the_palette_is_small(panel):
    assert len(gzip.compress(panel.piece("/palette?q=j").data)) < 2000
