"""The JSON Schema of a config, for editors: keys, values, defaults and what each of them is, plug-ins included.

What a key is stands in the docstring of its class, after `key:`; the same sentences make the config reference.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from pydantic import TypeAdapter

from entropy_loop import registry
from entropy_loop.contracts import Plugin
from entropy_loop.errors import ConfigError
from entropy_loop.registry import Kind
from entropy_loop.study import config

Schema = dict[str, Any]  # JSON Schema: as deep and as mixed as JSON


def schema() -> Schema:
    """The schema (JSON Schema 2020-12). A third party's plug-in that cannot be loaded is left out; see
    `left_out`."""
    told = config.Config.model_json_schema()
    definitions: Schema = told["$defs"]
    for name, section in (("Config", told), *definitions.items()):
        _describe(section, getattr(config, name, None))
    for kind in registry.KINDS.values():
        variants = [found for name in sorted(registry.known(kind)) for found in _variant(kind, name, definitions)]
        definitions[kind.name] = {"oneOf": variants}
        for place in kind.places:
            _put(told, place, kind.name)
    _describe_arms(told)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "entropy-loop config"} | told


def left_out() -> list[str]:
    """Which plug-ins the schema lacks, because they cannot be loaded, and why: a line for each."""
    lines = []
    for kind in registry.KINDS.values():
        for name in sorted(registry.known(kind)):
            try:
                registry.load(kind, name)
            except ConfigError as error:
                lines.append(str(error))
    return lines


def _describe_arms(told: Schema) -> None:
    """What an arm sets at a place that the schema knows is what may stand there; other places stay open."""
    places = {name: f"#/properties/{name}" for name in told["properties"] if name not in ("name", "sweep", "arms")}
    for outer in [name for name in places if "$ref" in told["properties"][name]]:
        link = told["properties"][outer]["$ref"]
        section = told["$defs"][link.rpartition("/")[2]]
        places |= {f"{outer}.{inner}": f"{link}/properties/{inner}" for inner in section.get("properties", ())}
    links = {place: {"$ref": link} for place, link in places.items()}
    lists = {place: {"type": "array", "minItems": 1, "items": link} for place, link in links.items()}
    told["properties"]["sweep"]["properties"] = lists
    told["$defs"]["ArmSection"]["properties"]["set"]["properties"] = links


def sentences(cls: type) -> dict[str, str]:
    """Key -> what the docstrings of a class and of those it extends say of it, after `key:`, to the paragraph's end."""
    one = r"[a-z]\w*(?: \([^)]*\))?"
    head = re.compile(rf"(?:^|(?<=[.;] ))({one}(?:, {one})*): ")
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        for paragraph in inspect.cleandoc(base.__dict__.get("__doc__") or "").split("\n\n"):
            text = " ".join(paragraph.split())
            for here, after in pairwise([*head.finditer(text), None]):
                if here is None:
                    continue
                told = text[here.end() : after.start() if after else len(text)].strip().rstrip(";.")
                found |= dict.fromkeys(re.sub(r" \([^)]*\)", "", here[1]).split(", "), told)
    return found


def _describe(section: Schema, cls: type | None) -> None:
    """Each key's own sentence beside it."""
    if cls is None:
        return
    for name, text in sentences(cls).items():
        if name in section.get("properties", {}):
            section["properties"][name]["description"] = text


def _variant(kind: Kind[Plugin], name: str, definitions: Schema) -> Iterator[Schema]:
    """The options of one plug-in, with the `use` that names it."""
    try:
        cls = registry.load(kind, name)
    except ConfigError:
        return
    options = TypeAdapter(cls).json_schema()
    definitions |= options.pop("$defs", {})
    _describe(options, cls)
    first = (cls.__doc__ or "").strip().split("\n\n")[0]
    yield {
        "type": "object",
        "title": name,
        "description": " ".join(first.split()),
        "properties": {"use": {"const": name}, **options.get("properties", {})},
        "required": ["use", *options.get("required", [])],
        "additionalProperties": False,
    }


def _put(told: Schema, place: str, kind: str) -> None:
    """At its place in the config a plug-in is one of its kind; where nothing may stand, nothing."""
    outer, _, inner = place.rpartition(".")
    section = told["$defs"][f"{outer.title()}Section"] if outer else told
    old = section["properties"][inner]
    link: Schema = {"$ref": f"#/$defs/{kind}"}
    if old.get("type") == "array":
        section["properties"][inner] = old | {"items": link}
        return
    optional = any(one.get("type") == "null" for one in old.get("anyOf", ()))
    kept = {key: value for key, value in old.items() if key in ("default", "description", "title")}
    section["properties"][inner] = kept | ({"anyOf": [link, {"type": "null"}]} if optional else link)


def keys() -> list[str]:
    """Every key of a config by its dotted place, sections too, and then those in them."""
    told, found = config.Config.model_json_schema(), list[str]()
    for name, one in told["properties"].items():
        links = [part["$ref"] for part in (one, *one.get("anyOf", ())) if "$ref" in part]
        section = told["$defs"][links[0].rpartition("/")[2]] if links else {}
        found += [name, *(f"{name}.{inner}" for inner in section.get("properties", ()))]
    return found
