"""Simulate how long a study takes on 1 to 64 workers, by list scheduling its plan's stages.

    python -m scripts.tools.simulate_schedule configs/curation-sd15.yaml

A stage takes its TFLOP at one worker's speed and starts when the stages that it needs are made. Sampling may be split
into blocks. Moving files, starting up and the report cost nothing here.
"""

from __future__ import annotations

import argparse
import heapq
from pathlib import Path

from entropy_loop.commands.costs import ChainCosts
from entropy_loop.data import Stage
from entropy_loop.plan import Chain, plan
from entropy_loop.study import study


def blocks(chain: Chain, generation: int, stage: Stage) -> int:
    """Number of parts that workers make a stage in."""
    if stage.verb != "generate":
        return 1
    return len(chain.config.sampler(stage.set).split(chain.requests(generation, stage.set)))


def costs(path: Path, overrides: tuple[str, ...]) -> dict[str, tuple[float, int, tuple[str, ...]]]:
    """Key -> (TFLOP, blocks that it can be split into, keys of what it needs), in the order of the plan."""
    stages: dict[str, tuple[float, int, tuple[str, ...]]] = {}
    for run in plan(study.load(path, overrides)).chains:
        chain_costs = ChainCosts(run)
        for generation in run.generations:
            for stage in generation.stages():
                work = chain_costs.work(stage)
                if stage.key not in stages:
                    stages[stage.key] = (work.tflop, blocks(run, generation.number, stage), stage.needs)
    return stages


def makespan(stages: dict[str, tuple[float, int, tuple[str, ...]]], workers: int, split: bool) -> float:
    """TFLOP of one worker's time until everything is made. A free worker takes the first piece that can be made; of
    pieces that end at the same time, the first in the plan ends first."""
    place = {key: number for number, key in enumerate(stages)}
    left = {key: blocks if split else 1 for key, (_, blocks, _) in stages.items()}
    open_, done, free, running, now = list(stages), set(), workers, [], 0.0
    while open_ or running:
        for key in open_:
            tflop, blocks, needs = stages[key]
            while free and left[key] and all(need in done for need in needs):
                left[key] -= 1
                free -= 1
                heapq.heappush(running, (now + tflop / (blocks if split else 1), place[key], key))
        open_ = [key for key in open_ if left[key]]
        now, _, key = heapq.heappop(running)
        free += 1
        if key not in open_ and all(other != key for _, _, other in running):
            done.add(key)
    return now


def bound(stages: dict[str, tuple[float, int, tuple[str, ...]]], workers: int, split: bool) -> float:
    """Lower bound of a schedule: all work divided by the workers, or the longest path of stages."""
    ends: dict[str, float] = {}
    for key, (tflop, blocks, needs) in stages.items():
        pieces = min(workers, blocks) if split else 1
        ends[key] = tflop * (-(-blocks // pieces) / blocks if split else 1) + max(
            (ends[need] for need in needs), default=0.0
        )
    return max(sum(tflop for tflop, _, _ in stages.values()) / workers, *ends.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", action="append", default=[])
    options = parser.parse_args()
    stages = costs(options.config, tuple(options.set))
    whole = sum(tflop for tflop, _, _ in stages.values())
    print(
        f"{len(stages):,} stages, {whole:,.0f} TFLOP\n\n| workers | whole stages | in use | blocks | in use |\n| --- | --- | --- | --- | --- |"
    )
    for workers in (1, 2, 4, 8, 16, 32, 64):
        cells = []
        for split in (False, True):
            took = makespan(stages, workers, split)
            if took < bound(stages, workers, split) * (1 - 1e-9):
                raise SystemExit("a schedule shorter than its lower bound: the simulation is wrong")
            cells += [f"{whole / took:.1f} x", f"{100 * whole / took / workers:.0f} %"]
        print(f"| {workers} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
