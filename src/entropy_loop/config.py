"""YAML -> Config. Every key, default, unit and range of an experiment; all mistakes are reported at once.

A config is one experiment. `sweep` spans its *points*: every combination of the listed values is a
config of its own, an *arm* with a *seed*.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from entropy_loop import registry, strict_yaml
from entropy_loop.data import ALL, Concept, Prompt, TrainSettings
from entropy_loop.errors import ConfigError, StorageError, nearest
from entropy_loop.seeds import GENERATION_BITS, INDEX_BITS, PROMPT_BITS

Plugin = dict[str, Any]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptSection(_Section):
    """A prompt. target: fed back; similar, unrelated, unseen_pair: measured only."""

    text: Annotated[str, Field(min_length=1)]
    role: Literal["target", "similar", "unrelated", "unseen_pair"] = "target"
    concepts: Annotated[tuple[Name, ...], Field(min_length=1)]


class ConceptSection(_Section):
    """Contrastive texts for one concept; without them the judge's own calibration is used."""

    yes: Annotated[tuple[str, ...], Field(min_length=1)]
    no: Annotated[tuple[str, ...], Field(min_length=1)]


class EvaluationSection(_Section):
    """The evaluation set of every target prompt: the same noise in every generation and arm."""

    images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)] = 32


class CurateSection(_Section):
    """Who scores (only asked when the policy reads scores) and which images are passed on."""

    scorer: Plugin | None = None
    policy: Plugin = {"use": "none"}


class Config(_Section):
    """One experiment, or with the sweep applied one point of it."""

    name: Name
    generations: Annotated[int, Field(ge=1, lt=1 << GENERATION_BITS)]
    seed: Annotated[int, Field(ge=0)] = 0
    images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)] = 128
    measured_images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)] = 64
    threads: Annotated[int, Field(ge=1)] = 2
    evaluation: EvaluationSection = EvaluationSection()
    prompts: Annotated[tuple[PromptSection, ...], Field(min_length=1, max_length=1 << PROMPT_BITS)]
    concepts: dict[Name, ConceptSection] = {}
    generator: Plugin
    curate: CurateSection = CurateSection()
    feedback: Plugin = {"use": "replace"}
    train: TrainSettings = TrainSettings()
    judges: Annotated[tuple[Plugin, ...], Field(min_length=1)]
    curator_may_judge: Literal["no", "yes, the curator measures itself on purpose"] = "no"
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}

    # ---- the plug-ins and nouns that this point names ------------------------------------------------

    def generator_plugin(self) -> Any:
        return registry.build("generator", self.generator, "generator")

    def scorer_plugin(self) -> Any:
        return registry.build("scorer", self.curate.scorer or {}, "curate.scorer")

    def policy_plugin(self) -> Any:
        return registry.build("policy", self.curate.policy, "curate.policy")

    def regime_plugin(self) -> Any:
        return registry.build("regime", self.feedback, "feedback")

    def judge_plugins(self) -> tuple[Any, ...]:
        return tuple(registry.build("judge", spec, f"judges.{i}") for i, spec in enumerate(self.judges))

    def prompt_nouns(self) -> tuple[Prompt, ...]:
        return tuple(Prompt(p.text, p.role, p.concepts) for p in self.prompts)

    def concept_nouns(self) -> tuple[Concept, ...]:
        """Every concept that a prompt names, in order of first appearance."""
        names = dict.fromkeys(name for prompt in self.prompts for name in prompt.concepts)
        texts = self.concepts
        return tuple(Concept(n, texts[n].yes, texts[n].no) if n in texts else Concept(n) for n in names)

    def images_of(self, prompt: PromptSection) -> int:
        return self.images if prompt.role == "target" else self.measured_images


@dataclass(frozen=True)
class Point:
    """One chain of an experiment: the arm's name and the config with the sweep applied."""

    arm: str
    config: Config

    @property
    def name(self) -> str:
        return f"{self.arm}-seed{self.config.seed}"


@dataclass(frozen=True)
class Experiment:
    """A checked config and all its points; `raw` is what the user wrote, overrides applied."""

    raw: dict[str, Any]
    config: Config
    points: tuple[Point, ...]


