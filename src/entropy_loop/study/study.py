"""A study: a config read from YAML, checked, and expanded into arms and seeds.

`sweep` makes an arm of every combination of the listed values, `arms` adds hand-written ones, and `controls: auto` adds
the controls that a claim needs. One seed of one arm is a chain.
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
"""Config keys about where it runs and who is asked. They are part of no stage's key."""
WORLDS = {"bundled:storybook": "storybook"}
"""Checkpoint -> plug-in of the real data that it was trained on, which supplies check prompts."""
STEADY = 32
"""Images of each pool that `checks: auto` moves."""


def of_the_machine(place: str) -> bool:
    """Whether a dotted key is in MACHINE or below a key in it."""
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
    """A checked config and all its points. raw: what the user wrote, with overrides applied."""

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
        overridden = [override.partition("=")[0].strip() for override in overrides]
        raise ConfigError(_with_lines(str(error), f"{path}: ", strict_yaml.lines(data.decode()), overridden)) from None


def given(mapping: Mapping[str, object], overrides: tuple[str, ...] = ()) -> Study:
    """Override and check a config given as a mapping, like one in a file. Raises ConfigError with one line per
    mistake."""
    try:
        raw = strict_yaml.parse(strict_yaml.line(dict(mapping), "config"))
    except yaml.YAMLError as error:
        raise ConfigError(f"config: {error}") from None
    for override in overrides:
        _override(raw, override)
    return check(raw)


def check(raw: dict[str, object], source: str = "config") -> Study:
    """Check a config given as a dict; raises ConfigError with one line per mistake."""
    if isinstance(engine := raw.get("engine"), dict):
        raw = raw | {"engine": {"use": "local"} | engine}
    config = _validate(raw, source)
    added = {name: config.model_dump(mode="json")[name] for name in ("prompts", "steady_images")}
    swept = [(arm, _with(raw | added, changes, f"{source}: arm {arm}")) for arm, changes in arms.written(config)]
    points = list(_points(raw, config, swept, source))
    _raise_mistakes([line for point in points for line in checks.mistakes(point.config)], source)
    if config.controls == "auto":
        added = arms.controls({arm: _validate(changed, source) for arm, changed in swept})
        controls = [
            (name, _with(dict(swept)[arm], changes, f"{source}: {name}")) for name, (arm, changes) in added.items()
        ]
        points += _points(raw, config, controls, source)
        _raise_mistakes([line for point in points for line in checks.mistakes(point.config)], source)
    twice = [name for name, count in Counter(point.name for point in points).items() if count > 1]
    _raise_mistakes([f"sweep: two points are called {name}; give each its own values." for name in twice], source)
    return Study(raw, config, tuple(points))


def _with_lines(mistakes: str, source: str, lines: dict[str, int], overridden: list[str]) -> str:
    """Mistakes, a line each, with the line number of the key that each begins with, unless the command line set that
    key."""
    located = []
    for mistake in mistakes.splitlines():
        place = mistake.removeprefix(source).partition(":")[0]
        while place and place not in lines:
            place = place.rpartition(".")[0]
        in_file = place and not any(f"{place}.".startswith(f"{key}.") for key in overridden)
        located.append(f"{mistake} (line {lines[place]})" if in_file else mistake)
    return "\n".join(located)


def _raise_mistakes(mistakes: list[str], source: str) -> None:
    if mistakes:
        raise ConfigError("\n".join(f"{source}: {line}" for line in dict.fromkeys(mistakes)))


def _validate(raw: dict[str, object], source: str) -> Config:
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        lines = registry.explain(error, checks.key_names()) + checks.plugin_mistakes(raw)
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from None
    _raise_mistakes(registry.coerced(raw, config.model_dump()), source)
    return _with_checks(config)


def _with_checks(config: Config) -> Config:
    """The config with what `checks: auto` adds for a checkpoint in WORLDS: check prompts, unless the config has some or
    prompts differ between arms (then each arm gets its own), and a number of moved images, unless it is set."""
    world = WORLDS.get(str(config.generator.get("checkpoint")))
    if config.checks == "none" or world is None:
        return config
    steady = STEADY if config.steady_images is None else config.steady_images
    named, prompts = config.check_prompts(), config.prompts
    swept = [*config.sweep, *(place for arm in config.arms for place in arm.set)]
    if not named and not any(place.startswith("prompts") for place in swept):
        known = registry.build(registry.REAL, {"use": world}).check_prompts(config.pool_prompts())
        sections = (PromptSection.model_validate(asdict(prompt)) for prompt in known)
        prompts = (*prompts, *sections)[: 1 << PROMPT_BITS]
    return config.model_copy(update={"prompts": prompts, "steady_images": steady})


def _points(
    raw: dict[str, object], config: Config, arm_configs: list[tuple[str, dict[str, object]]], source: str
) -> Iterator[Point]:
    """Every arm with every seed; an arm's name does not contain the seed."""
    for arm, arm_config in arm_configs:
        for seed in config.sweep.get("seed", [raw.get("seed", 0)]):
            yield Point(arm, _validate({**arm_config, "seed": seed}, source))


def _with(raw: dict[str, object], changes: dict[str, object], where: str) -> dict[str, object]:
    """One arm's config: the study's, with the arm's changes."""
    changed = {**deepcopy(raw), "sweep": {}, "arms": [], "controls": "none"}
    for place, value in changes.items():
        if of_the_machine(place):
            raise ConfigError(f"{where}: {place} is no part of the experiment, so arms cannot differ in it.")
        strict_yaml.put(changed, place, deepcopy(value), f"{where}: {place}")
    return changed


def _override(raw: dict[str, object], text: str) -> None:
    """Apply one `--set path.to.key=value`; the value is read as YAML."""
    path, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: takes the form path.to.key=value, for example --set images=64.")
    try:
        strict_yaml.put(raw, path.strip(), strict_yaml.parse(value), f"--set {path}")
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {path}: the value is not YAML: {error}") from None
