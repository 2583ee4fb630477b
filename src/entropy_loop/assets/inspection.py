"""What is refused of a model's folder before any library opens it: code, in whatever form, and damage."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from entropy_loop.errors import ConfigError

CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh")
"""How the names of files end that are run, not read."""
KEYS = ("auto_map", "trust_remote_code", "custom_pipeline", "_attn_implementation_internal")
"""Keys of a config that name code, or let it in."""
HEADER = 16 << 20
"""Bytes that the header of a safetensors file may have: a large model's has some hundred thousand."""
JSON = 64 << 20
"""Bytes that a JSON file may have: a large tokenizer's has some ten millions."""
WIDTH = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
"""Bytes of a number, by its type's name in a safetensors file."""


def refuse(folder: Path) -> None:
    """Raises ConfigError for a folder that holds or asks for code, reaches outside itself, or has weights or configs
    that are not what they are called. Loads no library; of weights, only headers are read."""
    for file in _files(folder):
        if file.suffix.lower() in CODE:
            raise ConfigError(f"{folder}: holds code ({file.name}), which is never run; take a model without.")
        if file.suffix == ".json":
            _refuse_json(file)
        if file.suffix == ".safetensors":
            _refuse_weights(file)


def _files(folder: Path) -> list[Path]:
    """Every file, none of them outside. The hub's cache keeps a snapshot as links to the blobs beside it."""
    root = folder.resolve()
    if root.parent.name == "snapshots" and (root.parent.parent / "blobs").is_dir():
        root = root.parent.parent
    found = []
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(here) / name
            if path.is_symlink() and not path.resolve().is_relative_to(root):
                raise ConfigError(f"{path}: leads out of the model's folder; put the file itself there.")
        found += [Path(here) / name for name in files]
    return sorted(found)


def _refuse_json(file: Path) -> None:
    if file.stat().st_size > JSON:
        raise ConfigError(f"{file}: more than {JSON:,} bytes, too long for a config; download the model again.")
    if file.name in ("vocab.json", "tokenizer.json"):
        return  # words of a language, some of which may be called like a key
    for mapping in _mappings(_parsed(file, file.read_bytes())):
        if named := [key for key in KEYS if mapping.get(key) not in (None, False)]:
            raise ConfigError(f'{file}: asks for code of its own ("{named[0]}"), which is never run.')
        _refuse_parts(file, mapping.get("weight_map"))


def _refuse_parts(file: Path, parts: object) -> None:
    """An index names the files that the weights are in: beside it, and nowhere else."""
    for part in parts.values() if isinstance(parts, dict) else ():
        if not isinstance(part, str) or Path(part).name != part or not part.endswith(".safetensors"):
            raise ConfigError(f"{file}: {part!r} is no safetensors file beside it; download the model again.")


def _mappings(value: object) -> list[dict[str, object]]:
    """Every mapping in a JSON value, at whatever depth."""
    found, waiting = [], [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            found.append(one)
        waiting += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
    return found


def _parsed(file: Path, data: bytes) -> object:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ConfigError(f"{file}: is no JSON where it should be; download the model again.") from None


def _refuse_weights(file: Path) -> None:
    """As the format has it: the header's length, the header, and tensors that lie one after another to the end."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if size < 8 or length > min(HEADER, size - 8):
            raise ConfigError(f"{file}: is no safetensors file, whatever its name says; download the model again.")
        header = _parsed(file, opened.read(length))
    if not isinstance(header, dict):
        raise ConfigError(f"{file}: has no table of tensors; download the model again.")
    try:
        ends = sorted(_place(entry) for name, entry in header.items() if name != "__metadata__")
    except (TypeError, KeyError, ValueError):
        raise ConfigError(f"{file}: has a tensor without type, shape and place; download the model again.") from None
    reached = 0
    for start, end in ends:
        if start != reached:
            raise ConfigError(f"{file}: has tensors that overlap or leave a gap; download the model again.")
        reached = end
    if reached != size - 8 - length:
        raise ConfigError(f"{file}: is shorter or longer than its tensors; download the model again.")


def _place(entry: Any) -> tuple[int, int]:
    """(first byte, byte after the last) of a tensor. Raises when they do not fit its type and shape."""
    start, end = entry["data_offsets"]
    count = WIDTH[entry["dtype"]]
    for side in entry["shape"]:
        if not isinstance(side, int) or side < 0:
            raise ValueError
        count *= side
    if not (isinstance(start, int) and isinstance(end, int) and start >= 0 and end - start == count):
        raise ValueError
    return start, end
