"""Plug-ins: kind + name -> a frozen dataclass whose fields are its options, imported when it is used.

`KINDS` lists all kinds: the contract of each, its place in a config, and the plug-ins that ship with the package. Third
parties register with an entry point in the group `entropy_loop.<kind>`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, NamedTuple, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import get_protocol_members

from entropy_loop.contracts import Embedder, Engine, Generator, Judge, Plugin, Policy, Reader, Real, Regime, Scorer
from entropy_loop.data import canonical
from entropy_loop.errors import ConfigError, nearest

P = TypeVar("P", bound=Plugin)
C = TypeVar("C", bound=Plugin, covariant=True)
Spec = Mapping[str, object]
"""A plug-in in a config: `{use: name, option: value, ...}`."""


@dataclass(frozen=True, eq=False)
class Kind(Generic[C]):
    """A kind of plug-in.

    contract: the protocol of its plug-ins. places: its places in a config; a list there holds several plug-ins.
    bundled: name -> 'module:class' of the plug-ins that ship with the package. machine: whether it only says where a
    study runs; such plug-ins are part of no key.
    """

    name: str
    contract: type
    places: tuple[str, ...]
    bundled: dict[str, str] = field(repr=False)
    machine: bool = False


ENGINE = Kind[Engine](
    "engine",
    Engine,
    ("engine",),
    {"local": "entropy_loop.engines.local:Local", "ray": "entropy_loop.engines.ray:Ray"},
    machine=True,
)
GENERATOR = Kind[Generator](
    "generator",
    Generator,
    ("generator",),
    {
        "categorical": "entropy_loop.generators.toys.categorical:Categorical",
        "diffusion": "entropy_loop.generators.diffusion.diffusion:Diffusion",
        "gaussian": "entropy_loop.generators.toys.gaussian:Gaussian",
        "vae_roundtrip": "entropy_loop.generators.diffusion.roundtrip:VaeRoundtrip",
    },
)
SCORER = Kind[Scorer](
    "scorer",
    Scorer,
    ("curate.scorer",),
    {
        "clip": "entropy_loop.judges.clip:ClipScorer",
        "command": "entropy_loop.judges.command:CommandScorer",
        "exact": "entropy_loop.judges.exact:ExactScorer",
        "trait": "entropy_loop.judges.exact:TraitScorer",
    },
)
JUDGE = Kind[Judge](
    "judge",
    Judge,
    ("judges",),
    {
        "clip": "entropy_loop.judges.clip:ClipRecogniser",
        "command": "entropy_loop.judges.command:CommandRecogniser",
        "exact": "entropy_loop.judges.exact:ExactRecogniser",
        "vqa": "entropy_loop.judges.vqa:VqaRecogniser",
    },
)
EMBEDDER = Kind[Embedder](
    "embedder",
    Embedder,
    ("measures.embedder",),
    {
        "clip": "entropy_loop.judges.clip:ClipEmbedder",
        "storybook": "entropy_loop.judges.attributes:AttributeEmbedder",
    },
)
READER = Kind[Reader](
    "reader",
    Reader,
    ("measures.reader",),
    {"storybook": "entropy_loop.judges.attributes:AttributeReader"},
)
REAL = Kind[Real](
    "real",
    Real,
    ("real", "measures.real"),
    {
        "categorical": "entropy_loop.generators.toys.categorical:CategoricalWorld",
        "gaussian": "entropy_loop.generators.toys.gaussian:GaussianWorld",
        "imagefolder": "entropy_loop.worlds.imagefolder:ImageFolder",
        "storybook": "entropy_loop.worlds.storybook.real:Storybook",
    },
)
POLICY = Kind[Policy](
    "policy",
    Policy,
    ("curate.policy",),
    {
        "none": "entropy_loop.curation:KeepAll",
        "top_k": "entropy_loop.curation:TopK",
        "bottom_k": "entropy_loop.curation:BottomK",
        "random_k": "entropy_loop.curation:RandomK",
        "threshold": "entropy_loop.curation:Threshold",
        "k_choice": "entropy_loop.curation:KChoice",
        "people": "entropy_loop.curation:People",
    },
)
REGIME = Kind[Regime](
    "regime",
    Regime,
    ("feedback",),
    {
        "replace": "entropy_loop.regimes:Replace",
        "accumulate": "entropy_loop.regimes:Accumulate",
        "accumulate_subsample": "entropy_loop.regimes:AccumulateSubsample",
        "mix_real": "entropy_loop.regimes:MixReal",
        "fresh_real": "entropy_loop.regimes:FreshReal",
        "window": "entropy_loop.regimes:Window",
    },
)

KINDS: dict[str, Kind[Plugin]] = {
    kind.name: kind for kind in (GENERATOR, REAL, SCORER, POLICY, REGIME, JUDGE, EMBEDDER, READER, ENGINE)
}


class Placed(NamedTuple):
    """A plug-in's spec and its place in a config."""

    kind: Kind[Plugin]
    place: str
    spec: Spec


