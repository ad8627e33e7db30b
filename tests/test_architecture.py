"""The house rules that a reader relies on: who may import whom, who starts processes, who changes a job."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("engine", "workers", "server", "views", "cli")
SINGLE = ("startup", "models", "app", "queuectl")
FILES = sorted(
    [ROOT / f"{name}.py" for name in SINGLE] + [file for name in PACKAGES for file in (ROOT / name).rglob("*.py")]
)


def _module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {_module(file): file for file in FILES}


def every_module(rule: Callable[..., None]) -> Callable[..., None]:
    """The rule, a function of a module's name, as one test that names each module that breaks it."""
    return _each(MODULES, rule)


def _each(modules: Iterable[str], rule: Callable[..., None]) -> Callable[..., None]:
    def test() -> None:
        broken = []
        for module in modules:
            try:
                rule(module)
            except AssertionError as error:
                broken.append(f"{module}: {error}")
        assert not broken, "\n\n".join(broken)

    test.__doc__ = rule.__doc__
    return test


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def _imports(module: str) -> set[str]:
    """Every module that this one imports, inside functions too."""
    found = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the direction"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def _roots(module: str) -> set[str]:
    return {name.partition(".")[0] for name in _imports(module)}


def _dotted(node: ast.AST) -> str:
    """`os.kill` for the expression os.kill; "" for what is no plain name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return ""


def _names_used(module: str) -> set[str]:
    return {_dotted(node) for node in ast.walk(_tree(module)) if isinstance(node, (ast.Attribute, ast.Name))}


# --- who may import whom

BELOW = {
    "startup": set(),  # before all others, on a Python that may be too old for them
    "models": {"engine"},  # only its modules that know no table, see below
    "engine": {"models"},
    "workers": {"engine", "models", "startup"},
    "server": set(),  # what the server's parent loads stays small; the panel is loaded by its workers alone
    "views": {"server", "workers", "engine", "models"},
    "app": {"views", "workers", "engine", "models", "startup"},
    "cli": {"workers", "engine", "models"},
    "queuectl": {"cli", "workers", "engine", "models", "startup"},
}


@every_module
def test_imports_point_one_way(module):
    part = module.partition(".")[0]
    ours = _roots(module) & set(BELOW)
    assert ours <= BELOW[part] | {part}


WITHOUT_TABLES = ("engine.errors", "engine.clock", "engine.database", "engine.opening")


def test_the_models_import_only_what_knows_no_table():
    ours = {name for name in _imports("models") if name.startswith("engine.")}
    assert {".".join(name.split(".")[:2]) for name in ours} <= set(WITHOUT_TABLES)


@pytest.mark.parametrize("module", WITHOUT_TABLES)
def test_what_the_models_import_does_not_import_them(module):
    assert "models" not in _roots(module)


@every_module
def test_only_the_panel_knows_flask(module):
    web = {"flask", "flask_wtf", "flask_login", "htmx_flask", "jinja2", "werkzeug", "markupsafe", "wtforms"}
    if module.partition(".")[0] not in ("app", "views"):
        assert _roots(module).isdisjoint(web)


@every_module
def test_only_the_command_line_knows_click(module):
    if module.partition(".")[0] not in ("queuectl", "cli"):
        assert _roots(module).isdisjoint({"click", "rich"})


@every_module
def test_only_the_workers_know_processes(module):
    if module.partition(".")[0] == "workers":
        return
    assert _roots(module).isdisjoint({"subprocess", "multiprocessing", "psutil", "ctypes"})
    started = re.compile(
        r"os\.(kill|killpg|fork|forkpty|exec\w*|spawn\w*|posix_spawnp?|popen|system|wait\w*|pidfd_open)"
    )
    assert [name for name in _names_used(module) if started.fullmatch(name)] == []


@every_module
def test_only_who_is_in_the_foreground_heeds_signals(module):
    """The command line says what a Ctrl-C interrupted, and takes it for a wish in `worker start --foreground`."""
    if module.partition(".")[0] != "workers" and module not in ("queuectl", "startup", "cli.crew"):
        assert _roots(module).isdisjoint({"signal", "_signal"})


@every_module
def test_no_module_is_named_like_one_of_the_standard_library(module):
    name = module.rpartition(".")[2]
    assert name == "__main__" or name not in sys.stdlib_module_names


# --- who changes a job

WRITES = {"update", "insert", "insert_many", "replace", "replace_many", "delete", "delete_by_id", "create", "set_by_id"}
WRITES |= {"bulk_create", "bulk_update", "insert_from", "get_or_create", "truncate_table"}
SQL_WRITES = re.compile(r"\b(INSERT\s+INTO|REPLACE\s+INTO|UPDATE|DELETE\s+FROM)\s+\"?job\"?\b", re.IGNORECASE)


def _texts(module: str) -> list[str]:
    """The string constants, docstrings and all."""
    return [
        node.value for node in ast.walk(_tree(module)) if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def _is_of_jobs(module: str) -> bool:
    return f"{module}.".startswith("engine.jobs.")


@every_module
def test_only_one_package_changes_a_job(module):
    if _is_of_jobs(module):
        return
    changed = {f"{model}.{verb}" for model in ("Job", "models.Job") for verb in WRITES}
    assert _names_used(module) & changed == set()
    assert [name for name in _names_used(module) if name.endswith((".delete_instance", ".save"))] == []


@every_module
def test_only_the_dialect_holds_sql_that_changes_a_job(module):
    if module != "engine.dialect" and not _is_of_jobs(module):
        assert [text for text in _texts(module) if SQL_WRITES.search(text)] == []


@every_module
def test_the_hot_statements_are_sent_by_one_package(module):
    sent = {"dialect.CLAIM", "dialect.END", "dialect.END_ATTEMPT", "dialect.LOSE_ATTEMPT", "dialect.insert_jobs"}
    if not _is_of_jobs(module):
        assert _names_used(module).isdisjoint(sent)


# --- who reads the clock

CLOCKS = re.compile(r"(\w+\.)*(time\.(time|time_ns|localtime|gmtime|ctime)|(datetime|date)\.(now|utcnow|today))")


def _readers_of_the_clock(module: str) -> set[str]:
    functions = [node for node in ast.walk(_tree(module)) if isinstance(node, ast.FunctionDef)]
    inside = {id(child): function.name for function in functions for child in ast.walk(function)}
    used = [
        node for node in ast.walk(_tree(module)) if isinstance(node, ast.Attribute) and CLOCKS.fullmatch(_dotted(node))
    ]
    return {f"{module}.{inside.get(id(node), '')}" for node in used}


@every_module
def test_only_one_function_reads_the_wall_clock(module):
    assert _readers_of_the_clock(module) <= {"engine.clock._read_clocks"}


# --- nothing happens on import

WATCH = """
import json, os, sys
root, modules = sys.argv[1], sys.argv[2:]
events, present = {}, None
WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND

