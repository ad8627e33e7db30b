"""Take the pictures of the panel that the docs show, on a queue made for them: `make screenshots`.

With `--tour FOLDER` it pictures every page instead: light and dark, in three widths, to be looked at.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import models  # noqa: E402
import workers  # noqa: E402
from engine import config, jobs  # noqa: E402
from engine.jobs import Ending  # noqa: E402
from engine.output import Output  # noqa: E402
from models import Job  # noqa: E402
from tests.browser.chromium import launch_args  # noqa: E402
from tests.browser.served import Site  # noqa: E402

COMMANDS = (
    ("python manage.py send_digest --to subscribers", "mail"),
    ("pg_dump --format=custom shop | gzip > /backups/shop.gz", "backup"),
    ("rsync -a --delete /srv/media/ backup:/media/", "backup"),
    ("curl -fsS https://example.org/sitemap.xml -o /srv/sitemap.xml", "default"),
    ("convert upload.png -resize 50% thumbnail.png", "media"),
    ("./report.sh --month 11 --format pdf", "default"),
)
FAILURES = (
    (1, "exit code 1: pg_dump: error: connection to server failed: Connection refused"),
    (127, "exit code 127 (command not found): /bin/sh: 1: convert: not found"),
    (23, "exit code 23: rsync: [sender] write error: Broken pipe (32)"),
    (-9, "killed by SIGKILL"),
)
PAGES = (
    "/",
    "/jobs",
    "/jobs/nightly-import",
    "/dlq",
    "/dlq/causes",
    "/queues",
    "/workers",
    "/config",
    "/enqueue",
    "/enqueue/many",
)
PAGES += ("/operations", "/trash", "/shortcuts", "/jobs/nothing")
SPAN_MS = 110 * 60_000  # the time in which the queue has had its jobs


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--tour", type=Path, metavar="FOLDER", help="picture every page into this folder")
    options.add_argument("--jobs", type=int, default=2000, help="how many jobs the queue has had (default: 2,000)")
    asked = options.parse_args()
    with _queue(asked.jobs) as site, sync_playwright() as playwright:
        browser = playwright.chromium.launch(**launch_args(playwright.chromium))
        if asked.tour:
            asked.tour.mkdir(parents=True, exist_ok=True)
            for scheme in ("light", "dark"):
                for width in (1440, 1024, 360):
                    for page in PAGES:
                        name = page.strip("/").replace("/", "-") or "overview"
                        _picture(browser, site.url + page, asked.tour / f"{name}-{scheme}-{width}.png", scheme, width)
        else:
            _picture(browser, site.url, ROOT / "docs" / "overview.png", "light", 1280)
            _picture(browser, f"{site.url}/jobs/nightly-import", ROOT / "docs" / "job.png", "dark", 1280)
        browser.close()


@contextmanager
def _queue(count: int) -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        try:
            _fill(count)
            jobs.enqueue(
                {
                    "id": "nightly-import",
                    "command": _IMPORT,
                    "priority": 50,
                    "tags": ["nightly"],
                    "timeout_sec": 900,
                    "cwd": "/srv",
                }
            )
            jobs.enqueue({"id": "reindex", "command": "sleep 600", "priority": 49, "queue": "search"})
            workers.start(3)
            for job_id in ("nightly-import", "reindex"):
                site.wait_for(job_id, "processing")
            yield site
        finally:
            site.close()


_IMPORT = 'for part in $(seq 1 40); do echo "part $part of 40: imported"; sleep 0.15; done; sleep 600'


def _fill(count: int) -> None:
    """Jobs of every state, as two hours would leave them; none of them is ever run.

    Seeded, so that two pictures differ only where the panel does.
    """
    config.set("backoff_base", 100)
    choose = random.Random(7)
    real, begin = models.now_ms, models.now_ms() - SPAN_MS
    # More in the middle of the time than at its ends, as a wave of work comes and goes.
    instants = [begin + round(SPAN_MS * (choose.triangular(0, 1.3, 0.8) % 1)) for _ in range(count)]
    try:
        for instant in sorted(instants):
            models.now_ms = lambda instant=instant: instant  # type: ignore[misc]
            _run_one(choose)
    finally:
        models.now_ms = real
    for job in Job.select().where(Job.state.in_(jobs.WAITING), Job.next_run_at < real() + 60_000):
        jobs.cancel(job.id)  # it is due: a worker would run the command
    jobs.enqueue_many({"command": "./report.sh --quarter 4", "run_at": "+3h"} for _ in range(17))


def _run_one(choose: random.Random) -> None:
    command, queue = choose.choice(COMMANDS)
    jobs.enqueue({"command": command, "queue": queue, "max_retries": choose.choice([0, 0, 3])})
    held = jobs.claim("w0", "web-1")
    assert held is not None
    spent = Ending(return_code=0, duration_ms=round(choose.lognormvariate(7.5, 1.0)), stdout=Output(b"done\n", 5))
    if choose.random() < 0.94:
        jobs.complete(held, spent)
    else:
        code, error = choose.choice(FAILURES)
        jobs.fail(held, spent._replace(return_code=code, error=error))


def _picture(browser: Browser, url: str, path: Path, scheme: str, width: int) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, device_scale_factor=1, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(url)
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path)
    context.close()
    print(path)


if __name__ == "__main__":
    main()
