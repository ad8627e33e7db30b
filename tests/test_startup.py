"""Before any of our code is loaded: an old Python, a Ctrl-C, a missing package, a wrong environment."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
READ_FIRST = ("startup.py", "queuectl.py", "app.py", "gunicorn.conf.py", "workers/__init__.py")

OLD = "import runpy, sys; sys.version_info = (3, 10, 13, 'final', 0); sys.path.insert(0, '.'); "
DOORS = {
    "command line": "runpy.run_path('queuectl.py', run_name='__main__')",
    "workers": "runpy.run_module('workers', run_name='__main__', alter_sys=True)",
    "panel": "import app",
    "server": "runpy.run_path('gunicorn.conf.py')",
}


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name not in ("PORT", "WORKERS")} | environment
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("door", DOORS)
def test_an_old_python_is_refused_in_a_sentence(door):
    done = run("-c", OLD + DOORS[door])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("QueueCTL needs Python 3.11 or newer, and this is Python 3.10 (")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", READ_FIRST)
def test_an_old_python_can_read_what_refuses_it(name):
    ast.parse((ROOT / name).read_text(), feature_version=(3, 8))


def test_a_missing_package_is_a_sentence():
    done = run("-S", "queuectl.py", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "QueueCTL cannot be loaded: No module named 'click'; run 'make install' in its folder and use .venv/bin/python.\n"
    )


SEES = """
import runpy, signal, sys
class Sees:
    def find_spec(name, *_):
        if name in ("click", "models"):
            print(int(signal.getsignal(signal.SIGINT)))
            sys.stdout.flush()
            raise SystemExit
sys.meta_path.insert(0, Sees)
sys.path.insert(0, ".")
sys.argv = ["queuectl.py"]
"""


@pytest.mark.parametrize("door", ["command line", "workers"])
@pytest.mark.parametrize("before", ["signal.default_int_handler", "signal.SIG_IGN"])
def test_while_code_is_loaded_a_ctrl_c_ends_the_process_in_silence_unless_it_is_deaf(door, before):
    done = run("-c", f"{SEES}signal.signal(signal.SIGINT, {before}); {DOORS[door]}")
    assert (done.stdout, done.stderr) == ("1\n" if before == "signal.SIG_IGN" else "0\n", "")


@pytest.mark.parametrize("port", ["abc", "99999", "-1"])
@pytest.mark.parametrize("words", [["-m", "gunicorn", "app:create_app()"], ["scripts/start.py"]])
def test_a_wrong_port_is_a_sentence(words, port):
    done = run(*words, PORT=port)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"PORT is {port!r}; give the number of a port, 1 to 65535, or 0 for any that is free.\n"


@pytest.mark.parametrize(("text", "port"), [("", 8000), (" ", 8000), ("0", 0), ("65535", 65535)])
def test_an_empty_port_is_the_default(text, port):
    done = run("-c", "import startup; print(startup.port())", PORT=text)
    assert done.stdout == f"{port}\n"


@pytest.mark.parametrize("number", ["abc", "-1", "9" * 30])
def test_a_wrong_number_of_workers_is_a_sentence(number):
    done = run("scripts/start.py", WORKERS=number)
    assert (done.returncode, done.stderr) == (1, f"WORKERS is {number!r}; give a number of workers, for example 2.\n")
    done = run("-m", "workers", "--count", number)
    sentence = f"python -m workers: argument --count: {number!r} is not a number of workers, 0 to 256; see --help.\n"
    assert (done.returncode, done.stderr) == (2, sentence)


def test_workers_in_a_folder_that_is_gone_are_a_sentence(tmp_path):
    done = run("-m", "workers", "--db", str(tmp_path / "queue.db"), "--folder", str(tmp_path / "gone"))
    assert (done.returncode, done.stderr) == (
        1,
        f"The workers cannot enter the folder {tmp_path / 'gone'}: No such file or directory; start them in another, or "
        "name one with --folder.\n",
    )


SAY_LOADED = """
import atexit, runpy, sys
sys.argv[0] = "queuectl.py"
sys.path.insert(0, ".")
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
"""
OURS = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
LOADED = """
cli cli.intake cli.options cli.outcome engine engine.batch engine.clock engine.config engine.counters engine.database
engine.deadline engine.dialect engine.driver engine.durations engine.errors engine.folding engine.ids engine.interruption
engine.jobs engine.jobs.incoming engine.opening engine.ownership engine.presence engine.spec engine.wakeup models startup
"""


def test_enqueue_loads_no_more_than_it_needs(tmp_path):
    """Each module costs every enqueue about a millisecond of processor time; one that joins must be worth that."""
    path = str(tmp_path / "queue.db")
    assert run("queuectl.py", "--db", path, "enqueue", "true").returncode == 0
    done = run("-c", SAY_LOADED + DOORS["command line"], "--db", path, "enqueue", "true")
    loaded = set(done.stderr.split())
    assert {name for name in loaded if name.partition(".")[0] in OURS} == set(LOADED.split())
    assert loaded.isdisjoint({"signal", "subprocess", "logging.handlers", "rich", "psutil", "shlex"})
