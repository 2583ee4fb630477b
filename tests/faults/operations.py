"""What a run asks of the disk, one operation after the other: counted, made to fail, or forgotten.

Python's own audit hook tells of every file that is opened for writing and of every name that is made, changed or taken
away; `os.fsync`, of which it tells nothing, is replaced. In a child of its own: hooks stay for ever.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults import children

NAMES = {"os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "os.link": 2}
"""Audited calls that change names, and how many paths each is given."""
KINDS = ("SIGKILL", "ENOSPC", "EIO", "KeyboardInterrupt")

Operation = tuple[str, list[str]]
"""What is done (open, fsync, or one of NAMES), and the paths, absolute, that it is done to."""


def watch(root: Path, act: Callable[[Operation], None]) -> None:
    """Call `act` before every operation of this process below `root`, from now on; what it raises is what the caller
    gets."""
    place, sync, busy = str(root.resolve()), os.fsync, []

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        if busy or not (event in NAMES or (event == "open" and _writes(arguments))):
            return
        paths = [_path(argument, _within(event, arguments)) for argument in arguments[: NAMES.get(event, 1)]]
        if any(path.startswith(place) for path in paths):
            notify((event.removeprefix("os."), paths))

    def notify(operation: Operation) -> None:
        busy.append(True)
        try:
            act(operation)
        finally:
            busy.pop()

    def synced(handle: int) -> None:
        path = os.readlink(f"/proc/self/fd/{handle}")
        if path.startswith(place):
            notify(("fsync", [path]))
        sync(handle)

    os.fsync = synced
    sys.addaudithook(hear)


def _writes(arguments: tuple[Any, ...]) -> bool:
    path, mode, flags = arguments
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) if mode is None else bool(set(mode) & set("wax+"))


def _within(event: str, arguments: tuple[Any, ...]) -> str:
    """The folder that a name is taken in, where the call was given an open one, as `shutil.rmtree` does."""
    handle = arguments[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
    return os.readlink(f"/proc/self/fd/{handle}") if isinstance(handle, int) and handle >= 0 else ""


def _path(raw: Any, within: str) -> str:
    return os.path.abspath(os.path.join(within, os.fsdecode(raw))) if isinstance(raw, str | bytes | os.PathLike) else ""


# ---- in a child --------------------------------------------------------------------------------------


def counted(config: Path, root: Path, overrides: tuple[str, ...], log: Path) -> None:
    """Carry a run to its end and write down, a line each, what it asked of the disk."""
    lines: list[str] = []
    watch(root, lambda operation: lines.append(json.dumps(operation)))
    children.plain(config, root, overrides)
    log.write_text("\n".join(lines))


def failing(config: Path, root: Path, overrides: tuple[str, ...], number: int, kind: str) -> None:
    """Carry a run of which one operation, counted from 0, fails in this way."""
    left = [number]

    def act(operation: Operation) -> None:
        left[0] -= 1
        if left[0] == -1:
            fail(kind, operation[1][0])

    watch(root, act)
    children.plain(config, root, overrides)


def fail(kind: str, path: str) -> None:
    """The fault itself."""
    if kind == "SIGKILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "KeyboardInterrupt":
        raise KeyboardInterrupt
    number = getattr(errno, kind)
    raise OSError(number, os.strerror(number), path)


def logged(config: Path, root: Path, overrides: tuple[str, ...], number: int, log: Path) -> None:
    """Carry a run that is killed before one of its operations; the log has all that it did until then."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    left = [number]

    def act(operation: Operation) -> None:
        left[0] -= 1
        if left[0] == -1:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(handle, (json.dumps(operation) + "\n").encode())

    watch(root, act)
    children.plain(config, root, overrides)
