"""A study: a config read from YAML, checked, and spread over its arms and seeds.

`sweep` spans every combination of the listed values; `arms` adds hand-written ones, `controls: auto` the
controls that a claim needs. Each of them is a config of its own, an *arm*, and with a *seed* a chain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml
from pydantic import ValidationError

from entropy_loop import registry
from entropy_loop.errors import ConfigError, StorageError
from entropy_loop.seeds import PROMPT_BITS
from entropy_loop.study import arms, checks, strict_yaml
from entropy_loop.study.config import Config, PromptSection

MACHINE = ("device", "engine", "report_to", "people", "train.checkpointing_steps")
"""What a config says of where it runs and of whom it asks, which is part of no key."""


WORLDS = {"bundled:storybook": "storybook"}
"""Checkpoint -> the real data that it was trained on, whose plug-in knows what else it can draw."""
STEADY = 32
"""Images of each pool that `checks: auto` has moved."""


def of_the_machine(place: str) -> bool:
    """Whether a key, with dots, is one of those or stands below one of them."""
    return any(f"{place}.".startswith(f"{key}.") for key in MACHINE)


@dataclass(frozen=True)
class Point:
    """One chain of an experiment: the arm's name and the config with the sweep applied."""

    arm: str
    config: Config

    @property
    def name(self) -> str:
        return f"{self.arm}-seed{self.config.seed}"


@dataclass(frozen=True)
class Study:
    """A checked config and all its points; `raw` is what the user wrote, overrides applied."""

    raw: dict[str, object]
    config: Config
    points: tuple[Point, ...]


def load(path: Path, overrides: tuple[str, ...] = ()) -> Study:
    """Read, override and check a YAML file. Raises ConfigError with one line per mistake."""
    try:
        with path.open("rb") as file:
            data = file.read(strict_yaml.SIZE + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ConfigError(f"{path}: no such file. `configs/` holds ready-to-run ones.") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error}).") from None
    if len(data) > strict_yaml.SIZE:
        raise ConfigError(f"{path}: more than {strict_yaml.SIZE:,} bytes, too long for a config; split the experiment.")
    try:
        raw = strict_yaml.parse(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}: is not YAML: {error.reason}, line {line}; save it as UTF-8.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: holds no keys; see configs/astronaut.yaml for the form.")
    for override in overrides:
        _override(raw, override)
    try:
        return check(raw, str(path))
    except ConfigError as error:
        set_ = [override.partition("=")[0].strip() for override in overrides]
        raise ConfigError(_with_lines(str(error), f"{path}: ", strict_yaml.lines(data.decode()), set_)) from None


def given(written: Mapping[str, object], overrides: tuple[str, ...] = ()) -> Study:
    """Override and check a config given as a mapping, as if it stood in a file. Raises ConfigError with one line per
    mistake."""
    try:
        raw = strict_yaml.parse(strict_yaml.line(dict(written), "config"))
    except yaml.YAMLError as error:
        raise ConfigError(f"config: {error}") from None
    for override in overrides:
        _override(raw, override)
    return check(raw)


def check(raw: dict[str, object], source: str = "config") -> Study:
    """Check a config given as a dict; raises ConfigError with one line per mistake."""
    config = _validate(raw, source)
    added = {name: config.model_dump(mode="json")[name] for name in ("prompts", "steady_images")}
    found = [(arm, _with(raw | added, changes, f"{source}: arm {arm}")) for arm, changes in arms.written(config)]
    points = list(_points(raw, config, found, source))
    _raise_mistakes([line for point in points for line in checks.mistakes(point.config)], source)
    if config.controls == "auto":
        added = arms.controls({arm: _validate(made, source) for arm, made in found})
        made = [(name, _with(dict(found)[arm], changes, f"{source}: {name}")) for name, (arm, changes) in added.items()]
        points += _points(raw, config, made, source)
        _raise_mistakes([line for point in points for line in checks.mistakes(point.config)], source)
    twice = [name for name, count in Counter(point.name for point in points).items() if count > 1]
    _raise_mistakes([f"sweep: two points are called {name}; give each its own values." for name in twice], source)
    return Study(raw, config, tuple(points))


def _with_lines(mistakes: str, source: str, lines: dict[str, int], set_: list[str]) -> str:
    """Mistakes, a line each, with the line of the file on which the key stands that they begin with; what the command
    line set does not stand there."""
    told = []
    for mistake in mistakes.splitlines():
        place = mistake.removeprefix(source).partition(":")[0]
        while place and place not in lines:
            place = place.rpartition(".")[0]
        mine = place and not any(f"{place}.".startswith(f"{one}.") for one in set_)
        told.append(f"{mistake} (line {lines[place]})" if mine else mistake)
    return "\n".join(told)


def _raise_mistakes(mistakes: list[str], source: str) -> None:
    if mistakes:
        raise ConfigError("\n".join(f"{source}: {line}" for line in dict.fromkeys(mistakes)))


def _validate(raw: dict[str, object], source: str) -> Config:
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        lines = registry.explain(error, checks.KEYS) + checks.broken(raw)
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from None
    _raise_mistakes(registry.bent(raw, config.model_dump()), source)
    return _with_checks(config)


def _with_checks(config: Config) -> Config:
    """What `checks: auto` adds where it is known what the generator was trained on: check prompts, unless some are
    named or the arms have other prompts (then each arm gets its own), and images that are moved, unless it is said how
    many."""
    world = WORLDS.get(str(config.generator.get("checkpoint")))
    if config.checks == "none" or world is None:
        return config
    steady = STEADY if config.steady_images is None else config.steady_images
    named, prompts = config.check_nouns(), config.prompts
    swept = [*config.sweep, *(place for arm in config.arms for place in arm.set)]
    if not named and not any(place.startswith("prompts") for place in swept):
        known = registry.build(registry.REAL, {"use": world}).check_prompts(config.prompt_nouns())
        sections = (PromptSection.model_validate(asdict(one)) for one in known)
        prompts = (*prompts, *sections)[: 1 << PROMPT_BITS]
    return config.model_copy(update={"prompts": prompts, "steady_images": steady})


def _points(
    raw: dict[str, object], config: Config, found: list[tuple[str, dict[str, object]]], source: str
) -> Iterator[Point]:
    """Every arm with every seed; seeds are no part of an arm's name."""
    for arm, made in found:
        for seed in config.sweep.get("seed", [raw.get("seed", 0)]):
            yield Point(arm, _validate({**made, "seed": seed}, source))


def _with(raw: dict[str, object], changes: dict[str, object], where: str) -> dict[str, object]:
    """One arm's config: what the study says, with the arm's own values put in their places."""
    made = {**deepcopy(raw), "sweep": {}, "arms": [], "controls": "none"}
    for place, value in changes.items():
        if of_the_machine(place):
            raise ConfigError(f"{where}: {place} is no part of the experiment, so arms cannot differ in it.")
        strict_yaml.put(made, place, deepcopy(value), f"{where}: {place}")
    return made


def _override(raw: dict[str, object], text: str) -> None:
    """Apply one `--set path.to.key=value`; the value is read as YAML."""
    path, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: takes the form path.to.key=value, for example --set images=64.")
    try:
        strict_yaml.put(raw, path.strip(), strict_yaml.parse(value), f"--set {path}")
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {path}: the value is not YAML: {error}") from None
