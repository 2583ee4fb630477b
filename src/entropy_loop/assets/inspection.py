"""Checks of a model's folder before any library opens it: no code in any form, no damaged files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from entropy_loop.errors import ConfigError

CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh")
"""File name endings of code."""
KEYS = ("auto_map", "trust_remote_code", "custom_pipeline", "_attn_implementation_internal")
"""Keys of a model's config that name code or allow it."""
HEADER = 16 << 20
"""Largest header of a safetensors file in bytes; a large model's has some hundred thousand."""
JSON = 64 << 20
"""Largest JSON file in bytes; a large tokenizer's has some ten millions."""
WIDTH = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
"""Bytes per number, by type name in a safetensors file."""


def check_folder(folder: Path) -> None:
    """Raises ConfigError if the folder contains or asks for code, links to files outside itself, or has invalid JSON or
    safetensors files. Loads no library; of weights it reads only the headers."""
    for file in _files(folder):
        if file.suffix.lower() in CODE:
            raise ConfigError(f"{folder}: holds code ({file.name}), which is never run; use a model without code.")
        if file.suffix == ".json":
            _check_json(file)
        if file.suffix == ".safetensors":
            _check_weights(file)


def _files(folder: Path) -> list[Path]:
    """Every file. Raises ConfigError for a link that leads outside. In the hub's cache a snapshot is a folder of links
    to the blobs beside it, which count as inside."""
    root = folder.resolve()
    if root.parent.name == "snapshots" and (root.parent.parent / "blobs").is_dir():
        root = root.parent.parent
    paths = []
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent) / name
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise ConfigError(f"{path}: leads out of the model's folder; put the file itself there.")
        paths += [Path(parent) / name for name in files]
    return sorted(paths)


def _check_json(file: Path) -> None:
    if file.stat().st_size > JSON:
        raise ConfigError(f"{file}: more than {JSON:,} bytes, too large for a config; download the model again.")
    if file.name in ("vocab.json", "tokenizer.json"):
        return  # a vocabulary may contain words that equal a key
    for mapping in _mappings(_parsed(file, file.read_bytes())):
        if keys := [key for key in KEYS if mapping.get(key) not in (None, False)]:
            raise ConfigError(f'{file}: asks for code of its own ("{keys[0]}"), which is never run.')
        _check_parts(file, mapping.get("weight_map"))


def _check_parts(file: Path, parts: object) -> None:
    """Raises ConfigError unless an index names only safetensors files beside it."""
    for part in parts.values() if isinstance(parts, dict) else ():
        if not isinstance(part, str) or Path(part).name != part or not part.endswith(".safetensors"):
            raise ConfigError(f"{file}: {part!r} is not a safetensors file beside it; download the model again.")


def _mappings(value: object) -> list[dict[str, object]]:
    """Every mapping in a JSON value, at any depth."""
    mappings, values = [], [value]
    while values:
        value = values.pop()
        if isinstance(value, dict):
            mappings.append(value)
        values += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return mappings


def _parsed(file: Path, data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ConfigError(f"{file}: is not valid JSON; download the model again.") from None


def _check_weights(file: Path) -> None:
    """Raises ConfigError unless the file is: the header's length, the header, tensors without gaps."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(HEADER, size - 8):
            raise ConfigError(f"{file}: is not a safetensors file; download the model again.")
        header = _parsed(file, opened.read(length))
    if not isinstance(header, dict):
        raise ConfigError(f"{file}: has no table of tensors; download the model again.")
    try:
        extents = sorted(_extent(entry) for name, entry in header.items() if name != "__metadata__")
    except (TypeError, KeyError, ValueError):
        raise ConfigError(f"{file}: has a tensor of invalid type, shape or offset; download the model again.") from None
    position = 0
    for start, end in extents:
        if start != position:
            raise ConfigError(f"{file}: has tensors that overlap or leave a gap; download the model again.")
        position = end
    if position != size - 8 - length:
        raise ConfigError(f"{file}: is shorter or longer than its tensors; download the model again.")


def _extent(entry: Any) -> tuple[int, int]:
    """(first byte, byte after the last) of a tensor. Raises an error if they do not fit its type and shape."""
    start, end = entry["data_offsets"]
    count = WIDTH[entry["dtype"]]
    for side in entry["shape"]:
        if not isinstance(side, int) or side < 0:
            raise ValueError
        count *= side
    if not (isinstance(start, int) and isinstance(end, int) and start >= 0 and end - start == count):
        raise ValueError
    return start, end
