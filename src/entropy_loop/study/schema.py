"""The JSON Schema of a config, for editors: every key with its values, default and description, plug-ins included.

A key's description is the docstring under its field. The config reference is made from the same descriptions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import is_dataclass
from types import GenericAlias
from typing import Any

from pydantic import ConfigDict, TypeAdapter

from entropy_loop import registry
from entropy_loop.contracts import Plugin
from entropy_loop.errors import ConfigError
from entropy_loop.registry import Kind
from entropy_loop.study import config

DOCSTRINGS = ConfigDict(use_attribute_docstrings=True)
Schema = dict[str, Any]  # JSON Schema: as deep and as mixed as JSON


def schema() -> Schema:
    """The schema (JSON Schema 2020-12), without plug-ins that cannot be loaded; see `left_out`."""
    root = config.Config.model_json_schema()
    for kind in registry.KINDS.values():
        variants = [variant for name in sorted(registry.known(kind)) for variant in _variant(kind, name, root["$defs"])]
        root["$defs"][kind.name] = {"oneOf": variants}
        for place in kind.places:
            _put(root, place, kind.name)
    _describe_arms(root)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "entropy-loop config"} | root


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


def _describe_arms(root: Schema) -> None:
    """An arm or a sweep sets, at a place that the schema knows, what that place allows; other places stay open."""
    places = {name: f"#/properties/{name}" for name in root["properties"] if name not in ("name", "sweep", "arms")}
    for outer in [name for name in places if "$ref" in root["properties"][name]]:
        link = root["properties"][outer]["$ref"]
        section = root["$defs"][link.rpartition("/")[2]]
        places |= {f"{outer}.{inner}": f"{link}/properties/{inner}" for inner in section.get("properties", ())}
    links = {place: {"$ref": link} for place, link in places.items()}
    lists = {place: {"type": "array", "minItems": 1, "items": link} for place, link in links.items()}
    root["properties"]["sweep"]["properties"] = lists
    root["$defs"]["ArmSection"]["properties"]["set"]["properties"] = links


def section_schema(cls: type) -> Schema:
    """JSON Schema of a section or a plug-in, each key with the docstring under its field. Keys without one, as in
    third parties' plug-ins, have no description."""
    schema = TypeAdapter(cls).json_schema()
    # Pydantic reads only the docstrings in the class itself, not those of inherited fields. For a dataclass it takes no
    # config, but passes on that of the list around it.
    for base in filter(is_dataclass, cls.__mro__):
        wrapped: Any = GenericAlias(list, base)
        documented = TypeAdapter(wrapped, config=DOCSTRINGS).json_schema()
        options = documented["$defs"][documented["items"]["$ref"].rpartition("/")[2]].get("properties", {})
        for name in options.keys() & schema.get("properties", {}).keys():
            if "description" in options[name]:
                schema["properties"][name].setdefault("description", options[name]["description"])
    return schema


def _variant(kind: Kind[Plugin], name: str, definitions: Schema) -> Iterator[Schema]:
    """The options of one plug-in, with the `use` that names it."""
    try:
        cls = registry.load(kind, name)
    except ConfigError:
        return
    options = section_schema(cls)
    definitions |= options.pop("$defs", {})
    first = (cls.__doc__ or "").strip().split("\n\n")[0]
    yield {
        "type": "object",
        "title": name,
        "description": " ".join(first.split()),
        "properties": {"use": {"const": name}, **options.get("properties", {})},
        "required": ["use", *options.get("required", [])],
        "additionalProperties": False,
    }


def _put(root: Schema, place: str, kind: str) -> None:
    """Allow a plug-in of the kind at its place in the config, and `null` where the place may stay empty."""
    outer, _, inner = place.rpartition(".")
    section = root["$defs"][f"{outer.title()}Section"] if outer else root
    old = section["properties"][inner]
    link: Schema = {"$ref": f"#/$defs/{kind}"}
    if old.get("type") == "array":
        section["properties"][inner] = old | {"items": link}
        return
    optional = any(option.get("type") == "null" for option in old.get("anyOf", ()))
    kept = {key: value for key, value in old.items() if key in ("default", "description", "title")}
    section["properties"][inner] = kept | ({"anyOf": [link, {"type": "null"}]} if optional else link)


def keys() -> list[str]:
    """Every key of a config by its dotted place: each section, followed by its own keys."""
    root, places = config.Config.model_json_schema(), list[str]()
    for name, key in root["properties"].items():
        links = [part["$ref"] for part in (key, *key.get("anyOf", ())) if "$ref" in part]
        section = root["$defs"][links[0].rpartition("/")[2]] if links else {}
        places += [name, *(f"{name}.{inner}" for inner in section.get("properties", ()))]
    return places
