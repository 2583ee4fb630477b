"""Commands that check and clean a results folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from entropy_loop.cli.app import JsonOption, app, out
from entropy_loop.units import size

FolderArgument = Annotated[Path, typer.Argument(metavar="RESULTS", help="A results folder.")]


@app.command("verify")
def verify_(root: FolderArgument, as_json: JsonOption = False) -> None:
    """Check that no stored file was changed or damaged. Compares every byte of the finished stages with what was
    written. Damaged stages are named and put aside, so that the next run makes them again. Exit code 3 if there are
    any."""
    from entropy_loop.commands import results_folder

    lines = results_folder.verify(root)
    if as_json:
        print(json.dumps({"damaged": lines}, indent=1))
    else:
        for line in lines:
            out.print(line)
        message = "`entropy-loop run` makes these stages again" if lines else "every stage is as it was written"
        out.print(f"{root}: {message}")
    if lines:
        raise typer.Exit(3)


@app.command("clean")
def clean_(
    root: FolderArgument,
    whole: Annotated[bool, typer.Option("--store", help="Remove all stages, with their images and weights.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove without asking.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove stages that a results folder no longer needs. These are unfinished ones and those that the config no
    longer names. Lists them with their sizes and asks first. Tables, figures and report stay."""
    from entropy_loop.commands import results_folder

    spare = results_folder.spare(root, whole)
    if as_json:
        print(json.dumps([asdict(folder) | {"path": str(folder.path)} for folder in spare], indent=1))
    else:
        for folder in spare:
            out.print(f"{size(folder.size):>8}  {folder.path}  ({folder.why})")
        out.print(f"{size(sum(folder.size for folder in spare)) or '0 MB'} in {len(spare)} folders")
    if spare and (yes or (not as_json and typer.confirm("remove them?"))):
        results_folder.clean(root, spare)
