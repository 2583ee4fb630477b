"""What a plan will cost: images, UNet evaluations, TFLOP, disk, and hours on known devices at a stated efficiency.

Estimates from the FLOP ledger, which is exact about arithmetic and says nothing of anything else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from entropy_loop import stages
from entropy_loop.data import MOVED, POOL, Stage
from entropy_loop.plan import Plan, Run
from entropy_loop.registry import identity


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
    Device("2 CPU cores", 16 << 30, 0.10, 0.16, 1.0),
)


@dataclass(frozen=True)
class Work:
    """What stages of one kind make and compute. half: whether at two bytes per number. disk: bytes. unknown: whether
    some of them cost what nobody can tell yet; tflop leaves it out."""

    images: int = 0
    evaluations: float = 0.0
    tflop: float = 0.0
    half: bool = False
    disk: int = 0
    unknown: bool = False

    def __add__(self, other: Work) -> Work:
        return Work(
            self.images + other.images, self.evaluations + other.evaluations, self.tflop + other.tflop,
            self.half or other.half, self.disk + other.disk, self.unknown or other.unknown,
        )  # fmt: skip

    def told(self) -> dict[str, float]:
        """Plain values."""
        computed = {"evaluations": self.evaluations, "tflop": self.tflop, "unknown": self.unknown}
        return {"images": self.images, **computed, "disk": self.disk}


def work(planned: Plan, made: Collection[str] = ()) -> dict[str, Work]:
    """By verb, every stage of the plan once, but for those (keys) that are made already."""
    found: dict[str, Work] = {}
    seen = set(made)
    for run in planned.runs:
        new = [stage for g in run.generations for stage in g.stages() if stage.key not in seen]
        seen |= {stage.key for stage in new}
        chain = Chain(run)
        for stage in new:
            found[stage.verb] = found.get(stage.verb, Work()) + chain.work(stage)
    return found


def aside(planned: Plan) -> int:
    """Bytes that the largest training writes down on the way, to be gone on from: weights, two moments and an average,
    twice, for the newer checkpoint is read back before the older one goes."""
    return max((Chain(run).aside() for run in planned.runs), default=0)


class Chain:
    """What the stages of one run cost."""

    def __init__(self, run: Run) -> None:
        self.run, self.config, self.generator = run, run.config, run.config.generator_plugin()
        tells = hasattr(self.generator, "costs")  # a toy computes next to nothing
        self.costs = self.generator.costs(run.config.train) if tells else None
        self.unknown = tells and self.costs is None

    def work(self, stage: Stage) -> Work:
        kind, _, stream = stage.verb.partition("-")
        if kind == "generate":
            return self._sampling(sum(count for *_, count in stage.reads["prompts"]))
        if kind == "train":
            return self._training()
        if kind == MOVED:
            images = sum(count for *_, count in stages.wanted(self.config, MOVED))
            return Work(images, disk=images * self.costs.image if self.costs else 0)
        if kind in ("recognise", "score"):
            images = sum(count for *_, count in stages.wanted(self.config, stream or POOL))
            each = [one.tflop_per_image() for one in self._lookers(stage)]
            return Work(images, 0.0, images * sum(filter(None, each)), unknown=None in each)
        return Work()

    def _sampling(self, images: int) -> Work:
        evaluations = images * self.generator.evaluations_per_image()
        if self.costs is None:
            return Work(images, evaluations, unknown=self.unknown)
        return Work(images, evaluations, images * self.costs.sample, self.costs.half, images * self.costs.image)

    def _training(self) -> Work:
        train = self.config.train
        presented = train.max_train_steps * train.images
        if self.costs is None:
            return Work(presented, unknown=self.unknown)
        targets = sum(prompt.role == "target" for prompt in self.config.prompt_nouns())
        encoded = self.costs.encode * targets * self.config.policy_plugin().most_kept(self.config.images)
        tflop = encoded + presented * self.costs.present
        return Work(presented, 0.0, tflop, train.mixed_precision != "no", self.costs.weights)

    def aside(self) -> int:
        """Bytes of this run's two newest checkpoints."""
        train = self.config.train
        if self.costs is None or not train.checkpointing_steps or train.checkpointing_steps >= train.max_train_steps:
            return 0
        return 2 * (3 + train.use_ema) * self.costs.weights

    def _lookers(self, stage: Stage) -> list[Any]:
        """The judge, or the scorer, whose stage this is, if it says what it computes."""
        judges = self.config.judge_plugins() if stage.verb != "score" else (self.config.scorer_plugin(),)
        meant = (stage.reads.get("judge"), stage.reads.get("scorer"))
        return [one for one in judges if identity(one) in meant and hasattr(one, "tflop_per_image")]


@dataclass(frozen=True)
class Outlook:
    """hours: on one device. sampling, training: bytes of its memory, roughly; 0 where nothing is known."""

    device: Device
    hours: float
    sampling: int
    training: int

    def told(self) -> dict[str, Any]:
        """Plain values."""
        memory = {"sampling": self.sampling, "training": self.training}
        fits = max(memory.values()) < self.device.memory
        return {"device": self.device.name, "hours": self.hours, **memory, "fits": fits}


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


def header(planned: Plan) -> list[str]:
    """What a config for large models says of its cost in its comments: one line for each size of GPU."""
    disk = sum(one.disk for one in work(planned).values()) / 1e9
    lines = []
    for one in list(outlooks(planned))[:2]:
        memory = f"{one.sampling / 1e9:.0f} GB to sample, {one.training / 1e9:.0f} GB to train"
        lines.append(f"#   on one {one.device.name}: {one.hours:.1f} hours, {memory}, {disk:.1f} GB on disk")
    return lines
