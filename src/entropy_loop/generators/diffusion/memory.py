"""Advice when a batch does not fit into the device's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from entropy_loop.errors import EntropyLoopError


@contextmanager
def advise(option: str, size: int, attempt: Callable[[int], object] | None, advice: str = "") -> Iterator[None]:
    """Turn an out-of-memory error of the block into an EntropyLoopError that names the largest half, quarter, ... of
    `size` that fits.

    option: the config key of `size`. attempt: tries a size; None if nothing can be tried. advice: added to the message,
    with the factor by which the size shrinks in place of {}.
    """
    import torch

    try:
        yield
        return
    except torch.OutOfMemoryError:
        pass  # the failed call's memory is free only after this block
    fits = next((n for n in _halves(size) if _works(attempt, n)), None) if attempt else None
    hint = f"{fits} do: set `{option}: {fits}`{advice.format(size // fits)}." if fits else "nor does a single one."
    hint = hint if attempt else "try half as many."
    raise EntropyLoopError(f"{option}: {size} images do not fit into the device's memory; {hint} Nothing was recorded.")


def _halves(size: int) -> Iterator[int]:
    while size > 1:
        size //= 2
        yield size


def _works(attempt: Callable[[int], object], size: int) -> bool:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        attempt(size)
    except torch.OutOfMemoryError:
        return False
    return True
