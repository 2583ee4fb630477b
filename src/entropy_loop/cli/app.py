"""What the commands share: the app, the console, and common options."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

GROUPS = {
    "Commands": ("init", "doctor", "fetch", "plan", "run", "watch", "report", "compare"),
    "People and judges": ("rate", "import", "export", "calibrate"),
    "Tools": ("verify", "clean", "power", "selfcheck", "world", "list", "schema"),
}
"""Heading -> commands. The first are in the order of a study, from its config to its results."""
ORDER = tuple(name for names in GROUPS.values() for name in names)


class Ordered(TyperGroup):
    """Lists its commands in ORDER, under the headings of GROUPS."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted(super().list_commands(ctx), key=ORDER.index)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, ORDER))
        for heading, names in GROUPS.items():
            commands = {name: self.get_command(ctx, name) for name in names}
            texts = [c.get_short_help_str(formatter.width - 6 - width) if c else "" for c in commands.values()]
            with formatter.section(heading):
                formatter.write_dl([(f"{name:{width}}", text) for name, text in zip(commands, texts, strict=True)])


app = typer.Typer(
    cls=Ordered,
    help="What becomes of a text-to-image model when its own images are fed back into its training?\n\n"
    "Start with `entropy-loop run configs/tutorial.yaml` (five minutes), or write a config of your own with "
    "`entropy-loop init`.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
# In a file or pipe tables keep their whole width.
out = Console(soft_wrap=True, markup=False, highlight=False, width=None if sys.stdout.isatty() else 160)


def _configs(incomplete: str) -> list[str]:
    """Completions for the shell: YAML files and folders."""
    paths = Path().glob(f"{incomplete}*") if not Path(incomplete).is_absolute() else ()
    return sorted(
        f"{path}/" if path.is_dir() else str(path) for path in paths if path.is_dir() or path.suffix == ".yaml"
    )


def _keys(incomplete: str) -> list[str]:
    """Completions for the shell: keys of a config."""
    from entropy_loop.study.schema import keys

    return [f"{key}=" for key in keys() if key.startswith(incomplete)]


ConfigArgument = Annotated[
    Path,
    typer.Argument(metavar="CONFIG", help="A YAML file; configs/ has examples.", autocompletion=_configs),
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
