"""What a plan will cost: images, UNet evaluations, TFLOP, disk, and hours on known devices at a stated efficiency.

The FLOP ledger counts arithmetic exactly and nothing else, so hours are estimates.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from entropy_loop import registry
from entropy_loop.assets import Download
from entropy_loop.contracts import Costs, Judge, Needs, Scorer
from entropy_loop.data import Stage
from entropy_loop.plan import Chain, Plan


@dataclass(frozen=True)
class Device:
    """memory: bytes. fp32, half: dense TFLOP/s of a matrix product by data sheet. used: the share of it that a
    training or sampling loop is assumed to reach."""

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

LIBRARIES = 1_200_000_000
"""Bytes of memory of a worker beside the generator: torch and the other libraries, judges, images."""


@dataclass(frozen=True)
class Work:
    """What stages of one kind make and compute. half: whether at two bytes per number. disk: bytes. unknown: whether
    the cost of some is unknown; tflop leaves these out."""

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

    def values(self) -> dict[str, float]:
        """Plain values, without `half`."""
        computed = {"evaluations": self.evaluations, "tflop": self.tflop, "unknown": self.unknown}
        return {"images": self.images, **computed, "disk": self.disk}


def work(planned: Plan, made: Collection[str] = ()) -> dict[str, Work]:
    """Stage name (verb and set) -> work of its stages, each counted once. made: keys of stages to leave out."""
    total: dict[str, Work] = {}
    seen = set(made)
    for chain in planned.chains:
        new = [stage for g in chain.generations for stage in g.stages() if stage.key not in seen]
        seen |= {stage.key for stage in new}
        costs = ChainCosts(chain)
        for stage in new:
            total[stage.name] = total.get(stage.name, Work()) + costs.work(stage)
    return total


def checkpoint_bytes(planned: Plan) -> int:
    """Bytes of the largest training's resume checkpoints. There are two at once: the newer one is read back before the
    older one is deleted."""
    return max((ChainCosts(chain).checkpoint_bytes() for chain in planned.chains), default=0)


class ChainCosts:
    """What the stages of one chain cost."""

    def __init__(self, chain: Chain) -> None:
        self.config, self.generator = chain.config, chain.config.generator_plugin()
        self.costs = self.generator.costs(chain.config.train)
        self.lookers: dict[str, Judge | Scorer] = {}
        for g in chain.generations:
            for stages in g.judged.values():
                keys = [stage.key for stage in stages]
                self.lookers |= zip(keys, chain.config.judge_plugins(), strict=True)
            if g.score:
                self.lookers[g.score.key] = chain.config.scorer_plugin()

    def work(self, stage: Stage) -> Work:
        if stage.verb == "generate":
            return self._sampling(stage.images)
        if stage.verb == "train":
            return self._training(stage.images)
        if stage.verb == "move":
            return Work(stage.images, disk=stage.images * self.costs.image if self.costs else 0)
        if stage.key in self.lookers:
            each = self.lookers[stage.key].tflop_per_image()
            return Work(stage.images, 0.0, stage.images * (each or 0.0), unknown=each is None)
        return Work()

    def _sampling(self, images: int) -> Work:
        evaluations = images * self.generator.evaluations_per_image()
        if self.costs is None:
            return Work(images, evaluations, unknown=True)
        return Work(images, evaluations, images * self.costs.sample, self.costs.half, images * self.costs.image)

    def _training(self, presented: int) -> Work:
        if self.costs is None:
            return Work(presented, unknown=True)
        targets = sum(prompt.role == "target" for prompt in self.config.pool_prompts())
        encoded = self.costs.encode * targets * self.config.policy_plugin().most_kept(self.config.images)
        tflop = encoded + presented * self.costs.present
        half = self.config.train.mixed_precision != "no"
        return Work(presented, 0.0, tflop, half, self.costs.weights)

    def checkpoint_bytes(self) -> int:
        """Bytes of two checkpoints of a training: weights, two moments, and the average if it is used."""
        train = self.config.train
        if self.costs is None or not train.checkpointing_steps or train.checkpointing_steps >= train.max_train_steps:
            return 0
        return 2 * (3 + train.use_ema) * self.costs.weights


@dataclass(frozen=True)
class Outlook:
    """hours: on one device. sampling, training: bytes of its memory, roughly; 0 if unknown."""

    device: Device
    hours: float
    sampling: int
    training: int

    @property
    def fits(self) -> bool:
        """Whether the device has enough memory."""
        return max(self.sampling, self.training) < self.device.memory

    def values(self) -> dict[str, str | float | bool]:
        """Plain values."""
        memory = {"sampling": self.sampling, "training": self.training}
        return {"device": self.device.name, "hours": self.hours, **memory, "fits": self.fits}


def needs(planned: Plan) -> Needs:
    """What one worker takes (the libraries, the downloaded models that look at images, and the largest sampling or
    training), and the work of the plan."""
    largest = max((max(costs.sampling, costs.training) for costs in _generator_costs(planned)), default=0)
    threads = max(chain.config.threads for chain in planned.chains)
    unknown = len(_generator_costs(planned)) < len(planned.chains)
    tflop = math.inf if unknown else sum(each.tflop for each in work(planned).values())
    observers = sum(sum(download.local_files().values()) for download in set(_observers(planned)))
    return Needs(threads, LIBRARIES + observers + largest, tflop)


def _observers(planned: Plan) -> Iterator[Download]:
    """The downloaded models that stay in memory beside the generator."""
    for chain in planned.chains:
        for plugin in registry.plugins_in(chain.config.model_dump()):
            if plugin.kind is not registry.GENERATOR:
                yield from registry.build(plugin.kind, plugin.spec, plugin.place).downloads()


def _generator_costs(planned: Plan) -> list[Costs]:
    plugins = ((chain.config.generator_plugin(), chain.config.train) for chain in planned.chains)
    return [costs for generator, train in plugins if (costs := generator.costs(train))]


def outlooks(planned: Plan) -> Iterator[Outlook]:
    """The whole plan on each known device."""
    works = work(planned).values()
    costs = _generator_costs(planned)
    for device in DEVICES:
        seconds = sum(w.tflop / (device.used * (device.half if w.half else device.fp32)) for w in works)
        sampling, training = (max(of, default=0) for of in ([c.sampling for c in costs], [c.training for c in costs]))
        yield Outlook(device, seconds / 3600, sampling, training)


def header(planned: Plan) -> list[str]:
    """Comment lines for the head of a config: the cost on each size of GPU."""
    disk = sum(w.disk for w in work(planned).values()) / 1e9
    lines = []
    for outlook in list(outlooks(planned))[:2]:
        memory = f"{outlook.sampling / 1e9:.0f} GB to sample, {outlook.training / 1e9:.0f} GB to train"
        lines.append(f"#   on one {outlook.device.name}: {outlook.hours:.1f} hours, {memory}, {disk:.1f} GB on disk")
    return lines
