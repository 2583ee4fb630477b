"""A strict YAML reader, and dotted paths into its values."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator
from typing import Any, NoReturn

import yaml

from entropy_loop.errors import ConfigError

SIZE = 1 << 18
"""Largest size of a file, bytes."""
DEPTH, NODES, DIGITS = 20, 10_000, 40
"""Limits: levels of nesting, values in a file, and digits of an integer."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a quoted string can hold them as escapes
_SECRET = re.compile(r"\b(hf_|gh[pousr]_|github_pat_|sk-)[A-Za-z0-9_-]{20,}|\bAKIA[0-9A-Z]{16}\b|://[^/\s@]*:[^/\s@]*@")
_MERGE = "tag:yaml.org,2002:merge"
_BOOL, _DATE = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"
_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"


class _Loader(yaml.SafeLoader):
    """A SafeLoader that rejects duplicate keys, anchors, aliases, merge keys, tags and files above the limits, before
    it builds a value. As in YAML 1.2 only true and false are booleans; `yes` and `no` are strings. Numbers are decimal:
    1e-4 is a number; 010, 1_000, 1:30 and 2024-01-31 are strings."""

    depth = nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: yaml.NodeEvent = self.peek_event()  # type: ignore[no-untyped-call]
        if event.anchor is not None:
            _fail(event, f"anchor or alias {event.anchor!r}", "write the value out where it is needed")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            _fail(event, f"tag {event.tag!r}", "values have none here; take it away")
        self.nodes, self.depth = self.nodes + 1, self.depth + 1
        if self.depth > DEPTH:
            _fail(event, f"more than {DEPTH} levels in each other", "make it flatter")
        if self.nodes > NODES:
            _fail(event, f"more than {NODES:,} values", "split the experiment")
        node = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.ScalarNode) and _CONTROL.search(node.value):
            _fail(event, "control character", "take it away")
        if isinstance(node, yaml.ScalarNode) and _SECRET.search(node.value):
            _fail(event, "what looks like a password or token", "take it away: configs are stored and shown")
        if node and node.tag == _MERGE:
            _fail(event, "merge key <<", "write the keys out where they are needed")
        if isinstance(node, yaml.ScalarNode) and node.tag == _INT and len(node.value) > DIGITS:
            _fail(event, f"number of more than {DIGITS} digits", "shorten it")
        return node


def parse(text: str) -> Any:
    """The value of a YAML document. Raises yaml.YAMLError."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise yaml.YAMLError(f"character {error.character:#06x}, line {line}; take it away") from None
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def line(value: Any, where: str) -> str:
    """YAML of a plain value, on one line. Raises ConfigError, with `where` in front, for what YAML cannot hold."""
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {error}; a config holds text, numbers, lists and mappings.") from None


def lines(text: str) -> dict[str, int]:
    """Dotted path -> line number, from 1, of every key and list entry of a valid document."""
    loader = _Loader(text)
    try:
        return dict(_lines(loader.get_single_node(), ""))
    finally:
        loader.dispose()


def _lines(node: yaml.Node | None, place: str) -> Iterator[tuple[str, int]]:
    entries: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        entries = [(str(key.value), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        entries = [(str(number), value, value) for number, value in enumerate(node.value)]
    for name, start, value in entries:
        path = f"{place}.{name}" if place else name
        yield path, start.start_mark.line + 1
        yield from _lines(value, path)


def put(raw: dict[str, object], path: str, value: object, where: str) -> None:
    """Set a dotted path in nested dicts and lists. Missing dicts on the way are created. Raises ConfigError, with
    `where` in front, when the path leads through any other value."""
    # An axis of a sweep is one key, though it has dots.
    *parents, last = path.split(".", 1) if path.startswith("sweep.") else path.split(".")
    here: Any = raw
    for part in parents:
        if _is_index(here, part):
            here = here[int(part)]
        else:
            here = here.setdefault(part, {}) if isinstance(here, dict) else None
    if _is_index(here, last):
        here[int(last)] = value
    elif isinstance(here, dict):
        here[last] = value
    else:
        raise ConfigError(f"{where}: there is no such place in the config.")


def _is_index(here: object, part: str) -> bool:
    return isinstance(here, list) and part.isdecimal() and int(part) < len(here)


def _fail(event: yaml.Event, problem: str, advice: str) -> NoReturn:
    line = event.start_mark.line + 1 if event.start_mark else "unknown"
    raise yaml.YAMLError(f"{problem}, line {line}; {advice}")


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, object]:
    seen: set[Hashable] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            continue  # construct_mapping rejects a list or dict as a key
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.YAMLError(f"key {key!r} stands twice, line {key_node.start_mark.line + 1}; keep one of them")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.yaml_implicit_resolvers = {
    first: [(t, p) for t, p in known if t not in (_INT, _FLOAT, _DATE) and (t != _BOOL or first in "tTfF")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_INT, re.compile(r"^[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
_DECIMAL = r"([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[0-9]+[eE][-+]?[0-9]+"
_SPECIAL = r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
_Loader.add_implicit_resolver(_FLOAT, re.compile(f"^([-+]?({_DECIMAL})|{_SPECIAL})$"), list("-+.0123456789"))
_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
