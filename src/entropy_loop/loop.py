"""The science on one screen: carry a run through its generations.

    generate pool -> recognise -> score -> curate -> feed -> train -> next generation

Every line goes through `store.once`, so the same call resumes after a kill and does nothing when
everything is there. Recognition sees the whole pool; only curation decides what is passed on.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd

from entropy_loop import seeds
from entropy_loop.data import EVALUATION, POOL, SCORES, Checkpoint, Diet, Samples, Selection, Stage, Tick, columns
from entropy_loop.plan import Generation, Run
from entropy_loop.store import Store


def carry(run: Run, store: Store) -> None:
    """Make every stage of a run that is not made yet."""
    generator, regime = run.config.generator_plugin(), run.config.regime_plugin()
    history: list[Selection] = []
    base = model = Checkpoint(Path())
    for g in run.generations:
        if g.number == 0:
            base = model = Checkpoint(store.once(g.model, generator.base))
        else:
            diet = Diet(tuple(regime(history)))
            start = model if run.config.train.start_from == "previous" else base
            train = partial(generator.train, start, diet, run.config.train, _training_seeds(run, g.number))
            model = Checkpoint(store.once(g.model, train))
        pool = measure(run, g, model, store)
        if g.curate:
            history.append(curate(run, g, g.curate, pool, store))


def measure(run: Run, g: Generation, model: Checkpoint, store: Store) -> Samples:
    """Make the pool and the evaluation set of a generation and let every judge look at both."""
    generator, judges = run.config.generator_plugin(), run.config.judge_plugins()
    made = {
        stream: Samples(store.once(stage, partial(generator.sample, model, run.requests(g.number, stream))))
        for stream, stage in ((POOL, g.pool), (EVALUATION, g.evaluation))
    }
    for (judge, stream), stage in g.judged.items():
        asked = run.config.prompt_nouns(), run.config.concept_nouns()
        store.once(stage, partial(judges[judge].judge, made[stream], *asked))
    return made[POOL]


def curate(run: Run, g: Generation, stage: Stage, pool: Samples, store: Store) -> Selection:
    """Select from every target prompt's pool; the policy sees scores only if it reads them."""
    scores = None
    if g.score:
        targets = tuple(p.text for p in run.config.prompts if p.role == "target")
        folder = store.once(g.score, partial(run.config.scorer_plugin().score, pool, targets))
        scores = pd.read_parquet(folder / "scores.parquet")
    folder = store.once(stage, partial(_select, run, g.number, pool, scores))
    return Selection(pool, pd.read_parquet(folder / "selection.parquet"))


def _select(run: Run, generation: int, pool: Samples, scores: pd.DataFrame | None, out: Path, tick: Tick) -> None:
    policy, chosen = run.config.policy_plugin(), []
    for index, prompt in enumerate(run.config.prompts):
        if prompt.role == "target":
            table = pool.of_prompt(prompt.text)[["id"]]
            table = table.merge(scores, on="id", how="left") if scores is not None else columns(table, SCORES)
            chosen.append(policy(table, seeds.seed(run.config.seed, "curate", generation, index)))
    pd.concat(chosen, ignore_index=True).to_parquet(out / "selection.parquet", index=False)


def _training_seeds(run: Run, generation: int) -> list[int]:
    """One seed per optimisation step, so that noise, timesteps and order need no saved random state."""
    return [seeds.seed(run.config.seed, "train", generation, 0, s) for s in range(run.config.train.max_train_steps)]
