"""Counts, lengths of time and endings in plain English: the same words on the command line and in the panel."""

from __future__ import annotations

SIGNALS = {1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 5: "TRAP", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL"}
SIGNALS |= {10: "USR1", 11: "SEGV", 12: "USR2", 13: "PIPE", 14: "ALRM", 15: "TERM", 24: "XCPU", 25: "XFSZ"}

_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_BY_OUTCOME = {
    "running": "still running",
    "success": "succeeded",
    "timeout": "ended at its time limit",
    "cancelled": "ended because the job was cancelled",
    "released": "ended with its worker and given back; no retry spent",
    "lost": "its worker died; no retry spent",
}
_BY_CODE = {
    0: "succeeded",
    124: "what timeout(1) says when it ended the command",
    126: "found, but not executable",
    127: "command not found",
    128: "an exit code that the shell does not know",
}
_BY_SIGNAL = {
    "INT": "as by Ctrl-C",
    "KILL": "often because memory ran out",
    "ABRT": "the program gave up on itself",
    "SEGV": "it touched memory that is not its own",
    "PIPE": "nobody read what it wrote",
    "TERM": "asked to end",
    "XCPU": "its limit of CPU time",
    "XFSZ": "its limit of file size",
}


def plural(count: int, noun: str) -> str:
    """1 job, 2 jobs, 1,204 jobs."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def span(ms: int, parts: int = 2) -> str:
    """A length of time in its largest units: 12 s, 3 min 5 s, 2 h 4 min, 5 d 1 h."""
    s = max(0, ms // 1000)
    largest = next(index for index, (length, _) in enumerate(_UNITS) if s >= length or length == 1)
    said = []
    for length, unit in _UNITS[largest : largest + parts]:
        said.append(f"{s // length} {unit}")
        s %= length
    return " ".join(said)


def duration(ms: int | None) -> str:
    """How long something took: 40 ms, 1.2 s, 3 min 5 s; a dash when it is not known."""
    if ms is None:
        return "\N{EN DASH}"
    if ms < 1000:
        return f"{ms} ms"
    return f"{ms / 1000:.1f} s" if ms < 60_000 else span(ms)


def attempts(state: str, failures: int, max_retries: int, last_error: str | None) -> str:
    """Attempts that were made or are under way, of those that the job has: "2 of 4". A lost run is no attempt."""
    is_one_more = state in ("processing", "completed") or (state == "cancelled" and last_error == "cancelled")
    return f"{failures + is_one_more} of {max_retries + 1}"


def seconds(number: float) -> str:
    """A number of seconds: 2 s, 1.5 s, 2 min 8 s, 6 h."""
    if number < 60:
        return f"{number:.3g} s"
    words = span(int(number * 1000)).split(" ")
    return " ".join(words[:2] if words[2:3] == ["0"] else words)


def signal_name(number: int) -> str:
    """SIGKILL for 9; "signal 63" for one without a name of its own."""
    return f"SIG{SIGNALS[number]}" if number in SIGNALS else f"signal {number}"


def exit_meaning(outcome: str, return_code: int | None) -> str:
    """What the end of a run means, in words; "" when its exit code is the program's own affair.

    return_code: negative for a signal. Shells say 128 + n when signal n ended what they ran.
    """
    if outcome in _BY_OUTCOME:
        return _BY_OUTCOME[outcome]
    if return_code is None:
        return "could not be started"
    if return_code in _BY_CODE:
        return _BY_CODE[return_code]
    if return_code < 0 or 128 < return_code <= 128 + 64:
        return _by_signal(-return_code if return_code < 0 else return_code - 128)
    return ""


def _by_signal(number: int) -> str:
    hint = _BY_SIGNAL.get(SIGNALS.get(number, ""))
    return f"killed by {signal_name(number)}" + (f", {hint}" if hint else "")
