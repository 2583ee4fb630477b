"""Study -> Plan: every stage of every run with its identity; `stages` says what each of them reads.

Pure: no disk, clock, random state or torch.

A stage's key is a hash over what the stage reads and nothing else. So stages that two runs have in common
have one key and are made once; changing a judge re-measures and does nothing else; a longer experiment
continues a shorter one. A run's name and arm are in no key.
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
    """A set of images with what is computed of it beside recognition, where the config wants it."""

    images: Stage
    embed: Stage | None
    read: Stage | None

    def stages(self) -> Iterator[Stage]:
        yield from (stage for stage in (self.images, self.embed, self.read) if stage)


@dataclass(frozen=True)
class Generation:
    """The stages of one generation of one run; the last one feeds nothing back.

    sets: the images, by name (pool, evaluation; real and taught where such images enter this generation's diet; check
    and moved where the judges are checked).
    judged: for each of them one stage per judge. observed: embeddings and attributes of the pool, of the diet's real
    images and, in generation 0, of the held-out ones, where the config wants them, and measure, which compares
    them. score: only if the policy reads scores.
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
        """In the order in which they are made."""
        for stream in (REAL, TAUGHT, POOL, EVALUATION, CHECK, MOVED):
            if stream == POOL:
                yield self.model
            if stream in self.sets:
                yield from (self.sets[stream], *self.judged[stream])
        made = {stage.key for stage in self.sets.values()}
        yield from (
            stage for observed in self.observed.values() for stage in observed.stages() if stage.key not in made
        )
        yield from (stage for stage in (self.measure, self.score, self.curate) if stage)


@dataclass(frozen=True)
class Chain:
    """One chain: an arm with a seed, and its generations 0..last."""

    name: str
    arm: str
    config: Config
    generations: tuple[Generation, ...]

    def requests(self, generation: int, stream: str) -> list[Request]:
        """The images of one set, in the order in which they are made."""
        return list(stages.requests(self.config, generation, stream))

    def lessons(self, generation: int) -> list[Request]:
        """The images of concepts that are taught again in the step to this generation."""
        return list(stages.lessons(self.config, generation))

    def feed_seeds(self, generation: int) -> dict[str, int]:
        """One seed per target prompt, for what a regime draws at random."""
        return {
            prompt.text: seeds.seed(self.config.seed, "feed", generation, index)
            for index, prompt in enumerate(self.config.prompt_nouns())
            if prompt.role == "target"
        }

    def training_seeds(self, generation: int) -> list[int]:
        """One seed per optimisation step, so that noise, timesteps and order need no saved random state."""
        steps = range(self.config.train.max_train_steps)
        return [seeds.seed(self.config.seed, "train", generation, 0, step) for step in steps]


@dataclass(frozen=True)
class Plan:
    """A study with all its runs."""

    study: Study
    chains: tuple[Chain, ...]

    def stages(self) -> dict[str, Stage]:
        """Every stage once, by key, in the order in which a sequential engine makes them."""
        return {s.key: s for chain in self.chains for g in chain.generations for s in g.stages()}


def plan(study: Study) -> Plan:
    """All runs of a study."""
    chains = (Chain(p.name, p.arm, p.config, _generations(p.config)) for p in study.points)
    return Plan(study, tuple(chains))


def _generations(config: Config) -> tuple[Generation, ...]:
    base = stages.base(config)
    made: list[Generation] = []
    for g in range(config.generations + 1):
        model, new = base, dict[str, Stage]()
        if g and config.train.method != "none":
            new = _from_outside(config, g)
            start = made[-1].model if config.train.start_from == "previous" else base
            model = stages.train(config, g, start, [m.curate for m in made if m.curate], tuple(new.values()))
        made.append(_generation(config, model, new, made))
    return tuple(made)


def _from_outside(config: Config, g: int) -> dict[str, Stage]:
    """What real images enter the diet of generation g, by set."""
    real = stages.real(config, g) if config.regime_plugin().real_fraction else None
    return {name: stage for name, stage in ((REAL, real), (TAUGHT, stages.taught(config, g))) if stage}


def _generation(config: Config, model: Stage, new: dict[str, Stage], before: Sequence[Generation]) -> Generation:
    """`new`: real images in its diet."""
    g = len(before)
    made = [stream for stream in GENERATED if stream != CHECK or config.check_nouns()]
    sets = {stream: stages.generate(config, g, stream, model) for stream in made} | new
    if config.steady():
        sets[MOVED] = stages.moved(config, sets[POOL])
    judges = config.judge_plugins()
    judged = {
        name: tuple(stages.recognise(config, judge, images, name) for judge in judges) for name, images in sets.items()
    }
    observed = _observed(config, sets, g)
    measure = stages.measure(config, g, _opened(config, model, observed, before)) if observed else None
    if g == config.generations or config.train.method == "none":
        return Generation(g, model, sets, judged, observed, measure)
    score = stages.score(config, sets[POOL]) if config.policy_plugin().reads_scores else None
    return Generation(g, model, sets, judged, observed, measure, score, stages.curate(config, sets[POOL], score))


def _observed(config: Config, sets: dict[str, Stage], g: int) -> dict[str, SetStages]:
    """Pools are looked at, and what they are held against; attributes are read in pools and held-out images."""
    embeds, reads = config.measures.embedder, config.measures.reader
    if not (embeds or reads):
        return {}
    seen = {name: made for name, made in sets.items() if name in (POOL, REAL)}
    seen |= {HELD_OUT: stages.held_out(config)} if g == 0 and config.held_out() else {}
    return {
        name: SetStages(
            made,
            stages.embed(config, made, name) if embeds else None,
            stages.read(config, made, name) if reads and name != REAL else None,
        )
        for name, made in seen.items()
    }


def _opened(config: Config, model: Stage, observed: dict[str, SetStages], before: Sequence[Generation]) -> list[Stage]:
    """What a measure stage opens, each once: the sets of its own generation and of generation 0, the real images of
    all diets so far, and its own diet with the pools that it was made of."""
    trained = model.verb == "train"
    seen = [*observed.values(), *(stages for first in before[:1] for stages in first.observed.values())]
    seen += [fed.observed[REAL] for fed in before if REAL in fed.observed]
    seen += [eaten.observed[POOL] for eaten in config.regime_plugin().eats(before)] if trained else []
    opened = [stage for one in seen for stage in one.stages()] + ([model] if trained else [])
    return list({stage.key: stage for stage in opened}.values())
