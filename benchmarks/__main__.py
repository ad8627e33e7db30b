"""`python -m benchmarks [NAME …]`: measure, print tables, write JSON. Exit status 1 when a promise is not kept."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import signal
import sqlite3
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import figures, place

HERE = Path(__file__).parent
NAMES = ("throughput", "latency", "enqueue", "scale", "memory", "disk", "panel", "peers")


def main(argv: list[str] | None = None) -> int:
    """Run the benchmarks that the command line names; the exit status."""
    parser = _parser()
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    found: dict[str, list[figures.Figure]] = {}
    for name in options.names or NAMES:
        benchmark = importlib.import_module(f"benchmarks.{name}")
        print(f"{name}: {_title(benchmark)}", flush=True)
        found[name] = benchmark.run(benchmark.QUICK if options.quick else benchmark.Sizes())
        print(f"{figures.table(found[name])}\n", flush=True)
        _write(options.json, found, options.quick)
    print(f"Written to {options.json}.")
    return int(any(figure.is_met is False for part in found.values() for figure in part))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="small numbers: to try it, not to quote it")
    parser.add_argument("--json", type=Path, default=place.BUILD / "figures.json", metavar="FILE")
    return parser


def _title(benchmark: ModuleType) -> str:
    return (benchmark.__doc__ or "").partition("\n")[0]


def _write(path: Path, found: dict[str, list[figures.Figure]], quick: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = {name: [figure.as_json() for figure in part] for name, part in found.items()}
    path.write_text(json.dumps({"quick": quick, "machine": _machine(), "figures": parts}, indent=2) + "\n")


def _machine() -> dict[str, Any]:
    return {
        "system": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as a Ctrl-C does: end what was started, and clear up
    sys.exit(main())
