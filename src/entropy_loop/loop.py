"""The science on one screen: carry a run through its generations.

    generate pool -> recognise -> score -> curate -> feed -> train -> next generation

Every line goes through `store.once`, so the same call resumes after a kill and does nothing when
everything is there. Recognition sees the whole pool; only curation decides what is passed on.
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
from entropy_loop.measuring import measures, views
from entropy_loop.people import book, picks
from entropy_loop.plan import Generation, Run
from entropy_loop.registry import named
from entropy_loop.storage.store import Parted, Store
from entropy_loop.worlds import moved


@dataclass(frozen=True)
class Sampling(Parted):
    """The maker of a set that the generator makes."""

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
        """One maker for each block: what a kill costs or is put aside is a block, however many workers there are."""
        return [replace(self, requests=block) for block in self.generator.split(self.requests)]

    def join(self, parts: list[Path], out: Path) -> None:
        self.generator.join(parts, out)
        self._check(out)

    def _check(self, out: Path) -> None:
        validation.made(Samples(out), self.requests, named(self.generator), True, self.generator.withholds)


def carry(run: Run, store: Store) -> None:
    """Make every stage of a run that is not made yet."""
    base = model = Checkpoint(store.once(run.generations[0].model, run.config.generator_plugin().base))
    history: list[Selection] = []
    for g in run.generations:
        if g.model.verb == "train":
            start = model if run.config.train.start_from == "previous" else base
            model = feed(run, g, start, history, store)
        pool = measure(run, g, model, store)
        if g.measure:
            compare(run, g, g.measure, store)
        if g.curate:
            history.append(curate(run, g, g.curate, pool, store))


def feed(run: Run, g: Generation, start: Checkpoint, history: list[Selection], store: Store) -> Checkpoint:
    """Train a generation from `start` on what the regime makes of the history and of real images, and on what is
    taught again."""
    real = taught = None
    if stage := g.sets.get(REAL):
        draw = partial(_draw, run.config.real_plugin(), run.requests(g.number, REAL))
        real = Samples(store.once(stage, draw))
        _recognise(run, g, REAL, real, store)
    if stage := g.sets.get(TAUGHT):
        prompts = tuple(prompt.text for prompt in run.config.prompt_nouns())
        teach = partial(_teach, run.config.real_plugin(), run.lessons(g.number), prompts)
        taught = Samples(store.once(stage, teach))
        _recognise(run, g, TAUGHT, taught, store)

    def train(out: Path, tick: Tick) -> None:
        diet = regimes.diet(run.config.regime_plugin(), history, real, run.feed_seeds(g.number), taught)
        diet.table[list(DIET)].to_parquet(out / "diet.parquet", index=False)
        modelcard.write(run, g, start.folder.name, diet.table, out)
        run.config.generator_plugin().train(start, diet, run.config.train, run.training_seeds(g.number), out, tick)

    return Checkpoint(store.once(g.model, train))


def measure(run: Run, g: Generation, model: Checkpoint, store: Store) -> Samples:
    """Make the pool, the evaluation set and what checks the judges, and let every judge look at all of them."""
    made = {}
    for stream in GENERATED:
        if stage := g.sets.get(stream):
            sample = Sampling(run.config.sampler(stream), model, run.requests(g.number, stream))
            made[stream] = Samples(store.once(stage, sample))
            _recognise(run, g, stream, made[stream], store)
    if stage := g.sets.get(MOVED):
        move = partial(moved.move, made[POOL], _targets(run), run.config.steady())
        _recognise(run, g, MOVED, Samples(store.once(stage, move)), store)
    return made[POOL]


def compare(run: Run, g: Generation, stage: Stage, store: Store) -> None:
    """Look at the sets of a generation (embeddings, noise, attributes) and hold its pool against generation 0's and
    against real images."""
    if HELD_OUT in g.looks:
        store.once(g.looks[HELD_OUT].images, partial(views.hold_out, run))
    for looks in g.looks.values():
        samples = Samples(store.stages / looks.images.folder)
        if looks.embed:
            store.once(looks.embed, partial(_embed, run.config.embedder_plugin(), samples))
        if looks.read:
            store.once(looks.read, partial(_read, run.config.reader_plugin(), samples))

    def hold_against(out: Path, tick: Tick) -> None:
        measures.measure(run.config, g.number, views.views(run, g.number, store), out, tick)

    store.once(stage, hold_against)


def curate(run: Run, g: Generation, stage: Stage, pool: Samples, store: Store) -> Selection:
    """Select from every target prompt's pool; the policy sees scores only if it reads them."""
    scores, targets = None, _targets(run)
    if g.score:
        folder = store.once(g.score, partial(_score, run.config.scorer_plugin(), pool, targets))
        scores = pd.read_parquet(folder / "scores.parquet")
    if run.config.policy_plugin().asks_people and not store.finished(stage):
        scores = _picked(run, stage, pool, targets, store)
    folder = store.once(stage, partial(_select, run, g.number, pool, scores))
    return Selection(pool, pd.read_parquet(folder / "selection.parquet"))


