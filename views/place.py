"""Which queue this is: the file of the database and the host, as every page says."""

from __future__ import annotations

import os
import socket

from flask import Flask

import models


def init_app(app: Flask) -> None:
    path: str = models.db.database
    place = {"path": path, "name": os.path.basename(path), "host": socket.gethostname()}
    app.context_processor(lambda: {"place": place})
