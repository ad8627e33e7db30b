"""`python -m tests.chaos`: a kill storm and its verdict. Exit status 1 when a promise was broken."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos import checker
from tests.chaos.checker import Verdict
from tests.chaos.storm import Storm

_SHOWN = 20  # violations printed


def main() -> int:
    """Run the storm that the command line asks for; the exit status."""
    options = _parser().parse_args()
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}: {options.jobs} jobs, {options.kills} kills, {options.workers} workers", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    began = time.monotonic()
    storm = Storm(
        folder, seed=seed, jobs=options.jobs, kills=options.kills, workers=options.workers, panel=options.panel
    )
    evidence = storm.run(lambda sentence: print(f"  {sentence}", flush=True))
    verdict = checker.judge(evidence)
    _print(storm, verdict, time.monotonic() - began)
    if verdict.violations:
        print(f"The evidence is in {folder}; the same plan again: --seed {seed}")
        return 1
    if options.keep:
        print(f"The evidence is in {folder}")
    else:
        shutil.rmtree(folder)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seed", type=int, help="the plan of an earlier storm (default: a new one)")
    parser.add_argument("--panel", action="store_true", help="serve the panel too, and kill it")
    parser.add_argument("--keep", action="store_true", help="keep the evidence also when all is well")
    return parser


def _print(storm: Storm, verdict: Verdict, duration_s: float) -> None:
    strikes = ", ".join(f"{n} {kind}" for kind, n in sorted(storm.strikes.items()))
    killed = Counter(kill.kind for kill in storm.evidence.kills)
    figures = {
        "duration": f"{duration_s:.0f} s",
        "strikes": f"{strikes}; {storm.missed} found nothing to hit",
        "processes killed": f"{sum(killed.values())}: " + ", ".join(f"{n} {kind}" for kind, n in killed.most_common()),
        "supervisors started by": ", ".join(f"{n} {way}" for way, n in storm.callers.calls.most_common()),
        **verdict.figures,
        "violations": len(verdict.violations),
    }
    for name, value in figures.items():
        print(f"{name + ':':32}{value}")
    for violation in verdict.violations[:_SHOWN]:
        print(f"VIOLATION  {violation}")


if __name__ == "__main__":
    sys.exit(main())
