"""Study -> Plan: every stage of every chain with its key. `stages` builds the single stages.

Pure: it uses no disk, clock, random state or torch.

A stage's key is a hash over what the stage reads and nothing else. So a stage that two chains share is made once,
another judge only repeats the measurements, and a longer experiment continues a shorter one. A chain's name and arm are
in no key.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from entropy_loop import seeds, stages
from entropy_loop.data import CHECK, EVALUATION, GENERATED, HELD_OUT, MOVED, POOL, REAL, TAUGHT, Request, Stage
from entropy_loop.study.config import Config
from entropy_loop.study.study import Study


@dataclass(frozen=True)
class SetStages:
    """The stages that make an image set, embed it and read its attributes; None if not in the config."""

    images: Stage
    embed: Stage | None
    read: Stage | None

    def stages(self) -> Iterator[Stage]:
        yield from (stage for stage in (self.images, self.embed, self.read) if stage)


@dataclass(frozen=True)
class Generation:
    """The stages of one generation of one chain. The last generation has no curation.

    sets: image set -> the stage that makes it: always pool and evaluation; real and taught if this generation's diet
    has such images; check and moved if the judges are checked. judged: image set -> one stage per judge. observed:
    image set (pool, the diet's real images, in generation 0 the held-out ones) -> its embeddings and attributes, if the
    config asks for them. measure: compares these. score: set only if the policy reads scores.
    """

    number: int
    model: Stage
    sets: dict[str, Stage]
    judged: dict[str, tuple[Stage, ...]]
    observed: dict[str, SetStages] = field(default_factory=dict)
    measure: Stage | None = None
    score: Stage | None = None
    curate: Stage | None = None

    def stages(self) -> Iterator[Stage]:
        """All stages, in the order in which they are made."""
        for image_set in (REAL, TAUGHT, POOL, EVALUATION, CHECK, MOVED):
            if image_set == POOL:
                yield self.model
            if image_set in self.sets:
                yield from (self.sets[image_set], *self.judged[image_set])
        earlier = {stage.key for stage in self.sets.values()}
        yield from (
            stage for observed in self.observed.values() for stage in observed.stages() if stage.key not in earlier
        )
        yield from (stage for stage in (self.measure, self.score, self.curate) if stage)


@dataclass(frozen=True)
class Chain:
    """One seed of one arm, with its generations 0..last."""

    name: str
    arm: str
    config: Config
    generations: tuple[Generation, ...]

    def requests(self, generation: int, image_set: str) -> list[Request]:
        """The images of one set, in the order in which they are made."""
        return list(stages.requests(self.config, generation, image_set))

    def taught_requests(self, generation: int) -> list[Request]:
        """The images of concepts that are taught again in the step to this generation."""
        return list(stages.taught_requests(self.config, generation))

    def feed_seeds(self, generation: int) -> dict[str, int]:
        """Target prompt -> seed of the regime's random draws."""
        return {
            prompt.text: seeds.seed(self.config.seed, "feed", generation, index)
            for index, prompt in enumerate(self.config.pool_prompts())
            if prompt.role == "target"
        }

    def training_seeds(self, generation: int) -> list[int]:
        """One seed per optimisation step. With these, resuming a training needs no saved random state."""
        steps = range(self.config.train.max_train_steps)
        return [seeds.seed(self.config.seed, "train", generation, 0, step) for step in steps]


@dataclass(frozen=True)
class Plan:
    """A study with all its chains."""

    study: Study
    chains: tuple[Chain, ...]

    def stages(self) -> dict[str, Stage]:
        """Key -> stage, each once, in the order in which a sequential engine makes them."""
        return {s.key: s for chain in self.chains for g in chain.generations for s in g.stages()}


def plan(study: Study) -> Plan:
    """All chains of a study."""
    chains = (Chain(p.name, p.arm, p.config, _generations(p.config)) for p in study.points)
    return Plan(study, tuple(chains))


def _generations(config: Config) -> tuple[Generation, ...]:
    base = stages.base(config)
    generations: list[Generation] = []
    for g in range(config.generations + 1):
        model, real_sets = base, dict[str, Stage]()
        if g and config.train.method != "none":
            real_sets = _real_sets(config, g)
            start = generations[-1].model if config.train.start_from == "previous" else base
            history = [earlier.curate for earlier in generations if earlier.curate]
            model = stages.train(config, g, start, history, tuple(real_sets.values()))
        generations.append(_generation(config, model, real_sets, generations))
    return tuple(generations)


def _real_sets(config: Config, g: int) -> dict[str, Stage]:
    """Image set -> stage, for the real images in the diet of generation g."""
    real = stages.real(config, g) if config.regime_plugin().real_fraction else None
    return {name: stage for name, stage in ((REAL, real), (TAUGHT, stages.taught(config, g))) if stage}


def _generation(config: Config, model: Stage, real_sets: dict[str, Stage], before: Sequence[Generation]) -> Generation:
    """The generation after those in `before`. real_sets: real images in its diet."""
    g = len(before)
    generated = [name for name in GENERATED if name != CHECK or config.check_prompts()]
    sets = {name: stages.generate(config, g, name, model) for name in generated} | real_sets
    if config.moved_images():
        sets[MOVED] = stages.moved(config, sets[POOL])
    judges = config.judge_plugins()
    judged = {
        name: tuple(stages.recognise(config, judge, images, name) for judge in judges) for name, images in sets.items()
    }
    observed = _observed(config, sets, g)
    measure = stages.measure(config, g, _needs(config, model, observed, before)) if observed else None
    if g == config.generations or config.train.method == "none":
        return Generation(g, model, sets, judged, observed, measure)
    score = stages.score(config, sets[POOL]) if config.policy_plugin().reads_scores else None
    return Generation(g, model, sets, judged, observed, measure, score, stages.curate(config, sets[POOL], score))


def _observed(config: Config, sets: dict[str, Stage], g: int) -> dict[str, SetStages]:
    """The sets to embed (pool, real, held-out) and to read attributes from (pool, held-out)."""
    embeds, reads = config.measures.embedder, config.measures.reader
    if not (embeds or reads):
        return {}
    images = {name: stage for name, stage in sets.items() if name in (POOL, REAL)}
    images |= {HELD_OUT: stages.held_out(config)} if g == 0 and config.held_out() else {}
    return {
        name: SetStages(
            stage,
            stages.embed(config, stage, name) if embeds else None,
            stages.read(config, stage, name) if reads and name != REAL else None,
        )
        for name, stage in images.items()
    }


def _needs(config: Config, model: Stage, observed: dict[str, SetStages], before: Sequence[Generation]) -> list[Stage]:
    """The stages that a measure stage opens, each once: the sets of its own generation and of generation 0, the real
    images of all diets so far, and its own diet with the pools that it was made of."""
    trained = model.verb == "train"
    sets = [*observed.values(), *(first for generation in before[:1] for first in generation.observed.values())]
    sets += [generation.observed[REAL] for generation in before if REAL in generation.observed]
    sets += [generation.observed[POOL] for generation in config.regime_plugin().eats(before)] if trained else []
    needs = [stage for set_stages in sets for stage in set_stages.stages()] + ([model] if trained else [])
    return list({stage.key: stage for stage in needs}.values())
