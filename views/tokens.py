"""The token that every form carries, masked with other random bytes in each answer.

Answers are compressed, and the length of a compressed answer shows what stands in it twice (BREACH). A token that is the same
in every answer could be guessed letter by letter, by a person who can put text into the page and see its length on the wire.
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

from flask import Flask, g
from flask_wtf import CSRFProtect
from flask_wtf.csrf import generate_csrf


class Tokens(CSRFProtect):
    """Flask-WTF's check, of masked tokens."""

    def init_app(self, app: Flask) -> None:
        super().init_app(app)
        app.jinja_env.globals["csrf_token"] = current
        app.context_processor(lambda: {"csrf_token": current})

    def _get_csrf_token(self) -> str | None:
        return unmasked(super()._get_csrf_token())


def current() -> str:
    """The token of this answer: the same for all of its forms, so that they compress to one."""
    if "masked_token" not in g:
        g.masked_token = _masked(generate_csrf())
    return g.masked_token


def unmasked(text: str | None) -> str | None:
    """The token in a masked text; None when the text is not a masked token."""
    try:
        both = urlsafe_b64decode((text or "").encode())
        half = len(both) // 2
        return _crossed(both[:half], both[half:]).decode() or None
    except ValueError:
        return None


def _masked(text: str) -> str:
    mask = secrets.token_bytes(len(text))
    return urlsafe_b64encode(mask + _crossed(mask, text.encode())).decode()


def _crossed(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=False))