def load(path: Path, overrides: tuple[str, ...] = ()) -> Experiment:
    """Read, override and check a YAML file. Raises ConfigError with one line per mistake."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ConfigError(f"{path}: no such file. `configs/` holds ready-to-run ones.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error}).") from None
    try:
        raw = strict_yaml.parse(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: holds no keys; see configs/astronaut.yaml for the form.")
    for override in overrides:
        _override(raw, override)
    return check(raw, str(path))


def check(raw: dict[str, Any], source: str = "config") -> Experiment:
    """Check a config given as a dict; raises ConfigError with one line per mistake."""
    config = _validate(raw, source)
    points = tuple(_points(raw, config.sweep, source))
    mistakes = list(dict.fromkeys(line for point in points for line in _mistakes(point.config)))
    mistakes += [f"sweep: two points are called {name}; give each its own values." for name in _twice(points)]
    if mistakes:
        raise ConfigError("\n".join(f"{source}: {line}" for line in mistakes))
    return Experiment(raw, config, points)


def _validate(raw: dict[str, Any], source: str) -> Config:
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        names = sorted({*Config.model_fields, *(f for s in _SECTIONS for f in s.model_fields), *_TRAIN})
        lines = registry.explain(error, names) + _plugins(raw)[1]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from None


_SECTIONS = (PromptSection, ConceptSection, EvaluationSection, CurateSection)
_TRAIN = tuple(TrainSettings.__dataclass_fields__)


def _points(raw: dict[str, Any], sweep: dict[str, list[Any]], source: str) -> Iterator[Point]:
    """Every combination of the sweep's values, the last axis fastest; seeds are no part of an arm's name."""
    axes = [axis for axis in sweep if axis != "seed"]
    for values in product(*(sweep[axis] for axis in axes)):
        for seed in sweep.get("seed", [raw.get("seed", 0)]):
            point = {**deepcopy(raw), "sweep": {}, "seed": seed}
            for axis, value in zip(axes, values, strict=True):
                strict_yaml.put(point, axis, deepcopy(value), f"{source}: sweep.{axis}")
            config = _validate(point, source)
            labels = [_label(axis, value) for axis, value in zip(axes, values, strict=True)]
            yield Point("_".join(labels) or _label("policy", config.curate.policy), config)


def _twice(points: tuple[Point, ...]) -> list[str]:
    return [name for name, count in Counter(point.name for point in points).items() if count > 1]


def _label(axis: str, value: Any) -> str:
    """A short name for one value of a sweep: top_k-32, or learning_rate-0.0001."""
    if isinstance(value, dict):
        return "-".join(str(value[name]) for name in sorted(value, key=lambda name: (name != "use", name)))
    return str(value) if isinstance(value, str) else f"{axis.rpartition('.')[2]}-{value}"


def _plugins(raw: dict[str, Any]) -> tuple[dict[str, list[Any]], list[str]]:
    """The plug-ins that a config names, by kind, and what is wrong with those that cannot be built."""
    built: dict[str, list[Any]] = {"generator": [], "scorer": [], "policy": [], "regime": [], "judge": []}
    mistakes: list[str] = []
    for kind, where, spec in _specs(raw):
        try:
            built[kind].append(registry.build(kind, spec, where))
        except ConfigError as error:
            mistakes += str(error).splitlines()
    return built, mistakes


def _specs(raw: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(kind, place, spec) of every plug-in that stands where the schema wants it."""
    curate, judges = raw.get("curate"), raw.get("judges")
    curate, judges = curate if isinstance(curate, dict) else {}, judges if isinstance(judges, list | tuple) else ()
    places = [("generator", "generator", raw.get("generator")), ("regime", "feedback", raw.get("feedback"))]
    places += [(part, f"curate.{part}", curate.get(part)) for part in ("scorer", "policy")]
    places += [("judge", f"judges.{i}", spec) for i, spec in enumerate(judges)]
    yield from ((kind, where, spec) for kind, where, spec in places if isinstance(spec, dict))


def _mistakes(config: Config) -> Iterator[str]:
    """What a schema cannot see: unknown plug-ins, their options, and fields that must fit together."""
    built, mistakes = _plugins(config.model_dump())
    yield from mistakes
    for policy in built["policy"]:
        if policy.reads_scores and not config.curate.scorer:
            yield "curate.scorer: missing; the policy reads scores."
        try:
            policy.check(config.images)
        except ConfigError as error:
            yield f"curate.policy: {error}"
    yield from _prompt_mistakes(config)
    yield from _judge_mistakes(config, built["scorer"], built["judge"])


def _prompt_mistakes(config: Config) -> Iterator[str]:
    texts = [prompt.text for prompt in config.prompts]
    if len(set(texts)) < len(texts):
        yield "prompts: the same text stands twice; every prompt is measured on its own pool."
    if all(prompt.role != "target" for prompt in config.prompts):
        yield "prompts: none has the role target, so nothing would be fed back."
    named = [concept.name for concept in config.concept_nouns()]
    if ALL in named:
        yield f"prompts: {ALL!r} is the name of the joint concept; give the concept another name."
    for i, prompt in enumerate(config.prompts):
        if len(set(prompt.concepts)) < len(prompt.concepts):
            yield f"prompts.{i}.concepts: the same concept stands twice."
    for unused in sorted(set(config.concepts) - set(named)):
        yield f"concepts.{unused}: no prompt names it; {nearest(unused, named)}"


def _judge_mistakes(config: Config, scorers: list[Any], judges: list[Any]) -> Iterator[str]:
    labels = [judge.label for judge in judges]
    if len(set(labels)) < len(labels):
        yield f"judges: two have one name ({', '.join(labels)}), so the tables could not tell them apart."
    both = {_model(scorer) for scorer in scorers} & {_model(judge) for judge in judges} - {None}
    if both and config.curator_may_judge == "no":
        yield (
            f"judges: {scorers[0].model!r} is also the curator; a model that selects must not measure. Take another "
            "judge, or say `curator_may_judge: yes, the curator measures itself on purpose`."
        )


def _model(plugin: Any) -> tuple[str, str | None] | None:
    """Which weights a scorer or judge looks with; None for one without a model."""
    name = getattr(plugin, "model", None)
    return None if name is None else (name, getattr(plugin, "pretrained", None))


def _override(raw: dict[str, Any], text: str) -> None:
    """Apply one `--set path.to.key=value`; the value is read as YAML."""
    path, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text}: takes the form path.to.key=value, for example --set images=64.")
    try:
        strict_yaml.put(raw, path.strip(), strict_yaml.parse(value), f"--set {path}")
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not YAML: {error}") from None
