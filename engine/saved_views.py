"""Filters of the list of jobs that people saved under a name, the same for everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

import models
from engine.errors import InvalidInput, NotFound
from engine.filters import FILTERS, checked
from models import View

MOST = 100
_LONGEST_NAME = 64


def keep(name: str, filters: Mapping[str, str | None], *, actor: str) -> View:
    """Keep the filters under the name, in the place of what had it. Raises InvalidInput."""
    name = name.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InvalidInput(f"A view's name has 1 to {_LONGEST_NAME} characters.", "name")
    given = checked(filters)
    if not given:
        raise InvalidInput("A view of all jobs needs no name; choose a filter first.", "name")
    with models.db.transaction():
        if not View.get_or_none(View.name == name) and View.select().count() >= MOST:
            raise InvalidInput(f"There are {MOST} views already; delete one first.", "name")
        row = {"name": name, "query": urlencode(given), "actor": actor, "created_at": models.now_ms()}
        View.insert(**row).on_conflict_replace().execute()
    return View.get_by_id(name)


def delete(name: str) -> None:
    """Forget the view. Raises NotFound."""
    if not View.delete().where(View.name == name).execute():
        raise NotFound(f"There is no view {name[:_LONGEST_NAME]!r}.")


def every() -> list[View]:
    """The views, by name."""
    return list(View.select().order_by(View.name).limit(MOST))


def filters_of(name: str) -> dict[str, Any]:
    """The filters that a view stands for, as `queries.page` takes them. Raises NotFound."""
    view = View.get_or_none(View.name == name)
    if view is None:
        raise NotFound(f"There is no view {name[:_LONGEST_NAME]!r}; 'queuectl view list' shows them.")
    return {key: value for key, value in parse_qsl(view.query) if key in FILTERS}
