"""Every command that the documentation shows is one that works.

Each one is parsed by the real command line, so a command, an option or a value that does not exist fails. Then it is
run, in a folder with the repository's configs and reference results, as follows.

- `plan`, `power`, `compare`, `list`, `--help` and what else is cheap: as it stands.
- `run` of a config on the bundled models: with `SMALL` behind it: the toy generator, two generations, no sweep. Where
  the command says `--set`, `plan` of the very command comes first. test_extending.py runs the tutorial's config on the
  bundled checkpoint itself.
- `run` of a config whose models come from a hub, and `fetch`: `plan` of the same config. There is no hub and no GPU
  here; tests/commands/test_fetch.py downloads from a hub of its own.
- `--engine`, `--address`, `--workers`, `--shard`: parsed, and left out of the run; tests/engines starts clusters.
- `calibrate` is parsed alone: it needs labelled images; tests/commands/test_calibrate.py has some.
- `accelerate launch -m entropy_loop ...` and `srun ... entropy-loop ...`: what stands behind it, as above.
- `make TARGET`: `make --dry-run`. `pip install 'entropy-loop[EXTRA]'`: the extra exists. `python -m scripts.X`: its
  `--help` names every option shown. `. .venv/bin/activate` is the set-up's own.
- Forms with placeholders (`entropy-loop run CONFIG [--out DIR]`): parsed, the placeholders filled in and everything
  in brackets taken. Code in a sentence that leaves out what is needed: the command and the options exist.

docs/extending.md needs its plug-ins installed: test_extending.py.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from shown import Shown, pages, shown
from typer.testing import CliRunner

from conftest import environment
from entropy_loop.cli import app
from entropy_loop.commands import fetch
from entropy_loop.study import study

REPOSITORY = Path.cwd()
EXTENDING = Path("docs/extending.md")
SMALL = (
    "generations=1", "images=64", "measured_images=4", "evaluation.images=2", "threads=1", "sweep={}", "arms=[]",
    "controls=none", "measures={}", "attributes={}", "generator={use: categorical}", "judges=[{use: exact}]",
    "curate.scorer={use: exact}", "real={use: categorical, rates: {astronaut: 1, horse: 1, riding: 1}}",
)  # fmt: skip
GROUP: Any = typer.main.get_command(app)


def parsed(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """The command and its parameters, as the real command line reads it; ('', {}) where `--help` ends it."""
    try:
        group = GROUP.make_context("entropy-loop", list(arguments))
        name, command, rest = GROUP.resolve_command(group, [*group._protected_args, *group.args])
        return str(name), command.make_context(name, list(rest), parent=group).params
    except Exception as error:
        if type(error).__name__ == "Exit" and getattr(error, "exit_code", 1) == 0:
            return "", {}
        raise


def exists(arguments: list[str]) -> None:
    """The command and the options that are named exist, even where what is needed is left out."""
    group = GROUP.make_context("entropy-loop", [], resilient_parsing=True)
    command = GROUP.get_command(group, arguments[0])
    assert command is not None, arguments[0]
    options = {option for param in command.params for option in param.opts}
    assert {word for word in arguments[1:] if word.startswith("--")} <= options


PARSED = ("calibrate", "rate", "watch", "import", "export")
"""Commands that take minutes, or that wait for people: their arguments are only read."""


def lines(arguments: list[str]) -> list[list[str]]:
    """What is run for `entropy-loop ARGUMENTS`; see above."""
    name, options = parsed(arguments)
    if name not in ("run", "fetch"):
        return [] if name in PARSED else [arguments]
    places = ["--out", str(options["out_dir"])] if options.get("out_dir") else []
    overrides = [word for override in options["overrides"] or () for word in ("--set", override)]
    asked = [str(options["config"]), *overrides]
    if name == "fetch" or list(fetch.wanted(study.load(options["config"], tuple(options["overrides"] or ())))):
        return [["plan", *asked, *places]]
    small = [word for override in SMALL for word in ("--set", override)]
    return [*([["plan", *asked]] if overrides else []), ["run", *asked, *places, *small]]


def done(arguments: list[str]) -> None:
    """Run `entropy-loop ARGUMENTS` to its end with 0: here; `doctor`, which loads torch, in a process of its own."""
    if arguments[0] == "doctor":
        subprocess.run([sys.executable, "-m", "entropy_loop", *arguments], env=environment(), check=True, timeout=120)
        return
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, f"{arguments}\n{result.output}\n{result.exception}"


def other(argv: list[str]) -> None:
    """A command that is not ours."""
    match argv:
        case ["make", target]:
            dry = ["make", "--dry-run", target]
            assert subprocess.run(dry, cwd=REPOSITORY, capture_output=True, check=False).returncode == 0
        case ["pip", "install", package]:
            extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            name, _, extra = package.rstrip("]").partition("[")
            assert (name, extra in extras) == ("entropy-loop", True)
        case ["python", "-m", module, *rest]:
            line = [sys.executable, "-m", module, "--help"]
            output = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
            assert {word for word in rest if word.startswith("--")} <= set(output.replace(",", " ").split())
        case _:
            assert argv == [".", ".venv/bin/activate"]


def ours(argv: list[str]) -> list[str] | None:
    """The arguments of `entropy-loop`, called directly or behind a launcher; None where it is another command."""
    for launcher in (["entropy-loop"], ["-m", "entropy_loop"]):
        for i in range(len(argv)):
            if argv[i : i + len(launcher)] == launcher and (i == 0 or argv[0] in ("srun", "accelerate")):
                return argv[i + len(launcher) :]
    return None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the reader's: the repository without its results, but for the reference ones."""
    for name in ("configs", "scripts"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reference").symlink_to(REPOSITORY / "results" / "reference")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.chdir(tmp_path)
    return tmp_path


PAGES = [page for page in pages() if page != EXTENDING and list(shown(page))]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_command_of_a_page_works(page: Path, folder: Path) -> None:
    """In the order in which the page shows them, as one reader would type them; see the top of this file."""
    for command in shown(REPOSITORY / page):
        arguments = ours(command.argv)
        if arguments is None:
            other(command.argv)
        elif not command.whole and not complete(arguments):
            exists(arguments)
        elif command.form:
            parsed(arguments)
        else:
            for line in lines(arguments):
                done(line)


def complete(arguments: list[str]) -> bool:
    """Whether nothing that is needed is left out. A wrong option or value is an error here, too."""
    try:
        parsed(arguments)
    except Exception as error:
        if type(error).__name__ == "MissingParameter" or "requires an argument" in str(error):
            return False
        raise
    return True


@pytest.mark.parametrize(
    "text",
    [
        "entropy-loop rum configs/toy.yaml",
        "entropy-loop run configs/toy.yaml --sett images=8",
        "entropy-loop compare",
        "entropy-loop power --rate high --change 0.1",
        "entropy-loop run CONFIG [--shards I/N]",
    ],
)
def test_a_command_that_does_not_exist_is_an_error(text: str) -> None:
    """The test above can fail: at a command, an option, a value and an argument that is missing."""
    form = "[" in text
    with pytest.raises(Exception, match=r"No such|Missing|Invalid|valid"):
        parsed(Shown(text, True, form).argv[1:])


def test_the_commands_were_found() -> None:
    """The walk above has found what the pages show, in fences, in indented blocks, in sentences and in headers."""
    texts = {" ".join(command.argv) for page in pages() for command in shown(page)}
    assert {
        "entropy-loop plan configs/tutorial.yaml",
        "entropy-loop run configs/toy.yaml --engine ray --workers 2",
        "entropy-loop run configs/controls.yaml",
        "entropy-loop fetch configs/astronaut-sdxl.yaml",
        "make test-slow",
    } <= texts
    assert len(texts) > 50