def _picked(run: Run, stage: Stage, pool: Samples, prompts: Sequence[str], store: Store) -> pd.DataFrame:
    """What people picked of every prompt's pool, as scores. Raises Waiting until they have."""
    policy = run.config.policy_plugin()
    sizes = pool.table["prompt"].value_counts()  # a safety checker may have withheld some, or all
    keep = {text: min(policy.most_kept(sizes[text]), sizes[text]) for text in prompts if text in sizes}
    wanted = [picks.Pool(book.opaque(), stage.folder, text, int(k), policy.raters) for text, k in keep.items()]
    return picks.chosen(store.root, wanted, pool.table, pool.folder)


def _targets(run: Run) -> tuple[str, ...]:
    return tuple(prompt.text for prompt in run.config.prompt_nouns() if prompt.role == "target")


def _recognise(run: Run, g: Generation, stream: str, made: Samples, store: Store) -> None:
    asked = run.config.asked(stream), run.config.concept_nouns()
    for judge, stage in zip(run.config.judge_plugins(), g.judged[stream], strict=True):
        store.once(stage, partial(_judge, judge, made, *asked))


def _select(run: Run, generation: int, pool: Samples, scores: pd.DataFrame | None, out: Path, tick: Tick) -> None:
    policy, chosen = run.config.policy_plugin(), []
    images = pool.table[["id", "prompt"]]
    scored = images.assign(score=np.nan) if scores is None else images.merge(scores, on="id", how="left")
    for index, prompt in enumerate(run.config.prompt_nouns()):
        if prompt.role == "target":
            table = scored.loc[scored["prompt"] == prompt.text, list(SCORES)]
            if table.empty:
                raise EntropyLoopError(
                    f"curation: {run.name}, generation {generation}: the pool of {prompt.text!r} is empty; the safety "
                    "checker withheld all of its images (generator.safety_checker: keep), so nothing can be fed back."
                )
            found = policy(table, seeds.seed(run.config.seed, "curate", generation, index))
            chosen.append(validation.selection(found, table, named(policy)))
    pd.concat(chosen, ignore_index=True).to_parquet(out / "selection.parquet", index=False)


# ---- plug-ins are asked, what they return is checked, and written ------------------------------------


def _draw(real: Real, requests: list[Request], out: Path, tick: Tick) -> None:
    real.draw(requests, out, tick)
    validation.made(Samples(out), requests, named(real))


def _teach(real: Real, requests: list[Request], prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
    real.teach(requests, prompts, out, tick)
    validation.made(Samples(out), requests, named(real), captions=True)


def _score(scorer: Scorer, samples: Samples, prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
    found = validation.scores(scorer.score(samples, prompts, tick), samples, prompts, named(scorer))
    found.to_parquet(out / "scores.parquet", index=False)
    _describe(scorer, out)


def _judge(
    judge: Judge, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], out: Path, tick: Tick
) -> None:
    told = judge.judge(samples, prompts, concepts, tick)
    found = validation.judgements(told, samples, prompts, f"judge {judge.label!r}")
    found.to_parquet(out / "judgements.parquet", index=False)
    _describe(judge, out)


def _embed(embedder: Embedder, samples: Samples, out: Path, tick: Tick) -> None:
    found = validation.embedded(embedder.embed(samples, tick), samples, named(embedder))
    np.save(out / "embeddings.npy", found.vectors)
    found.noise.to_parquet(out / "noise.parquet", index=False)
    _describe(embedder, out)


def _read(reader: Reader, samples: Samples, out: Path, tick: Tick) -> None:
    found = validation.attributes(reader.read(samples, tick), samples, reader.attributes(), named(reader))
    found.to_parquet(out / "attributes.parquet", index=False)
    _describe(reader, out)


def _describe(plugin: Scorer | Judge | Embedder | Reader, out: Path) -> None:
    """Keep what the answers depend on beside them."""
    if told := plugin.description():
        (out / "model.json").write_text(told, encoding="utf-8")
