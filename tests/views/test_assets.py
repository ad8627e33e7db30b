"""The files a page loads."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app import create_app
from views import assets

# htmx 2.0.10, as its authors publish it. An upgrade of django-htmx that changes it must be seen, read and pinned here.
HTMX_SHA256 = "71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de"


def test_htmx_is_the_release_we_read():
    assert hashlib.sha256(Path(assets.htmx_path()).read_bytes()).hexdigest() == HTMX_SHA256


def test_each_file_is_served_under_its_hash_for_ever(panel):
    urls = re.findall(r'(?:src|href)="(/assets/[^"]+)"', panel.get("/").text)
    names = ["app.css", "app.js", "favicon.svg", "hold.js", "htmx.js", "keys.js", "overview.css", "toasts.js"]
    assert sorted(url.rpartition("/")[2] for url in urls) == names
    for url in urls:
        answer = panel.get(url)
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert hashlib.sha256(answer.data).hexdigest().startswith(url.split("/")[2])


def test_a_file_is_packed_for_who_can_unpack_it(panel):
    import gzip

    url = re.search(r"/assets/[^\"]+app\.css", panel.get("/").text)[0]
    packed = panel.get(url, **{"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.data) == panel.get(url).data
    assert "Accept-Encoding" in packed.headers["Vary"]


@pytest.mark.parametrize(
    "url",
    ["/assets/", "/assets/0/app.js", "/assets/0/..%2fapp.py", "/assets/x/htmx-2.js", "/.git/config", "/static/app.css"],
)
def test_nothing_else_is_served(panel, url):
    assert panel.get(url).status_code == 404


def test_scripts_carry_their_integrity(panel):
    scripts = re.findall(r"<script[^>]*>", panel.get("/").text)
    assert len(scripts) == 5
    assert all('integrity="sha384-' in script for script in scripts)


def test_without_htmx_the_panel_works(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(assets, "htmx_path", lambda: None)
    client = create_app(str(tmp_path / "queue.db")).test_client()
    page = client.get("/jobs").text
    assert "htmx.js" not in page
    assert "app.js" in page
    assert "django-htmx" in caplog.text


def test_django_is_never_imported(tmp_path):
    code = f"import sys, app; app.create_app({str(tmp_path / 'queue.db')!r}); print('django' in sys.modules or 'django_htmx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
