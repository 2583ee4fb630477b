"""The documentation cannot lie: what it names exists, what it shows runs."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

from entropy_loop import errors, registry
from entropy_loop.cli import app
from entropy_loop.study import study

COMMANDS_PAGE, EXTENDING = Path("docs/commands.md").read_text(), Path("docs/extending.md").read_text()
COMMANDS = sorted(info.name or info.callback.__name__ for info in app.registered_commands if info.callback)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_on_the_commands_page_and_has_help(command: str) -> None:
    """A command that nobody can find is not there."""
    assert f"\n| `entropy-loop {command}" in COMMANDS_PAGE
    info = next(i for i in app.registered_commands if (i.name or i.callback.__name__) == command)  # type: ignore[union-attr]
    assert (info.callback.__doc__ or "").strip()


def test_the_commands_were_found() -> None:
    """The walk above has found something."""
    assert {"run", "plan", "report", "world", "list", "doctor"} <= set(COMMANDS)


def test_every_config_is_on_the_configs_page() -> None:
    """Each file of configs/ has its row, and no row names a file that is not there."""
    listed = re.findall(r"^\| (`configs/.*?) \| ", Path("docs/configs.md").read_text(), re.MULTILINE)
    named = [name for cell in listed for name in re.findall(r"`(configs/[\w-]+\.yaml)`", cell)]
    assert sorted(named) == sorted(map(str, Path("configs").glob("*.yaml")))


def test_every_exit_code_is_on_the_commands_page() -> None:
    """The page has the exit code of every error of the library, and those of signals."""
    codes = {code for row in re.findall(r"^\| ([\d, ]+) \| ", COMMANDS_PAGE, re.MULTILINE) for code in row.split(", ")}
    assert {str(error.exit_code) for error in vars(errors).values() if hasattr(error, "exit_code")} <= codes
    assert {"0", "3", "130", "143"} <= codes


def links(path: Path) -> list[Path]:
    """Files that a page links to, without anchors and addresses."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", path.read_text())
    return [path.parent / link for link in targets if "://" not in link]


@pytest.mark.parametrize("path", [Path("README.md"), *sorted(Path("docs").rglob("*.md"))], ids=str)
def test_links_point_to_files(path: Path) -> None:
    """Every page and picture that a page links to is there."""
    assert [str(link) for link in links(path) if not link.exists()] == []


def test_every_page_can_be_found() -> None:
    """The index links every page of docs/, and the README links the index."""
    pages = {path.resolve() for path in Path("docs").rglob("*.md")} - {Path("docs/index.md").resolve()}
    assert pages <= {link.resolve() for link in links(Path("docs/index.md"))}
    assert Path("docs/index.md").resolve() in {link.resolve() for link in links(Path("README.md"))}


def test_the_house_names_modules_and_objects_that_exist() -> None:
    """docs/house.md: every module path, and every `module.Name` of the package."""
    page = Path("docs/house.md").read_text()
    paths = re.findall(r"`([a-z][\w/]*\.py)`", page)
    assert len(paths) > 15
    assert [path for path in paths if not Path("src/entropy_loop", path).exists()] == []
    objects = set(re.findall(r"`([a-z]\w*)\.([A-Z]\w+)`", page)) - {("typing", "Protocol")}
    assert len(objects) > 10
    assert [name for name in objects if not hasattr(import_module(f"entropy_loop.{name[0]}"), name[1])] == []


def test_the_short_policy_of_the_docs_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The complete example plug-in is built by name, with its options checked, and selects."""
    source = next(
        block for block in re.findall(r"```python\n(.*?)```", EXTENDING, re.DOTALL) if "class FirstK" in block
    )
    module = type(registry)("short_policy")
    monkeypatch.setitem(__import__("sys").modules, "short_policy", module)
    exec(source, module.__dict__)
    monkeypatch.setitem(registry.POLICY.bundled, "first_k", "short_policy:FirstK")
    registry.known.cache_clear()
    policy = registry.build(registry.POLICY, {"use": "first_k", "k": 2})
    chosen = policy(pd.DataFrame({"id": list("abcd"), "score": [3.0, 1.0, 2.0, 0.0]}), seed=0)
    registry.known.cache_clear()
    assert sorted(chosen.loc[chosen["kept"], "id"]) == ["a", "b"]


PAGES = [Path("README.md"), *sorted(Path("docs").rglob("*.md")), *sorted(Path("experiments").glob("*/*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=str)
def test_files_that_the_docs_name_exist(path: Path) -> None:
    """Configs, scripts, pictures and source files named in the docs are there."""
    named = set(re.findall(r"(?:configs|scripts|docs|experiments|results/reference)/[\w./-]+\.\w+", path.read_text()))
    assert not {name for name in named if not Path(name).exists()}


def test_every_overriding_example_is_a_valid_one() -> None:
    """What the pages pass to --set is accepted by the toy config."""
    overrides = [text.strip("'") for page in PAGES for text in re.findall(r"`--set ([^`]+)`", page.read_text())]
    assert len(overrides) >= 4
    for text in overrides:
        study.load(Path("configs/toy.yaml"), (text,))


def test_the_schedule_on_paper_is_what_the_simulation_prints() -> None:
    """docs/scaling.md shows a command and its table."""
    page = Path("docs/scaling.md").read_text()
    (shown,) = re.findall(r"^    (python -m scripts.tools.simulate_schedule .*?)\n\n", page, re.DOTALL | re.MULTILINE)
    line = [sys.executable, *shlex.split(shown.replace("\n", " "))[1:]]
    counts, table = subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip().split("\n\n")
    assert len(table.splitlines()) == 9
    assert table in page
    assert counts.partition(",")[0] in page
