"""All errors. A message says where, what, and what to do. Only `cli` prints it and exits."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MANY = 30
"""Longest list of known names that a message shows."""
SHORT = re.compile(r"\d+ requested and \d+ written")
RUST = re.compile(r"\(os error (\d+)\)")


class EntropyLoopError(Exception):
    """Base of all errors that a user can act on. `exit_code` is that of the process."""

    exit_code = 1


class ConfigError(EntropyLoopError):
    """The config or the command line is wrong, or names something that does not exist."""

    exit_code = 2


class TrainingDiverged(EntropyLoopError):
    """A loss, gradient or weight is not finite. The generation before is intact."""


class StorageError(EntropyLoopError):
    """Reading or writing failed: not writable, full, or damaged."""

    exit_code = 74


class DiskFull(StorageError):
    """There is no space left where the results are."""


class Waiting(EntropyLoopError):
    """People have to answer first. Then the same command continues."""

    exit_code = 10


class Locked(EntropyLoopError):
    """Another process works in the results folder."""

    exit_code = 75


@contextmanager
def as_storage_error(path: Path) -> Iterator[None]:
    """Turn an error of the operating system into a StorageError with the path. Errors without a system error number and
    broken pipes pass unchanged."""
    try:
        yield
    except EntropyLoopError:
        raise
    except Exception as error:
        number = _number(error)
        if number is None or isinstance(error, BrokenPipeError):
            raise
        fault = f"{getattr(error, 'filename', None) or path}: {os.strerror(number)}"
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(f"{fault}; {free(path):,} bytes are free. Nothing finished is lost.") from error
        raise StorageError(f"{fault}. Nothing finished is lost.") from error


def _number(error: Exception) -> int | None:
    """The operating system's error number, or None. safetensors has it only in its message (it is written in Rust).
    numpy only reports that it wrote less than the whole array, which means that the disk is full."""
    if isinstance(error, OSError):
        return errno.ENOSPC if error.errno is None and SHORT.fullmatch(str(error)) else error.errno
    match = RUST.search(str(error)) if type(error).__module__.startswith("safetensors") else None
    return int(match[1]) if match else None


def free(path: Path) -> int:
    """Free bytes on the disk of a path, which need not exist."""
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
    return shutil.disk_usage(existing).free


def nearest(name: str, known: list[str]) -> str:
    """A sentence that suggests the closest known name, if one is close, and lists up to MANY known names."""
    from difflib import get_close_matches

    if not known:
        return "none is known."
    close = get_close_matches(name, known, n=1)
    listed = f"known: {', '.join(sorted(known))}." if len(known) <= MANY else ""
    meant = f"{'Did' if listed else 'did'} you mean {close[0]!r}?" if close else ""
    return " ".join(filter(None, (listed, meant))) or f"none of {len(known)} known names is close."
