"""The threads of the numerical libraries: results may round differently with another number of them."""

from __future__ import annotations

import os
import sys


def wait_passively() -> None:
    """Let threads that wait for each other sleep, unless the user chose otherwise. Call it before a library loads an
    OpenMP runtime.

    By default they spin. Beside other busy processes, one thread then spins while the other one does not run at all.
    GNU's runtime spins a little (`GOMP_SPINCOUNT`), which costs least on idle cores; all others sleep at once.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def use(threads: int) -> None:
    """Fix the number of threads of torch, loaded or not. numpy gets one: its matrices are
    too small here for more."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