def plugins_in(raw: Mapping[str, object]) -> Iterator[Placed]:
    """Every plug-in of a config, which need not be valid."""
    for kind in KINDS.values():
        for place in kind.places:
            value: object = raw
            for part in place.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            items = enumerate(value) if isinstance(value, list | tuple) else ()
            specs = [(place, value), *((f"{place}.{i}", item) for i, item in items)]
            yield from (Placed(kind, where, spec) for where, spec in specs if isinstance(spec, Mapping))


@cache
def known(kind: Kind[P]) -> dict[str, str]:
    """Name -> 'module:class' of every plug-in of a kind. Raises ConfigError when two share a name."""
    table = dict(kind.bundled)
    for entry in entry_points(group=f"entropy_loop.{kind.name}"):
        if entry.name in table:
            raise ConfigError(f"{kind.name} {entry.name!r}: {entry.value} takes a name that {table[entry.name]} has.")
        table[entry.name] = entry.value
    return table


def load(kind: Kind[P], name: str) -> type[P]:
    """The class of a plug-in. Raises ConfigError for an unknown name, with the nearest known one, and for a class that
    cannot be loaded or lacks members of its contract."""
    if name not in known(kind):
        raise ConfigError(f"no {kind.name} {name!r}; {nearest(name, list(known(kind)))}")
    place = known(kind)[name]
    module, _, attribute = place.partition(":")
    try:
        loaded: type[P] = getattr(import_module(module), attribute)
    except Exception as error:  # a third party's module may fail in any way
        raise ConfigError(
            f"{kind.name} {name!r}: {place} cannot be loaded ({type(error).__name__}: {error})."
        ) from error
    if not (isinstance(loaded, type) and is_dataclass(loaded) and isinstance(vars(loaded).get("version"), int)):
        raise ConfigError(
            f"{kind.name} {name!r}: {place} is no dataclass with a `version` of its own, which enters keys."
        )
    if missing := _missing_members(loaded, kind.contract):
        raise ConfigError(
            f"{kind.name} {name!r}: {place} lacks {', '.join(f'`{member}`' for member in missing)}; the contract of a "
            f"{kind.name} is entropy_loop.contracts.{kind.contract.__name__}."
        )
    return loaded


def _missing_members(cls: type, contract: type) -> list[str]:
    """Names of the contract's members that a class neither has nor inherits, or leaves abstract."""
    options = {option.name for option in fields(cls)}
    abstract: frozenset[str] = vars(cls).get("__abstractmethods__", frozenset())
    # Not `hasattr`: every class has `__call__`, even if its objects do not.
    members = options.union(*map(vars, cls.__mro__)) - abstract
    return sorted(get_protocol_members(contract) - members)


def build(kind: Kind[P], spec: Spec, where: str = "") -> P:
    """A plug-in from `{use: name, option: value, ...}`.

    Raises ConfigError that lists every unknown option, wrong type and value out of range. where: the spec's place in
    the config.
    """
    options = {name: value for name, value in spec.items() if name != "use"}
    where = where or kind.name
    if "use" not in spec:
        raise ConfigError(f"{where}.use: missing; {nearest('', list(known(kind)))}")
    try:
        cls = load(kind, str(spec["use"]))
    except ConfigError as error:
        raise ConfigError(f"{where}.use: {error}") from None
    names = [f.name for f in fields(cls)]
    mistakes = [f"{where}.{name}: unknown key; {nearest(str(name), names)}" for name in options if name not in names]
    try:
        given = {name: options[name] for name in names if name in options}
        plugin = _validated(cls, json.dumps(given, sort_keys=True))
        canonical(asdict(plugin))
        mistakes += coerced(options, asdict(plugin), where)
    except ValidationError as error:
        mistakes += explain(error, names, where)
    except ConfigError as error:
        mistakes.append(f"{where}: {error}")
    except (TypeError, ValueError, OverflowError) as error:
        mistakes.append(f"{where}: an option has no JSON form that can enter a key ({error}).")
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return plugin


