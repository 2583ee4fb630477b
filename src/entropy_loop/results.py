"""The public Python interface, for notebooks: run an experiment and read its tables. It computes nothing itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from entropy_loop.commands.results_folder import check_results_folder
from entropy_loop.dictionary import PARQUET, TABLES
from entropy_loop.errors import ConfigError, StorageError, nearest
from entropy_loop.storage.reading import written
from entropy_loop.storage.store import Store, silent

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE = ["run", "generation", "set", "id"]
"""Columns that identify an image in a results folder."""


def run(
    config: str | PathLike[str] | Mapping[str, Any],
    out: str | PathLike[str] | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Results:
    """Run an experiment, or continue it: finished stages are never made twice.

    config: a YAML file, or a mapping with the same keys. out: the results folder, `results/<name>` by default.
    overrides: config keys to replace, with dots (`{"train.max_train_steps": 60}`). progress: print the progress.

    Reservations about the results come as Python warnings. Hub libraries stay offline in this process from here on, as
    in `entropy-loop run`. Raises ConfigError for a wrong config, a missing model, or a folder with another experiment;
    StorageError; Waiting if people have to answer first; Locked while another process works in the folder.
    """
    from rich.console import Console  # imported here, because reading results needs none of these

    from entropy_loop import assets
    from entropy_loop.commands import experiment
    from entropy_loop.commands.progress import Progress
    from entropy_loop.machine import distributed, threads
    from entropy_loop.study import strict_yaml

    if distributed.processes() > 1:
        raise ConfigError("run: cannot train with several processes; use `entropy-loop run` instead.")
    assets.restrict_libraries()
    threads.wait_passively()
    given = config if isinstance(config, Mapping) else Path(config)
    assignments = tuple(f"{key}={strict_yaml.line(value, key)}" for key, value in (overrides or {}).items())
    planned = experiment.prepare(given, assignments, check_models=False)
    root = Path("results") / planned.study.config.name if out is None else Path(out)
    ending = experiment.previous_ending(planned, root)
    if ending is None:
        if not experiment.finished(planned, root):
            experiment.check_ready(planned)
        console = Console(soft_wrap=True, markup=False, highlight=False)
        with Progress(planned, console) if progress else nullcontext(silent) as listen:
            outcome = experiment.carry_out(planned, root, listen)
        ending = outcome.ending if outcome else None
    for warning in ending.warnings if ending else ():
        warnings.warn(warning, stacklevel=2)
    return open_results(root)


def open_results(path: str | PathLike[str]) -> Results:
    """Open a results folder, finished or not, with or without its store. Raises ConfigError if it is none."""
    check_results_folder(Path(path))
    return Results(Path(path))


@dataclass(frozen=True)
class Results:
    """A results folder. Each table is an attribute, read from its file on every access.

    A frame has the columns and dtypes of docs/reference/tables.md. Missing values are NaN or <NA>, never 0. A table may
    have no rows. Access raises ConfigError if the folder lacks the table and StorageError if its file is damaged.
    """

    folder: Path

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables that the folder has."""
        return tuple(name for name in TABLES if self._file(name).is_file())

    @property
    def rates(self) -> pd.DataFrame:
        """V, the share of images in which a concept is recognised: by chain, generation, set, prompt and judge."""
        return self._read("rates")

    @property
    def changes(self) -> pd.DataFrame:
        """The change rate c from pool to pool within one chain, with its interval and both null bands."""
        return self._read("changes")

    @property
    def summary(self) -> pd.DataFrame:
        """Across chains: c, slope and V of every arm, against drift and against other arms. The claims are here."""
        return self._read("summary")

    @property
    def ledger(self) -> pd.DataFrame:
        """What curation and what training did to V, feedback step by step."""
        return self._read("ledger")

    @property
    def checks(self) -> pd.DataFrame:
        """How reliable each judge is on the run's own images, generation by generation, with alarms."""
        return self._read("checks")

    @property
    def diversity(self) -> pd.DataFrame:
        """How diverse every pool is, how far from generation 0 and from real images; rows with `measures:` only."""
        return self._read("diversity")

    @property
    def noise(self) -> pd.DataFrame:
        """How noisy every pool is; rows with `measures:` only."""
        return self._read("noise")

    @property
    def tails(self) -> pd.DataFrame:
        """How the attributes of the images are distributed in every pool; rows with a reader and `attributes:` only."""
        return self._read("tails")

    @property
    def verdicts(self) -> pd.DataFrame:
        """What became of every arm: disintegration, banalisation, both, stable or undecided."""
        return self._read("verdicts")

    @property
    def instruments(self) -> pd.DataFrame:
        """The tests behind the verdicts."""
        return self._read("instruments")

    @property
    def agreement(self) -> pd.DataFrame:
        """Whether people agree with each other, and judges with people; rows where people have rated."""
        return self._read("agreement")

    @property
    def judgements(self) -> pd.DataFrame:
        """Every answer of every judge: one row per image, judge and concept, with its score."""
        return self._read("judgements")

    def images(
        self,
        *,
        generation: int | None = None,
        arm: str | None = None,
        seed: int | None = None,
        set: str | None = None,
        prompt: str | None = None,
    ) -> pd.DataFrame:
        """Every image of every chain, one row each.

        For each judge and concept a boolean column `judge:concept` has the answer; it is missing if the judge was not
        asked or gave none. Scores are in `judgements`. Arms that share generation 0 each have rows for its images. The
        arguments select one generation, arm, seed, set or prompt. Raises ConfigError if no image is left.
        """
        images = self._read("images")
        filters = {"generation": generation, "arm": arm, "seed": seed, "set": set, "prompt": prompt}
        for column, value in filters.items():
            images = images if value is None else self._only(images, column, value)
        judgements = self.judgements
        judgements["column"] = judgements["judge"] + ":" + judgements["concept"]
        names = list(judgements["column"].unique())
        answers = judgements.merge(images[IMAGE], on=IMAGE).pivot(index=IMAGE, columns="column", values="answer")
        answers = answers.reindex(columns=names).reset_index()
        return images.merge(answers, on=IMAGE, how="left").astype(dict.fromkeys(names, "boolean"))

    def picture(self, file: str) -> Image:
        """One image as an RGB PIL image. file: a cell of the column `file` of `images()`.

        Raises ConfigError if the folder has no store or the image has no file, StorageError if the file is damaged or
        gone.
        """
        if pd.isna(file):
            raise ConfigError(f"{self.folder}: this image has no picture: toy generators draw none.")
        if not Store(self.folder).stages.is_dir():
            raise ConfigError(
                f"{self.folder}: has no store/, which holds the pictures (results are often shared without it); "
                "`entropy-loop run` makes them again from the folder's config.yaml."
            )
        from PIL import Image

        try:
            with Image.open(self.folder / file) as opened:
                return opened.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:  # Pillow's errors for damaged files
            raise StorageError(
                f"{self.folder / file}: damaged or gone ({error}); `entropy-loop verify {self.folder}` and then "
                "`entropy-loop run` make it again."
            ) from None

    def _only(self, images: pd.DataFrame, column: str, value: int | str) -> pd.DataFrame:
        selected = images[images[column] == value]
        if selected.empty:
            known = sorted(images[column].unique())
            hint = nearest(value, known) if isinstance(value, str) else f"known: {', '.join(map(str, known))}."
            raise ConfigError(f"{self._file('images')}: of {len(images)} images none has {column} {value!r}; {hint}")
        return selected

    def _read(self, name: str) -> pd.DataFrame:
        return written(self._file(name), TABLES[name])

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.{'parquet' if name in PARQUET else 'csv'}"
