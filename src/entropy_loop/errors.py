"""What can go wrong. A message says where, what, and what to do; only `cli` prints it and exits."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MANY = 30  # names that one reads through for the one that one meant
SHORT = re.compile(r"\d+ requested and \d+ written")
RUST = re.compile(r"\(os error (\d+)\)")


class EntropyLoopError(Exception):
    """Base of all errors that a user can act on. `exit_code` is the shell's."""

    exit_code = 1


class ConfigError(EntropyLoopError):
    """The config or the command line is wrong, or names something that does not exist."""

    exit_code = 2


class TrainingDiverged(EntropyLoopError):
    """A loss, gradient or weight is no longer finite; the generation before it is intact."""


class StorageError(EntropyLoopError):
    """Reading or writing failed: unwritable, full, or damaged."""

    exit_code = 74


class DiskFull(StorageError):
    """Nothing more can be written where the results are."""


class Waiting(EntropyLoopError):
    """People have to do something first; the same command continues then."""

    exit_code = 10


class Locked(EntropyLoopError):
    """Another process works in the results folder."""

    exit_code = 75


@contextmanager
def as_storage_error(path: Path) -> Iterator[None]:
    """What the operating system refuses becomes one sentence with the path. An error that a library raised itself
    (no number of the system's), or that tells of a reader gone away, is none of storage's and passes."""
    try:
        yield
    except EntropyLoopError:
        raise
    except Exception as error:
        number = _number(error)
        if number is None or isinstance(error, BrokenPipeError):
            raise
        told = f"{getattr(error, 'filename', None) or path}: {os.strerror(number)}"
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskFull(f"{told}; {free(path):,} bytes are free. Nothing finished is lost.") from error
        raise StorageError(f"{told}. Nothing finished is lost.") from error


def _number(error: Exception) -> int | None:
    """The operating system's number of an error. safetensors, which is written in Rust, only has it in its words; numpy
    only says how much of an array could be written, which is less than all where there is no room."""
    if isinstance(error, OSError):
        return errno.ENOSPC if error.errno is None and SHORT.fullmatch(str(error)) else error.errno
    found = RUST.search(str(error)) if type(error).__module__.startswith("safetensors") else None
    return int(found[1]) if found else None


def free(path: Path) -> int:
    """Bytes that can still be written where a path is, or where the nearest folder above it is."""
    here = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
    return shutil.disk_usage(here).free


def nearest(name: str, known: list[str]) -> str:
    """A sentence that suggests the known name that is close, if one is, and lists all if they are no more than MANY."""
    from difflib import get_close_matches

    if not known:
        return "none is known."
    close = get_close_matches(name, known, n=1)
    listed = f"known: {', '.join(sorted(known))}." if len(known) <= MANY else ""
    meant = f"{'Did' if listed else 'did'} you mean {close[0]!r}?" if close else ""
    return " ".join(filter(None, (listed, meant))) or f"none of {len(known)} known names is close."
