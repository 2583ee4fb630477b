"""SIGKILL at random moments: what comes out is what comes out undisturbed."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import blocks, children

SMALL = (
    "sweep={}", "generations=1", "images=6", "evaluation.images=2", "threads=1", "generator.num_inference_steps=2",
    "generator.block=2", "train.max_train_steps=6", "train.train_batch_size=2", "train.checkpointing_steps=2",
    "check_images=1", "steady_images=1",
)  # fmt: skip


def test_a_toy_run_killed_at_random_moments_ends_as_if_it_was_not(toy, tmp_path, count, rng, tell) -> None:
    """Tables, images and weights are byte-identical after every kill and resume; no temporary file is left."""
    wanted = count(10, 200, 1000)
    runs = children.kills(wanted, toy(), tmp_path, (), rng, children.plain)
    tell(f"{wanted} kills over {runs} toy runs: 0 bytes differ")


@pytest.mark.thorough
def test_a_run_of_the_bundled_checkpoint_killed_at_random_moments_ends_as_if_it_was_not(
    tmp_path, count, rng, tell
) -> None:
    """So with real images, blocks and trainings."""
    wanted = count(2, 10, 50)
    runs = children.kills(wanted, Path("configs/smoke.yaml").resolve(), tmp_path, SMALL, rng)
    tell(f"{wanted} kills over {runs} runs of the bundled checkpoint: 0 bytes differ")


def test_a_run_with_workers_killed_at_random_moments_ends_as_if_it_was_not(toy, tmp_path, count, rng, tell) -> None:
    """Nor do workers of a killed run, which end with it, change a file of the next one."""
    wanted = count(2, 20, 100)
    workers = ("engine.workers=2",)
    runs = children.kills(wanted, toy(sweep={"seed": [0, 1]}), tmp_path, workers, rng, children.plain)
    tell(f"{wanted} kills over {runs} toy runs with two workers each: 0 bytes differ")


def test_a_kill_costs_one_block(tmp_path) -> None:
    """Killed in the third block of a pool, a run makes that one anew and not the two before."""
    config = Path("configs/smoke.yaml").resolve()
    assert children.ended(blocks.sampled_until, config, tmp_path / "out", SMALL, 2) == -9
    assert children.ended(blocks.sampled, config, tmp_path / "out", SMALL, tmp_path / "sampled") == 0
    sampled = (tmp_path / "sampled").read_text().split()
    assert sampled[:2] == ["p000-00-000004", "p000-00-000005"]
    assert not {"p000-00-000000", "p000-00-000003"} & set(sampled)
