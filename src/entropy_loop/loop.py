"""The loop: carry a chain through its generations.

    generate pool -> recognise -> score -> curate -> feed -> train -> next generation

Every stage goes through `store.once`, so the same call resumes after a kill and does nothing when all stages are
finished. What only measures goes through `store.aside`, so an engine can do it beside the next training. Judges see the
whole pool; only curation selects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from entropy_loop import modelcard, regimes, seeds, validation
from entropy_loop.contracts import Embedder, Generator, Judge, Reader, Real, Scorer
from entropy_loop.data import (
    DIET,
    GENERATED,
    HELD_OUT,
    MOVED,
    POOL,
    REAL,
    SCORES,
    TAUGHT,
    Checkpoint,
    Concept,
    Prompt,
    Request,
    Samples,
    Selection,
    Stage,
    Tick,
)
from entropy_loop.errors import EntropyLoopError
from entropy_loop.measuring import inputs, measures
from entropy_loop.people import book, picks
from entropy_loop.plan import Chain, Generation
from entropy_loop.registry import display_name
from entropy_loop.storage.store import Parted, Store
from entropy_loop.worlds import moved


@dataclass(frozen=True)
class Sampling(Parted):
    """Makes an image set with the generator."""

    generator: Generator
    model: Checkpoint
    requests: list[Request]

    @property
    def images(self) -> list[str]:
        return [request.id for request in self.requests]

    def __call__(self, out: Path, tick: Tick) -> None:
        self.generator.sample(self.model, self.requests, out, tick)
        self._check(out)

    def parts(self) -> list[Sampling]:
        """One maker per block of images. A kill costs a block at most, however many workers there are."""
        return [replace(self, requests=block) for block in self.generator.split(self.requests)]

    def join(self, parts: list[Path], out: Path) -> None:
        self.generator.join(parts, out)
        self._check(out)

    def _check(self, out: Path) -> None:
        who, withholds = display_name(self.generator), self.generator.withholds
        validation.check_samples(Samples(out), self.requests, who, seeded=True, withholds=withholds)


def carry(chain: Chain, store: Store) -> None:
    """Make every unfinished stage of a chain."""
    base = model = Checkpoint(store.once(chain.generations[0].model, chain.config.generator_plugin().base))
    history: list[Selection] = []
    for g in chain.generations:
        if g.model.verb == "train":
            start = model if chain.config.train.start_from == "previous" else base
            model = feed(chain, g, start, history, store)
        pool = generate(chain, g, POOL, model, store)
        store.aside(partial(observe, chain, g, model, pool, store))
        if g.curate:
            history.append(curate(chain, g, g.curate, pool, store))


def feed(chain: Chain, g: Generation, start: Checkpoint, history: list[Selection], store: Store) -> Checkpoint:
    """Train a generation from `start` on its diet: images from the history, real images, and taught images."""
    real = taught = None
    if stage := g.sets.get(REAL):
        draw = partial(_draw, chain.config.real_plugin(), chain.requests(g.number, REAL))
        real = Samples(store.once(stage, draw))
        store.aside(partial(_recognise, chain, g, REAL, real, store))
    if stage := g.sets.get(TAUGHT):
        prompts = tuple(prompt.text for prompt in chain.config.pool_prompts())
        teach = partial(_teach, chain.config.real_plugin(), chain.taught_requests(g.number), prompts)
        taught = Samples(store.once(stage, teach))
        store.aside(partial(_recognise, chain, g, TAUGHT, taught, store))
    return Checkpoint(store.once(g.model, partial(_train, chain, g, start, tuple(history), real, taught)))


def generate(chain: Chain, g: Generation, image_set: str, model: Checkpoint, store: Store) -> Samples:
    """Make one of a generation's generated sets."""
    sampling = Sampling(chain.config.sampler(image_set), model, chain.requests(g.number, image_set))
    return Samples(store.once(g.sets[image_set], sampling))


def observe(chain: Chain, g: Generation, model: Checkpoint, pool: Samples, store: Store) -> None:
    """Everything that the next generation does not wait for: the other image sets, the judgements, and the measures."""
    _recognise(chain, g, POOL, pool, store)
    for image_set in (name for name in GENERATED if name in g.sets and name != POOL):
        _recognise(chain, g, image_set, generate(chain, g, image_set, model, store), store)
    if stage := g.sets.get(MOVED):
        move = partial(moved.move, pool, _targets(chain), chain.config.moved_images())
        _recognise(chain, g, MOVED, Samples(store.once(stage, move)), store)
    if g.measure:
        measure(chain, g, g.measure, store)


def measure(chain: Chain, g: Generation, stage: Stage, store: Store) -> None:
    """Compute embeddings, noise indices and attributes of a generation's sets, and compare its pool with generation 0's
    and with real images."""
    if HELD_OUT in g.observed:
        store.once(g.observed[HELD_OUT].images, partial(inputs.draw_held_out, chain))
    for observed in g.observed.values():
        samples = Samples(store.stages / observed.images.folder)
        if observed.embed:
            store.once(observed.embed, partial(_embed, chain.config.embedder_plugin(), samples))
        if observed.read:
            store.once(observed.read, partial(_read, chain.config.reader_plugin(), samples))
    store.once(stage, partial(_compare, chain, g.number, store))


