"""Commands on a study: fetch its models, plan it, run it, report and compare its results."""

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
    from entropy_loop.report.text.final_message import FinalMessage


def _engines(incomplete: str) -> list[str]:
    """Completions for the shell: names of engines."""
    from entropy_loop import registry

    return [name for name in registry.known(registry.ENGINE) if name.startswith(incomplete)]


@app.command()
def run(
    config: ConfigArgument,
    out_dir: OutOption = None,
    overrides: SetOption = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="local (this machine), or ray (a cluster).", autocompletion=_engines),
    ] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join: auto, or host:port.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of worker processes. Default: one per core.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Be job I (1 to N) of N: run only every N-th chain, from chain I on."),
    ] = None,
    fork: Annotated[
        bool,
        typer.Option("--fork", help="If the config changed: write to a new folder and reuse the unchanged stages."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON per event; the last one holds V.")
    ] = False,
) -> None:
    """Run an experiment, or continue it. Finished stages are never made again."""
    from entropy_loop.commands import experiment, results_folder
    from entropy_loop.commands.progress import Progress
    from entropy_loop.errors import ConfigError

    options = {"use": engine, "address": address, "workers": workers}
    if shard and any(value is not None for value in options.values()):
        raise ConfigError("--shard: each job works in one process; leave out --engine, --address and --workers.")
    machine = [f"engine.{name}={value}" for name, value in options.items() if value is not None]
    planned = experiment.prepare(config, (*(overrides or ()), *machine), check_models=False)
    root = out_dir or Path("results") / planned.study.config.name
    part = experiment.Shard.parse(shard) if shard else None
    ending = None if fork else experiment.previous_ending(planned, root, part)
    if not (ending or experiment.finished(planned, root)):
        experiment.check_ready(planned)  # a finished run needs no model, and no model library is loaded
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
            out.print(f"shard {shard} is done. The last shard writes the report, as does `entropy-loop report {root}`.")
            return
        ending = finished.ending
    _print_ending(ending, as_json)


def _print_ending(ending: FinalMessage, as_json: bool = False) -> None:
    """Print V and c, the warnings, and where the report is; as JSON the rates."""
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
    """Download the models that a config needs. No other command downloads anything."""
    from entropy_loop.commands import fetch
    from entropy_loop.study import study

    wanted = list(fetch.wanted(study.load(config, tuple(overrides or ()))))
    fetch.check_pinned(wanted)
    models = []
    for download in wanted:
        if not as_json:
            out.print(f"{download.repo} at {download.revision}")
        models.append(fetch.fetch(download))
    if as_json:
        print(json.dumps([asdict(model) for model in models], indent=1))
        return
    table = Table("model", "files", "size", "downloaded", "size", box=None)
    for model in models:
        table.add_row(model.repo, f"{model.files}", size(model.size), f"{model.new_files}", size(model.new_size))
    out.print(table if models else "nothing to download: every model is bundled, or a folder")


@app.command()
def plan(
    config: ConfigArgument, out_dir: OutOption = None, overrides: SetOption = None, as_json: JsonOption = False
) -> None:
    """Show what a config would do, and how much of it is done. Changes nothing and loads no model."""
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
    table = Table("stage", "total", "done", "images", "UNet evaluations", "TFLOP", "disk", box=None)
    for stage, row in forecast.stages.items():
        numbers = (f"{row[name]:,.0f}" for name in ("stages", "done", "images", "evaluations"))
        tflop = [plain(row["tflop"])] * (row["tflop"] > 0) + ["unknown"] * int(row["unknown"])
        table.add_row(stage, *numbers, " + ".join(tflop), size(int(row["disk"])))
    out.print(table)
    if any(row["tflop"] for row in forecast.stages.values()):
        out.print(_estimates(forecast.estimates))
        out.print("estimates by arithmetic, not measured; memory is a rough estimate")
        out.print("not included: unknown costs, the judges' memory, measures and reports")
    for name in forecast.chains:
        out.print(f"  {name}")


def _estimates(rows: list[Outlook]) -> Table:
    """Time and memory of the whole plan on one of each device."""
    table = Table("on one", "time", "memory, sampling", "training", "at", box=None)
    for row in rows:
        speed = f"{row.device.used:.0%} of {row.device.fp32:g} TFLOP/s fp32, {row.device.half:g} half"
        fits = "" if row.fits else "  does not fit"
        table.add_row(row.device.name, duration(row.hours), size(row.sampling), size(row.training), speed + fits)
    return table


@app.command()
def report(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A results folder.")],
    form: Annotated[
        Literal["html", "md", "json"],
        typer.Option("--format", help="html writes tables and report.html; md and json only print."),
    ] = "html",
) -> None:
    """Write the tables and the report of a results folder again. Reads the stored stages and loads no model."""
    from entropy_loop.commands import experiment
    from entropy_loop.report.text import formats

    if form == "html":
        _print_ending(experiment.report(results).ending)
        return
    read = experiment.read(results)
    print(formats.markdown(*read) if form == "md" else json.dumps(formats.values(*read), indent=1))


@app.command()
def compare(
    folders: Annotated[list[Path], typer.Argument(metavar="RESULTS", help="Results folders.")],
    as_json: JsonOption = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write a page with the table and a figure.")
    ] = None,
) -> None:
    """Compare results side by side, from their tables. Shows V and c of all concepts in one image, for every arm."""
    from entropy_loop.report.page import comparison
    from entropy_loop.report.text import compare as side_by_side

    compared = side_by_side.compare(folders)
    if html:
        comparison.write(folders, compared, html)
    if as_json:
        print(compared.to_json(orient="records", indent=1))
        return
    table = Table(*side_by_side.HEADS, box=None)
    for line in side_by_side.lines(compared):
        table.add_row(*line)
    out.print(table)
    if html:
        out.print(f"page: {html}")
