"""Commands that help to write a config: a first one, and the schema for editors."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from entropy_loop.cli.app import app, out


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The config to write.")] = Path("experiment.yaml"),
    model: Annotated[
        str | None, typer.Option(help="bundled (default), sd15, sdxl, or a folder in diffusers' format.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="The prompt. Default: a photograph of an astronaut riding a horse.")
    ] = None,
    concepts: Annotated[
        str | None,
        typer.Option(help="What an image should show, separated by commas. Default: astronaut, horse, riding."),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(min=0, help="Images to keep of each pool; 0: no curation. Default: 32.")
    ] = None,
    generations: Annotated[int | None, typer.Option(min=1, help="Feedback steps. Default: 10.")] = None,
    images: Annotated[int | None, typer.Option(min=1, help="Images of each pool. Default: 128.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Chains of each arm; a claim needs three. Default: 1.")
    ] = None,
) -> None:
    """Write a first config, with a comment on every line. On a terminal it asks for what is not given of model, prompt,
    concepts and keep; in a script it takes their defaults."""
    from entropy_loop.commands import init

    usual, asks = init.Answers(), sys.stdin.isatty()
    if asks and model is None:
        out.print("\n".join(f"  {name}: {entry.title}" for name, entry in init.MODELS.items()))
    model = model if model is not None else _ask(asks, "model (or a folder)", usual.model)
    prompt = prompt if prompt is not None else _ask(asks, "prompt", usual.prompt)
    named = concepts if concepts is not None else _ask(asks, "its concepts, with commas", ", ".join(usual.concepts))
    kept = keep if keep is not None else int(_ask(asks, "images that curation keeps (0: none)", str(usual.keep)))
    answers = init.Answers(
        model, prompt, tuple(name.strip() for name in named.split(",") if name.strip()), kept,
        generations or usual.generations, images or usual.images, seeds or usual.seeds,
    )  # fmt: skip
    init.write(answers, file)
    fetch = f"`entropy-loop fetch {file}`, then " if answers.model in ("sd15", "sdxl") else ""
    out.print(f"wrote {file}; next: {fetch}`entropy-loop run {file}`")


def _ask(asks: bool, question: str, usual: str) -> str:
    return str(typer.prompt(question, default=usual)) if asks else usual


@app.command("schema")
def schema_(
    file: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it to a file.")] = None,
) -> None:
    """Print the JSON Schema of a config. An editor completes and checks a config that begins with
    `# yaml-language-server: $schema=FILE`."""
    from entropy_loop.storage.disk import write_text
    from entropy_loop.study import schema

    text = json.dumps(schema.schema(), indent=1)
    for line in schema.left_out():
        print(f"entropy-loop: warning: not in the schema: {line}", file=sys.stderr)
    if file is None:
        print(text)
        return
    write_text(file, text + "\n")
    out.print(f"wrote {file}; begin a config with `# yaml-language-server: $schema={file}`")