def curate(chain: Chain, g: Generation, stage: Stage, pool: Samples, store: Store) -> Selection:
    """Select from every target prompt's pool. Scores are made only if the policy reads them."""
    scores, targets = None, _targets(chain)
    if g.score:
        folder = store.once(g.score, partial(_score, chain.config.scorer_plugin(), pool, targets))
        scores = pd.read_parquet(folder / "scores.parquet")
    if chain.config.policy_plugin().asks_people and not store.finished(stage):
        scores = _picked(chain, stage, pool, targets, store)
    folder = store.once(stage, partial(_select, chain, g.number, pool, scores))
    return Selection(pool, pd.read_parquet(folder / "selection.parquet"))


def _picked(chain: Chain, stage: Stage, pool: Samples, prompts: Sequence[str], store: Store) -> pd.DataFrame:
    """People's picks from every prompt's pool, as scores. Raises Waiting until they are complete."""
    policy = chain.config.policy_plugin()
    sizes = pool.table["prompt"].value_counts()  # a safety checker may have withheld some, or all
    keep = {text: min(policy.most_kept(sizes[text]), sizes[text]) for text in prompts if text in sizes}
    wanted = [picks.Pool(book.opaque(), stage.folder, text, int(k), policy.raters) for text, k in keep.items()]
    return picks.scores(store.root, wanted, pool.table, pool.folder)


def _targets(chain: Chain) -> tuple[str, ...]:
    return tuple(prompt.text for prompt in chain.config.pool_prompts() if prompt.role == "target")


def _recognise(chain: Chain, g: Generation, image_set: str, samples: Samples, store: Store) -> None:
    prompts, concepts = chain.config.judged_prompts(image_set), chain.config.judged_concepts()
    for judge, stage in zip(chain.config.judge_plugins(), g.judged[image_set], strict=True):
        store.once(stage, partial(_judge, judge, samples, prompts, concepts))


def _select(chain: Chain, generation: int, pool: Samples, scores: pd.DataFrame | None, out: Path, tick: Tick) -> None:
    policy, selections = chain.config.policy_plugin(), []
    images = pool.table[["id", "prompt"]]
    scored = images.assign(score=np.nan) if scores is None else images.merge(scores, on="id", how="left")
    for index, prompt in enumerate(chain.config.pool_prompts()):
        if prompt.role == "target":
            table = scored.loc[scored["prompt"] == prompt.text, list(SCORES)]
            if table.empty:
                raise EntropyLoopError(
                    f"curation: {chain.name}, generation {generation}: the pool of {prompt.text!r} is empty; "
                    "the safety checker withheld all of its images (generator.safety_checker: keep), so nothing "
                    "can be fed back."
                )
            selection = policy(table, seeds.seed(chain.config.seed, "curate", generation, index))
            selections.append(validation.selection(selection, table, display_name(policy)))
    pd.concat(selections, ignore_index=True).to_parquet(out / "selection.parquet", index=False)


def _compare(chain: Chain, generation: int, store: Store, out: Path, tick: Tick) -> None:
    measures.measure(chain.config, generation, inputs.load(chain, generation, store), out, tick)


# ---- call a plug-in, check what it returns, write it ---------------------------------------------------


def _train(
    chain: Chain,
    g: Generation,
    start: Checkpoint,
    history: Sequence[Selection],
    real: Samples | None,
    taught: Samples | None,
    out: Path,
    tick: Tick,
) -> None:
    config = chain.config
    diet = regimes.diet(config.regime_plugin(), history, real, chain.feed_seeds(g.number), taught)
    diet.table[list(DIET)].to_parquet(out / "diet.parquet", index=False)
    modelcard.write(chain, g, start.folder.name, diet.table, out)
    config.generator_plugin().train(start, diet, config.train, chain.training_seeds(g.number), out, tick)


def _draw(real: Real, requests: list[Request], out: Path, tick: Tick) -> None:
    real.draw(requests, out, tick)
    validation.check_samples(Samples(out), requests, display_name(real))


def _teach(real: Real, requests: list[Request], prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
    real.teach(requests, prompts, out, tick)
    validation.check_samples(Samples(out), requests, display_name(real), captions=True)


def _score(scorer: Scorer, samples: Samples, prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
    scores = validation.scores(scorer.score(samples, prompts, tick), samples, prompts, display_name(scorer))
    scores.to_parquet(out / "scores.parquet", index=False)
    _describe(scorer, out)


def _judge(
    judge: Judge, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], out: Path, tick: Tick
) -> None:
    answers = judge.judge(samples, prompts, concepts, tick)
    judgements = validation.judgements(answers, samples, prompts, f"judge {judge.label!r}")
    judgements.to_parquet(out / "judgements.parquet", index=False)
    _describe(judge, out)


def _embed(embedder: Embedder, samples: Samples, out: Path, tick: Tick) -> None:
    embedded = validation.embedded(embedder.embed(samples, tick), samples, display_name(embedder))
    np.save(out / "embeddings.npy", embedded.vectors)
    embedded.noise.to_parquet(out / "noise.parquet", index=False)
    _describe(embedder, out)


def _read(reader: Reader, samples: Samples, out: Path, tick: Tick) -> None:
    attributes = validation.attributes(reader.read(samples, tick), samples, reader.attributes(), display_name(reader))
    attributes.to_parquet(out / "attributes.parquet", index=False)
    _describe(reader, out)


def _describe(plugin: Scorer | Judge | Embedder | Reader, out: Path) -> None:
    """Write the plug-in's description beside its table."""
    if description := plugin.description():
        (out / "model.json").write_text(description, encoding="utf-8")
