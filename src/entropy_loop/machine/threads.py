"""The number of threads of the numerical libraries: results may round differently with another number."""

from __future__ import annotations

import os
import sys


def use(threads: int) -> None:
    """Fix the number of threads of torch, loaded or not. numpy gets one: its matrices are
    too small here for more."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
