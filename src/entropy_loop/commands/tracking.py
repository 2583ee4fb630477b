"""Training curves and rates for a tracker (`report_to`), through accelerate's own classes: a listener of the store.

Every chain is a run of the tracker. A training is logged when it finishes, rates when the study does. Stages of an
earlier process are not logged again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import pandas as pd

from entropy_loop.data import Stage
from entropy_loop.errors import ConfigError
from entropy_loop.machine import device
from entropy_loop.plan import Chain, Plan
from entropy_loop.storage.store import Listener

if TYPE_CHECKING:
    from accelerate.tracking import GeneralTracker

SECRET = re.compile(r"token|secret|password|api_?key|credential", re.IGNORECASE)
LIKE_A_SECRET = re.compile(r"\b(hf|sk|ghp|wandb)[_-]\w{8,}|//[^/\s:]+:[^/\s@]+@")
REDACTED = "[redacted]"


def check_installed(name: str) -> None:
    """Raises ConfigError when the tracker's package is not installed."""
    if name != "none" and find_spec(name) is None:
        raise ConfigError(f"report_to: {name} is not installed; `pip install {name}`.")


class Tracking:
    """Passes events on to `then` and logs finished trainings; `finish` logs the rates."""

    def __init__(self, planned: Plan, root: Path, then: Listener) -> None:
        self.root, self.then, self.lock = root, then, Lock()
        self.name = planned.study.config.report_to
        self.started: dict[str, GeneralTracker] = {}
        self.runs = {chain.name: chain for chain in planned.chains}
        # A training that several chains share is logged for each of them.
        self.trainings: dict[str, list[tuple[Chain, int]]] = {}
        for chain in planned.chains:
            for generation in chain.generations:
                self.trainings.setdefault(generation.model.key, []).append((chain, generation.number))

    def __call__(self, event: str, stage: Stage, share: float) -> None:
        self.then(event, stage, share)
        file = self.root / "store" / stage.folder / "training.csv"
        if self.name != "none" and event == "finished" and stage.verb == "train" and file.is_file():
            with self.lock:
                for chain, generation in self.trainings[stage.key]:
                    first = (generation - 1) * chain.config.train.max_train_steps
                    for row in json.loads(pd.read_csv(file).to_json(orient="records")):
                        step = first + row.pop("step")
                        self._tracker(chain).log({f"train/{name}": value for name, value in row.items()}, step=step)

    def finish(self, rates: pd.DataFrame) -> None:
        """Log V of every prompt, concept and generation of the chains that were logged, and close them. The x-axis is
        the training step that produced the generation; in wandb, which drops earlier steps, it is the generation."""
        pools = rates[(rates["set"] == "pool") & rates["rate"].notna()].sort_values("generation")
        several = rates["prompt"].nunique() > 1
        for name, tracker in self.started.items():
            each = self.runs[name].config.train.max_train_steps
            for row in json.loads(pools[pools["run"] == name].to_json(orient="records")):
                place = f"{row['prompt']}/{row['concept']}" if several else row["concept"]
                values = {f"V/{place}/{row['judge']}": row["rate"], "generation": row["generation"]}
                tracker.log(values, step=None if self.name == "wandb" else row["generation"] * each)
            tracker.finish()

    def _tracker(self, chain: Chain) -> GeneralTracker:
        if chain.name not in self.started:
            from accelerate import PartialState
            from accelerate.tracking import LOGGER_TYPE_TO_CLASS

            PartialState(cpu=device.device() == "cpu")
            cls = LOGGER_TYPE_TO_CLASS[self.name]
            places = {"logging_dir": str(self.root / "logs")} if cls.requires_logging_directory else {}
            tracker = cls(chain.name, **places)
            tracker.start()
            if self.name == "wandb":
                tracker.tracker.define_metric("V/*", step_metric="generation")
            tracker.store_init_configuration(dict(redacted(chain.config.model_dump(mode="json"))))
            self.started[chain.name] = tracker
        return self.started[chain.name]


def redacted(config: Mapping[str, object], place: str = "") -> Iterator[tuple[str, object]]:
    """(dotted place, plain value) of everything in a config; secrets and absolute paths are replaced by REDACTED."""
    for name, value in config.items():
        path = f"{place}.{name}" if place else str(name)
        if isinstance(value, Mapping):
            yield from redacted(value, path)
        elif isinstance(value, list) and any(isinstance(entry, Mapping) for entry in value):
            yield from redacted({str(i): entry for i, entry in enumerate(value)}, path)
        elif isinstance(value, list):
            yield path, str([text for _, text in redacted({f"{name}.{i}": entry for i, entry in enumerate(value)})])
        else:
            text = str(value)
            hidden = SECRET.search(str(name)) or LIKE_A_SECRET.search(text) or Path(text).is_absolute()
            yield path, REDACTED if hidden else value if isinstance(value, bool | int | float | str) else text
