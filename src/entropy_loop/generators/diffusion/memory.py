"""What to do when a batch does not fit into the device's memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from entropy_loop.errors import EntropyLoopError


@contextmanager
def enough(option: str, size: int, attempt: Callable[[int], object] | None, advice: str = "") -> Iterator[None]:
    """Out of memory in here becomes an EntropyLoopError that names the largest half, quarter, ... of `size`
    that fits; `attempt` tries one of them (None: nothing can be tried)."""
    import torch

    try:
        yield
        return
    except torch.OutOfMemoryError:
        pass  # what it held is free only when it is gone
    fits = next((n for n in _halves(size) if _works(attempt, n)), None) if attempt else None
    told = f"{fits} do: say `{option}: {fits}`{advice.format(size // fits)}." if fits else "nor does a single one."
    told = told if attempt else "try half as many."
    raise EntropyLoopError(f"{option}: {size} images do not fit into the device's memory; {told} Nothing was recorded.")


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
