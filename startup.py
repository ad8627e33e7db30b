"""What comes before all other code: an old Python is refused, and a Ctrl-C or a missing package is no traceback.

Python 3.8 and newer can read this file and those that import it first, so that people see its sentence.
"""

import _signal  # the module `signal` imports others, and a Ctrl-C may come meanwhile
import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is where the others are refused
    sys.exit(
        "QueueCTL needs Python 3.11 or newer, and this is Python {}.{} ({}); start it with a newer one.".format(
            *sys.version_info[:2], sys.executable
        )
    )


def is_program(name: str) -> bool:
    """Whether this process was started as the program of this name, installed or from its file."""
    return os.path.basename(sys.argv[0]) in (name, f"{name}.py")


def begin() -> None:
    """Until the program heeds it: let a Ctrl-C end this process in silence, and say in a sentence what cannot be loaded.

    A process that is to be deaf to Ctrl-C (nohup, `&` in a script) stays so.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    sys.excepthook = _say_what_is_missing


def _say_what_is_missing(kind: type, error: BaseException, trace: object) -> None:
    if issubclass(kind, ModuleNotFoundError):
        advice = "run 'make install' in its folder and use .venv/bin/python"
        print(f"QueueCTL cannot be loaded: {error}; {advice}.", file=sys.stderr)
    elif issubclass(kind, (ImportError, OSError)):
        print(f"QueueCTL cannot be loaded: {error}.", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)  # type: ignore[arg-type]


def port() -> int:
    """The panel's port as env PORT says; 8000 when that is not set or empty. Exits with a sentence when it is none."""
    text = os.environ.get("PORT", "").strip() or "8000"
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
        sys.exit(f"PORT is {text[:32]!r}; give the number of a port, 1 to 65535, or 0 for any that is free.")
    return int(text)
