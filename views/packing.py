"""Pages are compressed for browsers that accept gzip: a list of fifty jobs becomes six times smaller."""

from __future__ import annotations

import gzip

from flask import Flask, Response, request

_LEVEL = 5  # a millisecond for a long page; more would gain little
_SHORTEST = 1000  # bytes; less fits into one packet anyway


def init_app(app: Flask) -> None:
    app.after_request(pack)


def pack(answer: Response) -> Response:
    """Compress a page or a piece of one. The secret in it, the CSRF token, is masked (views/tokens.py)."""
    if answer.mimetype != "text/html" or answer.is_streamed or answer.direct_passthrough:
        return answer
    answer.vary.add("Accept-Encoding")
    content = answer.get_data()
    if len(content) >= _SHORTEST and request.accept_encodings.quality("gzip") > 0:
        answer.set_data(gzip.compress(content, _LEVEL, mtime=0))
        answer.content_encoding = "gzip"
    return answer
