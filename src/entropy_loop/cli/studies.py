"""Commands that work on a study: plan it, run it, look at what came out."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from entropy_loop.cli.app import ConfigArgument, JsonOption, OutOption, SetOption, app, out
from entropy_loop.units import duration, plain, size

if TYPE_CHECKING:
    from entropy_loop.commands.costs import Outlook
    from entropy_loop.report.text.final_message import Ending


def _engines(incomplete: str) -> list[str]:
    """Engines that begin so, for the shell."""
    from entropy_loop import registry

    return [name for name in registry.known(registry.ENGINE) if name.startswith(incomplete)]


@app.command()
def run(
    config: ConfigArgument,
    out_dir: OutOption = None,
    overrides: SetOption = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="local, or ray: workers share the work.", autocompletion=_engines),
    ] = None,
    address: Annotated[str | None, typer.Option(help="A Ray cluster to join: auto, or host:port.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="How many, of the engine ray.")] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Carry every N-th run, from the I-th on, beside other shards."),
    ] = None,
    fork: Annotated[
        bool,
        typer.Option("--fork", help="A changed config: into a new folder, which shares what is the same."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for every event, at last the rates.")] = False,
) -> None:
    """Run an experiment, or continue it: finished stages are never made twice."""
    from entropy_loop.commands import experiment, results_folder
    from entropy_loop.commands.progress import Progress

    told = {"use": engine, "address": address, "workers": workers}
    machine = [f"engine.{name}={value}" for name, value in told.items() if value is not None]
    planned = experiment.prepare(config, (*(overrides or ()), *machine), check_models=False)
    root = out_dir or Path("results") / planned.study.config.name
    part = experiment.Shard.parse(shard) if shard else None
    ending = None if fork else experiment.previous_ending(planned, root, part)
    if not (ending or experiment.finished(planned, root)):
        experiment.check_ready(planned)  # what is finished needs no model, nor the libraries that look for one
    if not experiment.leads():
        if not ending:
            experiment.join_trainings(planned)
        return
    if fork:
        root = results_folder.fork(planned, root)
        out.print(f"forked into {root}")
    if not ending:
        for line in results_folder.check_same_experiment(planned, root):
            if not as_json:
                out.print(line)
        with Progress(planned, out, as_json) as progress:
            finished = experiment.carry_out(planned, root, progress, part)
        if not finished:
            out.print(f"shard {shard} is done; the last one writes the report, as `entropy-loop report {root}` does.")
            return
        ending = finished.ending
    _tell(ending, as_json)


def _tell(ending: Ending, as_json: bool = False) -> None:
    """The end of a run: V and c, warnings, and where the report is; as JSON the rates."""
    from entropy_loop.storage.reading import written

    if as_json:
        rates = json.loads(written(ending.report.parent / "rates.csv").to_json(orient="records"))
        print(json.dumps({"event": "done", "report": str(ending.report), "rates": rates}))
        return
    out.print(ending.summary)
    for warning in ending.warnings:
        out.print(f"warning: {warning}", markup=False)
    out.print(f"report: {ending.report}")


@app.command("fetch")
def fetch_(config: ConfigArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Download the models that a config needs. Everything else works without a connection."""
    from entropy_loop.commands import fetch
    from entropy_loop.study import study

    wanted = list(fetch.wanted(study.load(config, tuple(overrides or ()))))
    fetch.check_pinned(wanted)
    found = []
    for download in wanted:
        if not as_json:
            out.print(f"{download.repo} at {download.revision}")
        found.append(fetch.fetch(download))
    if as_json:
        print(json.dumps([asdict(one) for one in found], indent=1))
        return
    table = Table("model", "files", "size", "downloaded", "size", box=None)
    for one in found:
        table.add_row(one.repo, f"{one.files}", size(one.size), f"{one.new_files}", size(one.new_size))
    out.print(table if found else "nothing to download: every model is bundled, or a folder")


@app.command()
def plan(
    config: ConfigArgument, out_dir: OutOption = None, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Show what a config would do, and how much of it is done. Changes nothing, loads no model."""
    from entropy_loop.commands import experiment

    planned = experiment.prepare(config, tuple(overrides or ()), check_models=False)
    forecast = experiment.forecast(planned, out_dir or Path("results") / planned.study.config.name)
    if as_json:
        print(json.dumps(forecast.values(), indent=1))
        return
    config_ = planned.study.config
    steps = f"{config_.generations} feedback {'steps' if config_.generations > 1 else 'step'}"
    chains = f"{len(planned.chains)} {'runs' if len(planned.chains) > 1 else 'run'}"
    out.print(f"{config_.name}: {chains}, {steps}")
    table = Table("stage", "in all", "done", "images", "UNet evaluations", "TFLOP", "disk", box=None)
    for stage, row in forecast.stages.items():
        numbers = (f"{row[name]:,.0f}" for name in ("stages", "done", "images", "evaluations"))
        tflop = [plain(row["tflop"])] * (row["tflop"] > 0) + ["unknown"] * int(row["unknown"])
        table.add_row(stage, *numbers, " + ".join(tflop), size(int(row["disk"])))
    out.print(table)
    if any(row["tflop"] for row in forecast.stages.values()):
        out.print(_estimates(forecast.estimates))
        out.print("estimates from arithmetic alone, not measured; memory is rough")
        out.print("left out: what is unknown, the judges' memory, measures and reports")
    for name in forecast.chains:
        out.print(f"  {name}")


def _estimates(rows: list[Outlook]) -> Table:
    """What the whole plan would take on one of each device."""
    table = Table("on one", "time", "memory, sampling", "training", "at", box=None)
    for row in rows:
        speed = f"{row.device.used:.0%} of {row.device.fp32:g} TFLOP/s fp32, {row.device.half:g} half"
        fits = "" if row.fits else "  does not fit"
        table.add_row(row.device.name, duration(row.hours), size(row.sampling), size(row.training), speed + fits)
    return table


@app.command()
def report(
    results: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")],
    form: Annotated[
        Literal["html", "md", "json"],
        typer.Option("--format", help="html writes tables and report.html; md and json print, and write nothing."),
    ] = "html",
) -> None:
    """Write the tables and the report of a results folder anew from what is stored. Loads no model."""
    from entropy_loop.commands import experiment
    from entropy_loop.report.text import formats

    if form == "html":
        _tell(experiment.report(results).ending)
        return
    read = experiment.read(results)
    print(formats.markdown(*read) if form == "md" else json.dumps(formats.values(*read), indent=1))


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Results folders.")],
    as_json: JsonOption = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page with the table and a figure, too.")
    ] = None,
) -> None:
    """Put results side by side: V and c of `all` in every arm, from the tables alone."""
    from entropy_loop.report.page import comparison
    from entropy_loop.report.text import compare as side_by_side

    found = side_by_side.compare(folders)
    if html:
        comparison.write(folders, found, html)
    if as_json:
        print(found.to_json(orient="records", indent=1))
        return
    table = Table(*side_by_side.HEADS, box=None)
    for line in side_by_side.lines(found):
        table.add_row(*line)
    out.print(table)
    if html:
        out.print(f"page: {html}")
