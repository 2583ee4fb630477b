"""What the commands share: the app, the console, and options that several of them have."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer(
    help="What becomes of a text-to-image model when its own images are fed back into its training?",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# Where nobody watches a terminal, tables keep their whole width.
out = Console(soft_wrap=True, markup=False, highlight=False, width=None if sys.stdout.isatty() else 160)


def _configs(incomplete: str) -> list[str]:
    """YAML files and folders that begin so, for the shell."""
    found = Path().glob(f"{incomplete}*") if not Path(incomplete).is_absolute() else ()
    return sorted(
        f"{path}/" if path.is_dir() else str(path) for path in found if path.is_dir() or path.suffix == ".yaml"
    )


def _keys(incomplete: str) -> list[str]:
    """Config keys that begin so, for the shell."""
    from entropy_loop.schema import keys

    return [f"{key}=" for key in keys() if key.startswith(incomplete)]


ConfigArgument = Annotated[
    Path,
    typer.Argument(metavar="CONFIG", help="A YAML file; configs/ has ready-to-run ones.", autocompletion=_configs),
]
OutOption = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: results/<name>.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a config key, for example --set images=64. Repeatable.",
        autocompletion=_keys,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def size(count: int) -> str:
    """Bytes as people read them; empty for none."""
    return f"{count / 1e9:,.2g} GB" if count >= 1e8 else f"{count / 1e6:,.2g} MB" if count else ""
