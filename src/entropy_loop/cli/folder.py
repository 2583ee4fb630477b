"""Commands that look after a results folder: is it whole, what can go?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from entropy_loop.cli.app import JsonOption, app, out
from entropy_loop.units import size

FolderArgument = Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")]


@app.command("verify")
def verify_(root: FolderArgument, as_json: JsonOption = False) -> None:
    """Hold every byte of every finished stage to its receipt. Damaged stages are named and put aside, so that the next
    run makes them anew; exit code 3 if there are any."""
    from entropy_loop.commands import results_folder

    lines = results_folder.verify(root)
    if as_json:
        print(json.dumps({"damaged": lines}, indent=1))
    else:
        for line in lines:
            out.print(line)
        told = "`entropy-loop run` makes these stages anew" if lines else "every stage is as it was written"
        out.print(f"{root}: {told}")
    if lines:
        raise typer.Exit(3)


@app.command("clean")
def clean_(
    root: FolderArgument,
    whole: Annotated[bool, typer.Option("--store", help="All stages, images and weights with them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what a run left unfinished and stages that the config does not name any more, after saying what and how
    much. Tables, figures and report stay."""
    from entropy_loop.commands import results_folder

    found = results_folder.spare(root, whole)
    if as_json:
        print(json.dumps([asdict(one) | {"path": str(one.path)} for one in found], indent=1))
    else:
        for one in found:
            out.print(f"{size(one.size):>8}  {one.path}  ({one.why})")
        out.print(f"{size(sum(one.size for one in found)) or '0 MB'} in {len(found)} folders")
    if found and (yes or (not as_json and typer.confirm("remove them?"))):
        results_folder.clean(root, found)
