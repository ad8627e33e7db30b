"""The locks, the set-up files and the docs about them agree."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.txt", "requirements-dev.txt")
OUR_TOP_LEVEL = {"app", "cli", "engine", "migrations", "models", "queuectl", "server", "tests", "views", "workers"}
NOT_OURS = re.compile(
    r"(^|/)_?(htmx|hyperscript|idiomorph|alpine|jquery|bootstrap|tailwind|pico|chart|d3|react|vue|fontawesome|axe)"
    r"([-.@][-.@\w]*)?\.(js|mjs|css|woff2?)$|\.min\.(js|css)$|(^|/)(node_modules|vendor)/",
    re.IGNORECASE,
)


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def listed(source: str) -> set[str]:
    """The packages that a .in file names."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / source).read_text().splitlines())
    return {normalized(re.split(r"[\s<>=!~;\[]", line)[0]) for line in lines if line and not line.startswith("-")}


def locked(lock: str) -> dict[str, str]:
    """Name to the whole entry of a lock: version, marker and hashes."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / lock).read_text(), flags=re.MULTILINE)
    entries = text.replace("\\\n", " ").splitlines()
    return {normalized(entry.partition("==")[0]): " ".join(entry.split()) for entry in entries if entry.strip()}


def files_of_the_repo() -> list[str]:
    """What git tracks, or without git what lies in the folder and was not made by set-up."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        made = {".git", ".venv", "__pycache__", ".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
        names = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        return [str(name) for name in names if not made & set(name.parts)]
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_one_exact_version_and_a_hash(lock: str) -> None:
    for name, entry in locked(lock).items():
        assert re.fullmatch(r"[\w.-]+==[\w.!+-]+( ; [^\\]+?)?( --hash=sha256:[0-9a-f]{64})+", entry), name


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host_and_no_path(lock: str) -> None:
    text = (ROOT / lock).read_text()
    found = re.findall(r".*(?:://|file:|--(?:index|extra|find|trusted)|(?<![\w.])/\w).*", text)
    assert not found


@pytest.mark.parametrize("lock", LOCKS)
def test_django_is_not_locked(lock: str) -> None:
    assert not {"django", "asgiref", "sqlparse"} & set(locked(lock))


@pytest.mark.parametrize(
    ("source", "lock"), [("requirements.in", "requirements.txt"), ("requirements-dev.in", "requirements-dev.txt")]
)
def test_every_listed_package_is_locked_and_explained(source: str, lock: str) -> None:
    docs = (ROOT / "docs" / "dependencies.md").read_text()
    explained = {normalized(name) for name in re.findall(r"^\| `([\w.-]+)`", docs, flags=re.MULTILINE)}
    assert listed(source)
    assert listed(source) <= set(locked(lock))
    assert listed(source) <= explained


def test_the_docs_explain_no_package_that_is_gone() -> None:
    docs = (ROOT / "docs" / "dependencies.md").read_text()
    explained = {normalized(name) for name in re.findall(r"^\| `([\w.-]+)`", docs, flags=re.MULTILINE)}
    assert explained <= listed("requirements.in") | listed("requirements-dev.in")


def test_the_locks_agree_on_every_package_they_share() -> None:
    run, dev = (locked(lock) for lock in LOCKS)
    assert run.items() <= dev.items()


def test_what_runs_here_is_what_is_locked() -> None:
    for name, entry in locked("requirements-dev.txt").items():
        if ";" not in entry:
            assert importlib.metadata.version(name) == entry.split("==")[1].split()[0], name


def test_no_installed_package_takes_the_name_of_one_of_our_modules() -> None:
    taken = set(importlib.metadata.packages_distributions())
    assert not OUR_TOP_LEVEL & taken - {"queuectl"}


def test_the_procfile_has_the_panel_and_the_workers() -> None:
    lines = (ROOT / "Procfile").read_text().splitlines()
    processes = dict(line.split(": ", 1) for line in lines)
    assert set(processes) == {"web", "worker"}
    assert 'gunicorn "app:create_app()"' in processes["web"]
    assert "python -m workers" in processes["worker"]


def test_no_front_end_file_of_others_is_in_the_repo() -> None:
    files = files_of_the_repo()
    assert "Procfile" in files
    assert [name for name in files if NOT_OURS.search(name)] == []
