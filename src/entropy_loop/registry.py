"""Plug-ins: kind + name -> a frozen dataclass whose fields are its options, imported when it is used.

A third party registers with an entry point in the group `entropy_loop.<kind>`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from pydantic import TypeAdapter, ValidationError

from entropy_loop.data import canonical
from entropy_loop.errors import ConfigError, nearest

PLUGINS: dict[str, dict[str, str]] = {
    "engine": {
        "local": "entropy_loop.engines.local:Local",
        "ray": "entropy_loop.engines.ray:Ray",
    },
    "generator": {
        "categorical": "entropy_loop.generators.categorical:Categorical",
        "diffusion": "entropy_loop.generators.diffusion:Diffusion",
        "gaussian": "entropy_loop.generators.gaussian:Gaussian",
        "vae_roundtrip": "entropy_loop.generators.roundtrip:VaeRoundtrip",
    },
    "scorer": {
        "clip": "entropy_loop.judges.clip:ClipScorer",
        "command": "entropy_loop.judges.command:CommandScorer",
        "exact": "entropy_loop.judges.exact:ExactScorer",
        "trait": "entropy_loop.judges.exact:TraitScorer",
    },
    "judge": {
        "clip": "entropy_loop.judges.clip:ClipRecogniser",
        "command": "entropy_loop.judges.command:CommandRecogniser",
        "exact": "entropy_loop.judges.exact:ExactRecogniser",
        "vqa": "entropy_loop.judges.vqa:VqaRecogniser",
    },
    "embedder": {
        "clip": "entropy_loop.judges.clip:ClipEmbedder",
        "storybook": "entropy_loop.judges.attributes:AttributeEmbedder",
    },
    "reader": {
        "storybook": "entropy_loop.judges.attributes:AttributeReader",
    },
    "real": {
        "categorical": "entropy_loop.generators.categorical:CategoricalWorld",
        "gaussian": "entropy_loop.generators.gaussian:GaussianWorld",
        "imagefolder": "entropy_loop.worlds.imagefolder:ImageFolder",
        "storybook": "entropy_loop.worlds.storybook.real:Storybook",
    },
    "policy": {
        "none": "entropy_loop.curation:KeepAll",
        "top_k": "entropy_loop.curation:TopK",
        "bottom_k": "entropy_loop.curation:BottomK",
        "random_k": "entropy_loop.curation:RandomK",
        "threshold": "entropy_loop.curation:Threshold",
        "k_choice": "entropy_loop.curation:KChoice",
        "people": "entropy_loop.curation:People",
    },
    "regime": {
        "replace": "entropy_loop.regimes:Replace",
        "accumulate": "entropy_loop.regimes:Accumulate",
        "accumulate_subsample": "entropy_loop.regimes:AccumulateSubsample",
        "mix_real": "entropy_loop.regimes:MixReal",
        "fresh_real": "entropy_loop.regimes:FreshReal",
        "window": "entropy_loop.regimes:Window",
    },
}


@cache
def known(kind: str) -> dict[str, str]:
    """Name -> 'module:object' of every plug-in of a kind. Raises ConfigError when two share a name."""
    table = dict(PLUGINS[kind])
    for entry in entry_points(group=f"entropy_loop.{kind}"):
        if entry.name in table:
            raise ConfigError(f"{kind} {entry.name!r}: {entry.value} takes a name that {table[entry.name]} has.")
        table[entry.name] = entry.value
    return table


def load(kind: str, name: str) -> type:
    """The class of a plug-in. Raises ConfigError that names the nearest known one, or says why it is none."""
    if name not in known(kind):
        raise ConfigError(f"no {kind} {name!r}; {nearest(name, list(known(kind)))}")
    place = known(kind)[name]
    module, _, attribute = place.partition(":")
    try:
        loaded: type = getattr(import_module(module), attribute)
    except Exception as error:  # a third party's module may fail in any way
        raise ConfigError(f"{kind} {name!r}: {place} cannot be loaded ({type(error).__name__}: {error}).") from error
    if not (is_dataclass(loaded) and hasattr(loaded, "version")):
        raise ConfigError(f"{kind} {name!r}: {place} is no dataclass with a `version`, which enters keys.")
    return loaded


def build(kind: str, spec: Mapping[str, Any], where: str = "") -> Any:
    """A plug-in from `{use: name, option: value, ...}`.

    Raises ConfigError that lists every unknown option, wrong type and value out of range; `where` is the
    spec's place in the config.
    """
    options = {name: value for name, value in spec.items() if name != "use"}
    where = where or kind
    if "use" not in spec:
        raise ConfigError(f"{where}.use: missing; {nearest('', list(known(kind)))}")
    try:
        cls = load(kind, str(spec["use"]))
    except ConfigError as error:
        raise ConfigError(f"{where}.use: {error}") from None
    names = [f.name for f in fields(cls)]
    mistakes = [f"{where}.{name}: unknown key; {nearest(str(name), names)}" for name in options if name not in names]
    try:
        plugin = _schema(cls).validate_python({name: options[name] for name in names if name in options})
        canonical(asdict(plugin))
        mistakes += bent(options, asdict(plugin), where)
    except ValidationError as error:
        mistakes += explain(error, names, where)
    except ConfigError as error:
        mistakes.append(f"{where}: {error}")
    except (TypeError, ValueError) as error:
        mistakes.append(f"{where}: an option cannot be written down the same way twice ({error}).")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return plugin


@cache
def _schema(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def explain(error: ValidationError, names: list[str], where: str = "") -> list[str]:
    """One line per mistake: where, what, and for an unknown key the nearest of `names`."""
    lines = []
    for mistake in error.errors(include_url=False):
        # Pydantic adds which of several types it tried ("constrained-int"): no place in the config.
        place = [str(part) for part in mistake["loc"] if not str(part).startswith("constrained-")]
        path = ".".join([where, *place] if where else place)
        if mistake["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            lines.append(f"{path}: unknown key; {nearest(str(mistake['loc'][-1]), names)}")
        elif mistake["type"] in ("missing", "missing_argument"):
            lines.append(f"{path}: missing; it has no default.")
        else:
            lines.append(f"{path}: {mistake['msg']} (got {mistake['input']!r}).")
    return lines


def bent(given: Any, understood: Any, where: str = "") -> list[str]:
    """One line per word or truth value that pydantic took for something else, such as '7' or true for a number."""
    if isinstance(given, Mapping) and isinstance(understood, Mapping):
        pairs = [(name, value, understood.get(name)) for name, value in given.items()]
    elif isinstance(given, list) and isinstance(understood, list | tuple):
        pairs = [(place, one, other) for place, (one, other) in enumerate(zip(given, understood, strict=False))]
    else:
        changed = isinstance(given, bool | str) and type(given) is not type(understood)
        return [f"{where}: should be of type {type(understood).__name__} (got {given!r})."] if changed else []
    places = [(f"{where}.{name}" if where else str(name), one, other) for name, one, other in pairs]
    return [line for place, one, other in places for line in bent(one, other, place)]


def identity(plugin: Any) -> dict[str, Any]:
    """What of a plug-in enters a key: its class, version and options."""
    cls = type(plugin)
    return {"plugin": f"{cls.__module__}:{cls.__qualname__}", "version": cls.version, "options": asdict(plugin)}


def catalogue() -> dict[str, dict[str, str]]:
    """kind -> name -> the first sentence of what it is, or why it cannot be loaded."""
    return {kind: {name: _sentence(kind, name) for name in sorted(known(kind))} for kind in PLUGINS}


def _sentence(kind: str, name: str) -> str:
    try:
        return (load(kind, name).__doc__ or "").strip().split("\n")[0]
    except ConfigError as error:
        return str(error)
