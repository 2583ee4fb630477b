"""Config -> Plan: every stage of every run with its identity. Pure: no disk, clock, random state or torch.

A stage's key is a hash over what the stage reads and nothing else. So stages that two runs have in common
have one key and are made once; changing a judge re-measures and does nothing else; a longer experiment
continues a shorter one. A run's name and arm are in no key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from entropy_loop import seeds
from entropy_loop.config import Config, Experiment, PromptSection
from entropy_loop.data import EVALUATION, POOL, Request, Stage, canonical
from entropy_loop.registry import identity

# Model evaluations that one image costs a judge; a rough figure, only progress and `plan` use it.
JUDGE_COST = 4.0


@dataclass(frozen=True)
class Generation:
    """The stages of one generation of one run; the last one feeds nothing back.

    judged: one per judge and set (pool, evaluation). score: only if the policy reads scores.
    """

    number: int
    model: Stage
    pool: Stage
    evaluation: Stage
    judged: dict[tuple[int, str], Stage]
    score: Stage | None = None
    curate: Stage | None = None

    def stages(self) -> Iterator[Stage]:
        """In the order in which they are made."""
        yield from (self.model, self.pool, self.evaluation, *self.judged.values())
        yield from (stage for stage in (self.score, self.curate) if stage)


@dataclass(frozen=True)
class Run:
    """One chain: an arm with a seed, and its generations 0..last."""

    name: str
    arm: str
    config: Config
    generations: tuple[Generation, ...]

    def requests(self, generation: int, stream: str) -> list[Request]:
        """The images of one set, in the order in which they are made."""
        return list(_requests(self.config, generation, stream))


@dataclass(frozen=True)
class Plan:
    """An experiment with all its runs."""

    experiment: Experiment
    runs: tuple[Run, ...]

    def stages(self) -> dict[str, Stage]:
        """Every stage once, by key, in the order in which a sequential engine makes them."""
        return {s.key: s for run in self.runs for g in run.generations for s in g.stages()}


def plan(experiment: Experiment) -> Plan:
    """All runs of an experiment."""
    runs = (Run(p.name, p.arm, p.config, _generations(p.config)) for p in experiment.points)
    return Plan(experiment, tuple(runs))


def _generations(config: Config) -> tuple[Generation, ...]:
    base = _base(config)
    made: list[Generation] = []
    for g in range(config.generations + 1):
        model = _train(config, base, made) if made else base
        made.append(_generation(config, g, model, last=g == config.generations))
    return tuple(made)


def _generation(config: Config, g: int, model: Stage, last: bool) -> Generation:
    pool, evaluation = (_generate(config, g, stream, model) for stream in (POOL, EVALUATION))
    judged = {
        (i, stream): _recognise(config, judge, samples, stream)
        for i, judge in enumerate(config.judge_plugins())
        for stream, samples in ((POOL, pool), (EVALUATION, evaluation))
    }
    if last:
        return Generation(g, model, pool, evaluation, judged)
    score = _score(config, pool) if config.policy_plugin().reads_scores else None
    return Generation(g, model, pool, evaluation, judged, score, _curate(config, pool, score))


# ---- one function per verb: what it reads, what it needs, what it costs ------------------------------


def _stage(
    config: Config, verb: str, g: int, reads: dict[str, Any], needs: Sequence[Stage], cost: float = 0.0
) -> Stage:
    # `threads` is in every key: another thread count may round differently.
    reads = {"verb": verb, "threads": config.threads, "needs": [need.key for need in needs], **reads}
    key = hashlib.sha256(canonical(reads).encode()).hexdigest()[:16]
    return Stage(verb, g, key, reads, tuple(need.key for need in needs), cost)


def _base(config: Config) -> Stage:
    return _stage(config, "base", 0, {"generator": identity(config.generator_plugin())}, ())


def _generate(config: Config, g: int, stream: str, model: Stage) -> Stage:
    generator = config.generator_plugin()
    prompts = [(index, prompt.text, images) for index, prompt, images in _asked(config, stream)]
    reads = {
        "generator": identity(generator),
        "seed": config.seed,
        "stream": stream,
        "generation": g if stream == POOL else 0,
        "prompts": prompts,
    }
    images = sum(count for *_, count in prompts)
    return _stage(config, f"generate-{stream}", g, reads, (model,), images * generator.evaluations_per_image())


def _recognise(config: Config, judge: Any, samples: Stage, stream: str) -> Stage:
    asked = [(prompt.text, list(prompt.concepts)) for _, prompt, _ in _asked(config, stream)]
    names = {name for _, concepts in asked for name in concepts}
    reads = {
        "judge": identity(judge),
        "prompts": asked,
        "concepts": [asdict(concept) for concept in config.concept_nouns() if concept.name in names],
    }
    images = sum(images for *_, images in _asked(config, stream))
    return _stage(config, f"recognise-{stream}", samples.generation, reads, (samples,), images * JUDGE_COST)


def _score(config: Config, pool: Stage) -> Stage:
    targets = [(prompt.text, images) for _, prompt, images in _asked(config, POOL) if prompt.role == "target"]
    reads = {"scorer": identity(config.scorer_plugin()), "prompts": [text for text, _ in targets]}
    return _stage(config, "score", pool.generation, reads, (pool,), sum(n for _, n in targets) * JUDGE_COST)


def _curate(config: Config, pool: Stage, score: Stage | None) -> Stage:
    reads = {
        "policy": identity(config.policy_plugin()),
        "seed": config.seed,
        "generation": pool.generation,
        "prompts": [prompt.text for prompt in config.prompts if prompt.role == "target"],
    }
    return _stage(config, "curate", pool.generation, reads, (score or pool,))


def _train(config: Config, base: Stage, made: list[Generation]) -> Stage:
    """Generation g+1's model: only the diet that the regime picks from the history enters its key."""
    eaten = config.regime_plugin()([g.curate for g in made if g.curate])
    start = made[-1].model if config.train.start_from == "previous" else base
    g = len(made)
    reads = {
        "generator": identity(config.generator_plugin()),
        "train": asdict(config.train),
        "seed": config.seed,
        "generation": g,
    }
    cost = 3.0 * config.train.max_train_steps * config.train.train_batch_size
    return _stage(config, "train", g, reads, (start, *eaten), cost)


# ---- what is asked of the generator ------------------------------------------------------------------


def _asked(config: Config, stream: str) -> Iterator[tuple[int, PromptSection, int]]:
    """(index, prompt, images) of a set: pools for every prompt, the evaluation set for targets."""
    for index, prompt in enumerate(config.prompts):
        if stream == POOL:
            yield index, prompt, config.images_of(prompt)
        elif prompt.role == "target":
            yield index, prompt, config.evaluation.images


def _requests(config: Config, generation: int, stream: str) -> Iterator[Request]:
    """Pools get fresh noise in each generation; the evaluation set the noise of generation 0 for ever."""
    noise = generation if stream == POOL else 0
    for prompt_index, prompt, images in _asked(config, stream):
        for index in range(images):
            yield Request(
                id=f"{stream[0]}{generation:03d}-{prompt_index:02d}-{index:06d}",
                prompt=prompt.text,
                seed=seeds.seed(config.seed, stream, noise, prompt_index, index),
            )
