"""What no template may contain, because the policy on content would refuse it or escape would be off."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import models

TEMPLATES = sorted(Path(models.ROOT, "templates").rglob("*.html"))
SCRIPTS = sorted(Path(models.ROOT, "static").glob("*.js"))
FORBIDDEN = {
    r"\|\s*safe": "trusts a value as markup",
    r"\bstyle=": "inline style",
    r"\son[a-z]+=": "inline handler",
    r"<style": "inline style",
    r"<script(?![^>]*src=)": "inline script",
    r"hx-on|hx-vals=['\"]js|hx-vars": "needs eval",
    r"every \d+s\s*\[": "a trigger filter needs eval",
    r"https?://(?!www\.w3\.org)": "another origin",
    r"autoescape": "escape switched off",
}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(models.ROOT)))
def test_a_template_keeps_to_the_policy(path):
    for pattern, reason in FORBIDDEN.items():
        assert not re.search(pattern, path.read_text()), reason


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(models.ROOT)))
def test_every_form_that_posts_carries_the_token(path):
    forms = re.findall(r"<form.*?</form>", path.read_text(), re.DOTALL)
    for form in forms:
        if 'method="post"' in form:
            assert "csrf" in form


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_small_and_evaluates_nothing(path):
    script = path.read_text()
    assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|localStorage|sessionStorage", script)
    assert len(script) < 10_000
