"""Training by several processes, started as a user starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from entropy_loop.data import TrainSettings
from entropy_loop.errors import ConfigError
from entropy_loop.generators.diffusion import finetune

SMALL = [
    "sweep={}", "generations=1", "images=6", "evaluation.images=2", "measures={}", "attributes={}", "threads=1",
    "device=cpu", "generator.num_inference_steps=2", "generator.block=8", "train.max_train_steps=3",
    "train.train_batch_size=4", "train.gradient_accumulation_steps=2", "checks=none",
]  # fmt: skip
# `--multi_gpu` is how accelerate starts several processes on one machine; on CPUs they talk through gloo.
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1"]
LAUNCH += ["--mixed_precision=no", "--dynamo_backend=no", "--main_process_port=0"]


JOINED = """
from functools import partial
from pathlib import Path

from torch.nn import Linear
from torch.nn.parallel import DistributedDataParallel

from entropy_loop.machine import distributed

if distributed.leads():
    job = partial(DistributedDataParallel, Linear(1, 1))
    distributed.gather(job)
    job()
    {end}
else:
    distributed.follow()
names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
print("threads:", *(name for name in names if "gloo" in name))
"""


def pair(end: str) -> list[tuple[int, str, str]]:
    """Exit code, output and errors of two processes of which the first has a job done by both and then ends so."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        variables = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    variables |= {"ACCELERATE_USE_CPU": "true", "ENTROPY_LOOP_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", JOINED.format(end=end)],
            env={**os.environ, **variables, "RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in "01"
    ]  # fmt: skip
    outputs = [process.communicate(timeout=240) for process in started]
    return [(process.returncode, *output) for process, output in zip(started, outputs, strict=True)]


@pytest.mark.skipif(sys.platform != "linux", reason="threads are found by name in /proc")
def test_a_dismissed_process_has_no_thread_of_the_group_left():
    """Nor has the first process: a thread that lives while the interpreter ends may abort it."""
    assert [(code, out) for code, out, _ in pair("distributed.dismiss()")] == [(0, "threads:\n")] * 2


def test_nobody_waits_for_a_first_process_that_failed():
    """It goes without a dismissal: the other ends with an error, too."""
    (first, _, why), (second, _, _) = pair("raise SystemExit('a full disk')")
    assert (first, why.strip().splitlines()[-1]) == (1, "a full disk")
    assert second != 0


def run(out: Path, *launch: str) -> Path:
    """The train stage of the smallest run; the last 'python -m entropy_loop' is launched."""
    line = [sys.executable, *launch, "-m", "entropy_loop", "run", "configs/smoke.yaml", "--out", str(out)]
    done = subprocess.run(
        [*line, *(word for override in SMALL for word in ("--set", override))],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("report: ") == 1
    (stage,) = (out / "store").glob("g01-train-*")
    return stage


@pytest.mark.thorough
def test_two_processes_train_what_one_trains(tmp_path):
    """`accelerate launch` with two processes: one report, and one process's losses, gradients and weights within 1e-5.

    AdamW divides each gradient by its own size + 1e-8, so it enlarges the rounding of a gradient of 1e-9 to a visible
    step: one weight in a million may lie further apart.
    """
    alone, together = run(tmp_path / "alone"), run(tmp_path / "together", *LAUNCH)
    ours, theirs = (pd.read_csv(stage / "training.csv") for stage in (alone, together))
    np.testing.assert_allclose(theirs["loss"], ours["loss"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(theirs["grad_norm"], ours["grad_norm"], rtol=1e-5)
    before = weights(Path("src/entropy_loop/assets/storybook"))
    moved, apart = weights(alone) - before, weights(together) - weights(alone)
    assert apart.norm() < 1e-4 * moved.norm()
    assert apart.abs().max() < 1e-4 < moved.abs().max()
    assert (apart.abs() > 1e-5).sum() <= len(apart) / 1e6


def weights(folder: Path) -> torch.Tensor:
    """All weights of a folder's UNet, one after the other."""
    unet = load_file(folder / "unet/diffusion_pytorch_model.safetensors")
    return torch.cat([unet[name].flatten() for name in sorted(unet)])


def test_a_batch_that_cannot_be_shared_out_is_refused_before_the_run(monkeypatch):
    """Three images among two processes would weigh them unequally."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="2 processes cannot share 3 images equally"):
        finetune.check_trainable({}, TrainSettings(train_batch_size=3))
