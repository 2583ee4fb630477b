"""Checks of a model's folder before any model is loaded: no code in any form, no damaged files."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open

from entropy_loop.errors import ConfigError

CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh")
"""File name endings of code."""
KEYS = ("auto_map", "trust_remote_code", "custom_pipeline", "_attn_implementation_internal")
"""Keys of a model's config that name code or allow it."""
JSON = 64 << 20
"""Largest JSON file in bytes; a large tokenizer's has some ten millions."""


def check_folder(folder: Path) -> None:
    """Raises ConfigError if the folder contains or asks for code, links to files outside itself, or has invalid JSON or
    safetensors files. Of weights it reads only the headers."""
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
    """Raises ConfigError unless the header is sound and the tensors fill the file without gaps."""
    try:
        with safe_open(file, framework="np"):
            pass
    except OSError as error:  # safetensors names an unreadable file "No such file"
        raise ConfigError(f"{file}: cannot be read ({error}); check its permissions.") from None
    except SafetensorError:
        raise ConfigError(f"{file}: cannot be read as a whole safetensors file; download the model again.") from None