@lru_cache(maxsize=1024)
def _validated(cls: type[P], options: str) -> P:
    """options: as JSON, which may hold NaN: the class says where that is wrong.

    Cached, because the chains of a study name the same plug-ins many times.
    """
    return _schema(cls).validate_json(options)


@cache
def _schema(cls: type[P]) -> TypeAdapter[P]:
    return TypeAdapter(cls)


def explain(error: ValidationError, names: list[str], where: str = "") -> list[str]:
    """One line per mistake: where, what, and for an unknown key the nearest of `names`."""
    lines = []
    for mistake in error.errors(include_url=False):
        # Pydantic adds the type that it tried ("constrained-int"), which is no place in the config.
        place = [str(part) for part in mistake["loc"] if not str(part).startswith("constrained-")]
        path = ".".join([where, *place] if where else place)
        if mistake["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            lines.append(f"{path}: unknown key; {nearest(str(mistake['loc'][-1]), names)}")
        elif mistake["type"] in ("missing", "missing_argument"):
            lines.append(f"{path}: missing; it has no default.")
        else:
            lines.append(f"{path}: {mistake['msg']} (got {mistake['input']!r}).")
    return lines


def coerced(given: object, parsed: object, where: str = "") -> list[str]:
    """One line per text or boolean that pydantic converted to another type, such as '7' or true to a number."""
    if isinstance(given, Mapping) and isinstance(parsed, Mapping):
        pairs = [(name, value, parsed.get(name)) for name, value in given.items()]
    elif isinstance(given, list) and isinstance(parsed, list | tuple):
        pairs = [(index, *pair) for index, pair in enumerate(zip(given, parsed, strict=False))]
    else:
        changed = isinstance(given, bool | str) and type(given) is not type(parsed)
        return [f"{where}: should be of type {type(parsed).__name__} (got {given!r})."] if changed else []
    places = [(f"{where}.{name}" if where else str(name), before, after) for name, before, after in pairs]
    return [line for place, before, after in places for line in coerced(before, after, place)]


def identity(plugin: Plugin) -> dict[str, object]:
    """What enters a key: a plug-in's kind, registered name, version and options, never its module."""
    kind, name = _registered(type(plugin))
    return {"kind": kind, "plugin": name, "version": plugin.version, "options": asdict(plugin)}


def display_name(plugin: Plugin) -> str:
    """Kind and registered name, for errors."""
    kind, name = _registered(type(plugin))
    return f"{kind} {name!r}"


def _registered(cls: type) -> tuple[str, str]:
    """Kind and name under which a class is registered. Raises ConfigError if there are none."""
    registered = [(kind, name, place) for kind in KINDS.values() for name, place in known(kind).items()]
    for kind, name, place in registered:
        if place == f"{cls.__module__}:{cls.__qualname__}":
            return kind.name, name
    package = cls.__module__.partition(".")[0]
    for kind, name, place in registered:  # the entry point may name a module that only imports the class
        if place.startswith((f"{package}.", f"{package}:")) and load(kind, name) is cls:
            return kind.name, name
    raise ConfigError(f"{cls.__module__}:{cls.__qualname__} is registered under no name; add an entry point for it.")


def catalogue() -> dict[str, dict[str, str]]:
    """kind -> name -> the first line of its docstring, or why it cannot be loaded."""
    return {kind.name: {name: _first_line(kind, name) for name in sorted(known(kind))} for kind in KINDS.values()}


def _first_line(kind: Kind[Plugin], name: str) -> str:
    try:
        return (load(kind, name).__doc__ or "").strip().split("\n")[0]
    except ConfigError as error:
        return str(error)
