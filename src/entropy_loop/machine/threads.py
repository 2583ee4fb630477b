"""How many threads the numerical libraries use in this process: another number may round differently."""

from __future__ import annotations

import os
import sys


def use(threads: int) -> None:
    """Fix the number of threads of torch, loaded or not. numpy's matrices are small here: more than one thread only
    waits for the others."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