def opened(path, mode, flags):
    if flags & WRITE:
        return f"writes {path}"
    mine = isinstance(path, str) and path.startswith(root + "/") and not path.startswith(root + "/.venv")
    return f"reads {path}" if mine and not path.endswith((".py", ".pyc")) else None

def hook(event, args):
    if present is None:
        return
    if event == "open":
        what = opened(*args)
    elif event.startswith(("sqlite3.", "socket.", "subprocess.", "os.fork", "os.posix_spawn", "os.mkdir", "os.remove",
                           "os.rename", "os.system", "os.chdir", "os.putenv", "signal.", "fcntl.")):
        what = event
    else:
        what = None
    if what:
        events[present].append(what)

sys.addaudithook(hook)
for name in modules:
    events[name], present = [], name
    __import__(name)
    present = None
print(json.dumps(events))
"""


@cache
def events_on_import() -> dict[str, list[str]]:
    """What each module does when it is imported, as the interpreter itself tells."""
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCH, str(ROOT), *MODULES],
        cwd=ROOT,
        env={**os.environ, "QUEUECTL_DB": "/nowhere/queue.db"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@every_module
def test_nothing_happens_on_import(module):
    assert events_on_import()[module] == []


def test_the_way_of_a_worker_is_free_of_heavy_imports():
    code = "import sys, workers.supervisor; print(' '.join(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert {"flask", "jinja2", "rich", "click", "pydantic", "asyncio", "email", "urllib.request"}.isdisjoint(loaded)


@every_module
def test_no_step_of_a_generator_ends_inside_a_transaction(module):
    """Whoever asks for the next step may do so much later, or never, and would keep the write lock until then."""
    held = [
        inner.lineno
        for outer in ast.walk(_tree(module))
        if isinstance(outer, ast.With)
        and any("db.transaction" in ast.unparse(item.context_expr) for item in outer.items)
        for inner in ast.walk(outer)
        if isinstance(inner, ast.Yield | ast.YieldFrom)
    ]
    assert held == []


# --- how it reads

OF_THE_ENGINE = [name for name in MODULES if name.startswith("engine.") or name == "workers.control"]


def every_module_of_the_engine(rule: Callable[..., None]) -> Callable[..., None]:
    return _each(OF_THE_ENGINE, rule)


def _public_functions(module: str) -> list[ast.FunctionDef]:
    return [node for node in _tree(module).body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]


@every_module_of_the_engine
def test_a_public_function_says_what_it_promises(module):
    assert [function.name for function in _public_functions(module) if not ast.get_docstring(function)] == []


@every_module_of_the_engine
def test_a_public_function_says_its_types(module):
    def is_typed(function: ast.FunctionDef) -> bool:
        given = function.args
        arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
        return function.returns is not None and all(argument.annotation for argument in arguments)

    assert [function.name for function in _public_functions(module) if not is_typed(function)] == []


@every_module
def test_a_module_says_what_it_is_for(module):
    assert ast.get_docstring(_tree(module))


LONGEST = 300
LONGER = {"workers.supervisor": 380}


@every_module
def test_a_module_is_short_enough_to_read(module):
    """Those in LONGER may shrink and leave the list; none may join it."""
    assert len(MODULES[module].read_text().splitlines()) <= LONGER.get(module, LONGEST)


TEXT = {".py", ".md", ".html", ".css", ".js", ".toml", ".txt", ".in", ".sh", ".bat", ".svg", ".yml", ".yaml", ".cfg"}
BY_NAME = {"Makefile", "Procfile", "LICENSE", "run", ".gitignore"}
OTHERS = {
    ".git",
    ".venv",
    ".venv-unfinished",
    "node_modules",
    "__pycache__",
    "build",
    "dist",
    "htmlcov",
    "test-results",
}
WORKPLACE = re.compile("|".join([r"\biss" + r"ues?\b", "/wo" + "rk/", r"\bthe bri" + r"ef\b"]), re.IGNORECASE)


def _texts_of_the_project() -> list[Path]:
    found = []
    for folder, names, files in os.walk(ROOT):
        names[:] = [name for name in names if name not in OTHERS and not name.endswith(("_cache", ".run", ".egg-info"))]
        found += [Path(folder, file) for file in files if Path(file).suffix in TEXT or file in BY_NAME]
    return found


def test_no_text_speaks_of_the_place_it_was_written_at():
    told = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in _texts_of_the_project()
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1)
        if WORKPLACE.search(line)
    ]
    assert told == []
