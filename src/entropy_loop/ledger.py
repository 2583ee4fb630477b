"""What a plan will cost: images, UNet evaluations, TFLOP, disk, and hours on known devices at a stated efficiency.

Estimates from the FLOP ledger, which is exact about arithmetic and says nothing of anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from entropy_loop.data import POOL, Stage
from entropy_loop.plan import Plan, Run


@dataclass(frozen=True)
class Device:
    """memory: bytes. fp32, half: dense TFLOP/s of a matrix product by data sheet. used: the share of it that we
    assume a training or sampling loop to reach."""

    name: str
    memory: int
    fp32: float
    half: float
    used: float


# Peaks: NVIDIA's data sheets (tensor cores, no sparsity, for halves; plain float32). Share: diffusers' own tables have
# Stable Diffusion 1.5 at 30 % on an A100, eager and batched (docs of diffusers 0.17); for the others it is assumed.
DEVICES = (
    Device("RTX 4090, 24 GB", 24 << 30, 82.6, 165.2, 0.3),
    Device("A100, 80 GB", 80 << 30, 19.5, 312.0, 0.3),
    Device("H100, 80 GB", 80 << 30, 66.9, 989.4, 0.3),
    # Measured: the bundled checkpoint's UNet, batch 64, on two cores of an AMD EPYC with AVX-512 (bf16 by avx512_bf16).
    Device("2 CPU cores", 16 << 30, 0.13, 0.22, 1.0),
)


@dataclass(frozen=True)
class Work:
    """What stages of one kind make and compute. half: whether at two bytes per number. disk: bytes."""

    images: int = 0
    evaluations: float = 0.0
    tflop: float = 0.0
    half: bool = False
    disk: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.images + other.images, self.evaluations + other.evaluations, self.tflop + other.tflop,
            self.half or other.half, self.disk + other.disk,
        )  # fmt: skip


def work(planned: Plan) -> dict[str, Work]:
    """By verb, every stage of the plan once."""
    found: dict[str, Work] = {}
    seen: set[str] = set()
    for run in planned.runs:
        for generation in run.generations:
            for stage in generation.stages():
                if stage.key not in seen:
                    seen.add(stage.key)
                    found[stage.verb] = found.get(stage.verb, Work()) + _of(run, generation.number, stage)
    return found


def _of(run: Run, g: int, stage: Stage) -> Work:
    config = run.config
    generator = config.generator_plugin()
    costs = generator.costs(config.train) if hasattr(generator, "costs") else None
    kind, _, stream = stage.verb.partition("-")
    if kind == "generate":
        images = sum(count for *_, count in stage.reads["prompts"])
        evaluations = images * generator.evaluations_per_image()
        if costs is None:
            return Work(images, evaluations)
        return Work(images, evaluations, images * costs.sample, generator.precision != "fp32", images * costs.image)
    if kind == "train" and costs:
        targets = sum(prompt.role == "target" for prompt in config.prompts)
        encoded = costs.encode * targets * config.policy_plugin().most_kept(config.images)
        presented = config.train.max_train_steps * config.train.images
        half = config.train.mixed_precision != "no"
        return Work(presented, 0.0, encoded + presented * costs.present, half, costs.weights)
    lookers = {"recognise": config.judge_plugins, "score": lambda: (config.scorer_plugin(),)}
    if kind in lookers:
        images = len(run.requests(g, stream or POOL))
        looker = next((one for one in lookers[kind]() if _looks(one, stage)), None)
        return Work(images, 0.0, images * (looker.tflop_per_image() if hasattr(looker, "tflop_per_image") else 0.0))
    return Work()


def _looks(judge: Any, stage: Stage) -> bool:
    """Whether it is this judge's (or scorer's) stage."""
    from entropy_loop.registry import identity

    return identity(judge) in (stage.reads.get("judge"), stage.reads.get("scorer"))


@dataclass(frozen=True)
class Outlook:
    """hours: on one device. sampling, training: bytes of its memory, roughly; 0 where nothing is known."""

    device: Device
    hours: float
    sampling: int
    training: int

    @property
    def fits(self) -> bool:
        return max(self.sampling, self.training) < self.device.memory


def outlooks(planned: Plan) -> Iterator[Outlook]:
    """The whole plan on one of each of the known devices."""
    found = work(planned)
    known = [
        generator.costs(run.config.train)
        for run in planned.runs
        if hasattr(generator := run.config.generator_plugin(), "costs")
    ]
    costs = [one for one in known if one]
    for device in DEVICES:
        seconds = sum(one.tflop / (device.used * (device.half if one.half else device.fp32)) for one in found.values())
        memory = [max((getattr(one, name) for one in costs), default=0) for name in ("sampling", "training")]
        yield Outlook(device, seconds / 3600, *memory)
