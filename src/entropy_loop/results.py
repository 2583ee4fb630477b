"""The public surface, for notebooks: run an experiment, read what it wrote. Nothing is computed here again."""

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
from entropy_loop.errors import ConfigError, StorageError, nearest
from entropy_loop.storage.dictionary import PARQUET, TABLES
from entropy_loop.storage.reading import written
from entropy_loop.storage.store import Store, silent

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE = ["run", "generation", "set", "id"]
"""What tells an image from all others of a results folder."""


def run(
    config: str | PathLike[str] | Mapping[str, Any],
    out: str | PathLike[str] | None = None,
    *,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Results:
    """Run an experiment, or continue it: finished stages are never made twice.

    config: a YAML file, or a mapping with the same keys. out: the results folder, `results/<name>` by default.
    overrides: config keys to replace, with dots (`{"train.max_train_steps": 60}`). progress: print how far it is.

    What the reader is to know before any number comes as a Python warning. Hub libraries that are loaded from here on
    stay offline in this process, as in `entropy-loop run`. Raises the library's errors: ConfigError for a wrong config,
    a missing model, or a folder that holds another experiment; StorageError; Waiting where people have to do something
    first; Locked while another process works in the folder.
    """
    from rich.console import Console  # what follows is not needed to read results

    from entropy_loop import assets
    from entropy_loop.commands import experiment
    from entropy_loop.commands.progress import Progress
    from entropy_loop.machine import distributed
    from entropy_loop.study import strict_yaml

    if distributed.processes() > 1:
        raise ConfigError("run: several processes train together only under `entropy-loop run`; start that instead.")
    assets.settle()
    given = config if isinstance(config, Mapping) else Path(config)
    said = tuple(f"{key}={strict_yaml.line(value, key)}" for key, value in (overrides or {}).items())
    planned = experiment.prepare(given, said, check_models=False)
    root = Path("results") / planned.study.config.name if out is None else Path(out)
    ending = experiment.previous_ending(planned, root)
    if ending is None:
        if not experiment.finished(planned, root):
            experiment.check_ready(planned)
        console = Console(soft_wrap=True, markup=False, highlight=False)
        with Progress(planned, console) if progress else nullcontext(silent) as listen:
            made = experiment.carry_out(planned, root, listen)
        ending = made.ending if made else None
    for warning in ending.warnings if ending else ():
        warnings.warn(warning, stacklevel=2)
    return open_results(root)


def open_results(path: str | PathLike[str]) -> Results:
    """What lies in a results folder, finished or not, with or without its store. Raises ConfigError if it is none."""
    check_results_folder(Path(path))
    return Results(Path(path))


@dataclass(frozen=True)
class Results:
    """A results folder: each table is an attribute, read from its file whenever it is asked for.

    A frame has the columns and dtypes of docs/reference/tables.md. What is missing is NaN or <NA>, never 0; a table
    without rows is one for which the run had nothing to write. Asking for a table raises ConfigError where the folder
    lacks it, StorageError where its file is damaged; both say what to do.
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
        """What each judge is worth on the run's own pictures, generation by generation, with alarms."""
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
        """How the attributes of what is shown are spread in every pool; rows with a reader and `attributes:` only."""
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
        """What every judge says of every image, one row per image, judge and concept, with its score."""
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
        """Every image of every chain, one row each, with what is known of it.

        For each judge and concept a boolean column `judge:concept` follows: the answer, missing where the judge was not
        asked or could not tell; scores are in `judgements`. Arms that share generation 0 each have their rows of its
        images. The options keep the images of one generation, arm, seed, set or prompt; raises ConfigError where there
        are none.
        """
        found = self._read("images")
        wanted = {"generation": generation, "arm": arm, "seed": seed, "set": set, "prompt": prompt}
        for column, value in wanted.items():
            found = found if value is None else self._only(found, column, value)
        said = self.judgements
        said["column"] = said["judge"] + ":" + said["concept"]
        names = list(said["column"].unique())
        answers = said.merge(found[IMAGE], on=IMAGE).pivot(index=IMAGE, columns="column", values="answer")
        told = answers.reindex(columns=names).reset_index()
        return found.merge(told, on=IMAGE, how="left").astype(dict.fromkeys(names, "boolean"))

    def picture(self, file: str) -> Image:
        """One picture, RGB, as a PIL image. file: a cell of the column `file` of `images()`.

        Raises ConfigError where the folder was passed on without its store, or the image has no picture; StorageError
        where the file is damaged or gone.
        """
        if pd.isna(file):
            raise ConfigError(f"{self.folder}: this image has no picture: toy generators draw none.")
        if not Store(self.folder).stages.is_dir():
            raise ConfigError(
                f"{self.folder}: has no store/, in which the pictures lie (results are often passed on without it); "
                "`entropy-loop run` makes them anew from the folder's config.yaml."
            )
        from PIL import Image

        try:
            with Image.open(self.folder / file) as opened:
                return opened.convert("RGB")
        except (OSError, SyntaxError, ValueError) as error:  # as Pillow tells of damage
            raise StorageError(
                f"{self.folder / file}: damaged or gone ({error}); `entropy-loop verify {self.folder}` and then "
                "`entropy-loop run` make it anew."
            ) from None

    def _only(self, images: pd.DataFrame, column: str, value: int | str) -> pd.DataFrame:
        there = images[images[column] == value]
        if there.empty:
            known = sorted(images[column].unique())
            told = nearest(value, known) if isinstance(value, str) else f"known: {', '.join(map(str, known))}."
            raise ConfigError(f"{self._file('images')}: of {len(images)} images none has {column} {value!r}; {told}")
        return there

    def _read(self, name: str) -> pd.DataFrame:
        return written(self._file(name), TABLES[name])

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.{'parquet' if name in PARQUET else 'csv'}"
