"""Commands beside a study: its size, its judges, the laws, drawn scenes, plug-ins, this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from entropy_loop.cli.app import ConfigArgument, JsonOption, SetOption, app, out


@app.command()
def power(
    rate: Annotated[float, typer.Option(help="V before the change, 0 to 1.")],
    change: Annotated[float, typer.Option(help="The change to detect: c = (V1 - V2) / V1.")],
    images: Annotated[int | None, typer.Option(help="Images of a pool.")] = None,
    keep: Annotated[str | None, typer.Option(help="Images fed back: a number, or a share such as 0.25.")] = None,
    chains: Annotated[int | None, typer.Option(help="Chains (seeds) of the arm.")] = None,
    wanted: Annotated[float | None, typer.Option("--power", help="Chance to detect the change.")] = None,
    generations: Annotated[int, typer.Option(help="Feedback steps over which V falls.")] = 1,
    rated: Annotated[int | None, typer.Option(help="Images of a pool that people rate.")] = None,
    raters: Annotated[int | None, typer.Option(help="People who rate each of them. Default: 1.")] = None,
    agreement: Annotated[float | None, typer.Option(help="Their intraclass correlation, 0 to 1. Default: 1.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute how large a study must be. Leave out one of --images, --keep, --chains and --power: it is computed from
    the others. If people judge, add --rated, --raters and --agreement; --rated can be the one to compute, too."""
    from entropy_loop.metrics.power import size, solve

    design = solve(rate, change, images, size(keep), chains, wanted, generations, 0, rated, raters, agreement)
    numbers = {name: value for name, value in asdict(design).items() if value is not None}
    if as_json:
        print(json.dumps(numbers, indent=1))
        return
    for name, value in numbers.items():
        out.print(f"{name:>12}  {value:.3g}" if isinstance(value, float) else f"{name:>12}  {value}")


@app.command("selfcheck")
def selfcheck_(seed: Annotated[int, typer.Option(min=0, help="Any seed.")] = 0, as_json: JsonOption = False) -> None:
    """Check the loop against results that are known exactly. Runs toy models whose result follows from a formula, and
    compares. Exit code 3 if they differ."""
    from entropy_loop.commands.progress import bar
    from entropy_loop.commands.selfcheck import LAWS, plausible, selfcheck, surprise

    lines = []
    with bar(out, f"checking {len(LAWS)} laws") as tick:
        for done, law in enumerate(LAWS, 1):
            lines += selfcheck([law], seed)
            tick(done / len(LAWS))
    passed, p = plausible(lines), surprise(lines)
    if as_json:
        print(json.dumps({"passed": passed, "p": p, "lines": [asdict(line) for line in lines]}, indent=1))
    else:
        table = Table("law", "statistic", "expected", "measured", "z", "chains", box=None)
        for n in lines:
            table.add_row(n.law, n.statistic, f"{n.expected:.4f}", f"{n.measured:.4f}", f"{n.z:.2f}", f"{n.chains:,}")
        out.print(table)
        out.print(f"{'passed' if passed else 'FAILED'}: no |z| above 4; all z together p = {p:.3g}")
    if not passed:
        raise typer.Exit(3)


@app.command("calibrate")
def calibrate_(
    config: ConfigArgument,
    images: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="A folder of labelled images: metadata.jsonl says true or false per concept. storybook: draw scenes.",
        ),
    ] = "storybook",
    people: Annotated[
        Path | None, typer.Option(metavar="RESULTS", help="Use rated images; the majority's answer counts as true.")
    ] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Number of scenes to draw. Default: 2000.")] = None,
    seed: Annotated[
        int,
        typer.Option(
            min=0, help="Seed of the scenes, of the split into two halves (to fit, to measure), and of added noise."
        ),
    ] = 0,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Default: results/<name>-calibration.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how often the judges are right. Also fits their thresholds. Needs images whose content is known: drawn
    scenes, labelled images, or images that people rated."""
    from entropy_loop.commands import calibrate
    from entropy_loop.commands.progress import bar
    from entropy_loop.study import study

    with bar(out, "calibrating") as tick:
        loaded = study.load(config, tuple(overrides or ()))
        folder = out_dir or Path("results") / f"{loaded.config.name}-calibration"
        source = f"{calibrate.PEOPLE}{people}" if people else images
        calibrations = calibrate.calibrate(loaded, source, n, seed, folder, tick)
    if as_json:
        print(json.dumps([calibration.values() for calibration in calibrations], indent=1))
        return
    for calibration in calibrations:
        out.print(calibration.text())


@app.command()
def world(
    name: Annotated[str, typer.Argument(metavar="WORLD", help="Kind of scenes; there is one: storybook.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of scenes.")] = 64,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the scenes. Scene i does not depend on --n.")] = 0,
    out_dir: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write.")] = Path("results/world"),
) -> None:
    """Draw synthetic scenes with known content. They can calibrate judges. Writes an imagefolder that `datasets` loads,
    and a contact sheet."""
    from entropy_loop.commands.progress import bar
    from entropy_loop.errors import ConfigError, nearest
    from entropy_loop.worlds.storybook import album

    if name != "storybook":
        raise ConfigError(f"no world {name!r}; {nearest(name, ['storybook'])}")
    with bar(out, f"drawing {n} scenes") as tick:
        folder = album.write(n, seed, out_dir, tick)
    out.print(
        f'{folder}: {n} scenes; load with datasets.load_dataset("imagefolder", data_dir="{folder}")', highlight=False
    )
    out.print(f"look at {out_dir / 'contact_sheet.png'}")


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List every plug-in and bundled model."""
    from entropy_loop import assets, registry

    catalogue = registry.catalogue()
    catalogue["model"] = {f"{assets.PREFIX}{name}": f"bundled, revision {it}" for name, it in assets.REVISIONS.items()}
    if as_json:
        print(json.dumps(catalogue, indent=1))
        return
    table = Table("kind", "use", "what it is", box=None)
    for kind, plugins in catalogue.items():
        for use, text in plugins.items():
            table.add_row(kind, use, text)
    out.print(table)


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG", help="Also check its models.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check this machine and the bundled models. Reports versions that are too old, device, memory, free disk, and
    whether the models are whole."""
    from entropy_loop.commands import doctor

    checkup = doctor.checkup(config)
    if as_json:
        print(json.dumps({**checkup.facts, "problems": checkup.problems, "notes": checkup.notes}, indent=1))
    else:
        for name, value in checkup.facts.items():
            out.print(f"{name:>24}  {value}")
        for name, lines in (("problems", checkup.problems), ("notes", checkup.notes)):
            for i, line in enumerate(lines or ["none"]):
                out.print(f"{'' if i else name:>24}  {line}")
    if checkup.problems:
        raise typer.Exit(1)
