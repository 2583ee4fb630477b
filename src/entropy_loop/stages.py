"""The stages of a chain, one function per verb: what it reads, what it needs, what it costs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from entropy_loop import seeds
from entropy_loop.contracts import Judge
from entropy_loop.data import (
    CHECK,
    EVALUATION,
    HELD_OUT,
    MOVED,
    MOVES,
    POOL,
    REAL,
    TAUGHT,
    Prompt,
    Request,
    Stage,
    Verb,
    canonical,
)
from entropy_loop.registry import identity
from entropy_loop.study.config import Config

FRESH = (POOL, CHECK)
"""Sets that the generator makes anew, from other noise, in every generation."""
VERSIONS = {"measure": 3, "move": 1}
"""Of what the package itself computes in a stage, where no plug-in's version says so; raise one when it changes."""
KEY_FORM = 2
"""Of what a key is made of. Results of another form cannot be continued: they would be made anew."""
# Model evaluations that one image costs a judge; a rough figure, only progress and `plan` use it.
JUDGE_COST = 4.0


def _stage(
    config: Config,
    verb: Verb,
    g: int,
    reads: Mapping[str, object],
    needs: Sequence[Stage] = (),
    stream: str = "",
    images: int = 0,
    cost: float = 0.0,
) -> Stage:
    # `threads` is in every key: another thread count may round differently.
    reads = {"verb": verb, "set": stream, "threads": config.threads, "needs": [need.key for need in needs], **reads}
    key = hashlib.sha256(canonical(reads).encode()).hexdigest()[:16]
    return Stage(verb, g, key, reads, tuple(need.key for need in needs), stream, images, cost)


def base(config: Config) -> Stage:
    """Which model generation 0 is."""
    return _stage(config, "base", 0, {"generator": identity(config.generator_plugin())})


def generate(config: Config, g: int, stream: str, model: Stage) -> Stage:
    """A pool, an evaluation set or a check set: of the config, what the generator is asked for."""
    generator = config.sampler(stream)
    prompts = [(index, prompt.text, images) for index, prompt, images in wanted(config, stream)]
    reads = {
        "generator": identity(generator),
        "seed": config.seed,
        "generation": g if stream in FRESH else 0,
        "prompts": prompts,
    }
    images = _images(config, stream)
    # The evaluation set changes with its model alone, so it carries its model's generation.
    number = g if stream in FRESH else model.generation
    cost = images * generator.evaluations_per_image()
    return _stage(config, "generate", number, reads, (model,), stream, images, cost)


def moved(config: Config, pool: Stage) -> Stage:
    """The first images of every target prompt's pool, each moved in every way."""
    reads = {
        "version": VERSIONS["move"],
        "images": config.steady(),
        "moves": list(MOVES),
        "prompts": [prompt.text for _, prompt, _ in wanted(config, MOVED)],
    }
    return _stage(config, "move", pool.generation, reads, (pool,), MOVED, _images(config, MOVED))


def real(config: Config, g: int) -> Stage:
    """Real images for generation g's diet: one fixed set for ever, or new ones in every step."""
    g = g if config.regime_plugin().fresh else 1
    reads = {
        "real": identity(config.real_plugin()),
        "seed": config.seed,
        "prompts": [(index, prompt.text, images) for index, prompt, images in wanted(config, REAL)],
        "generation": g,
    }
    return _stage(config, "draw", g, reads, (), REAL, _images(config, REAL))


def taught(config: Config, g: int) -> Stage | None:
    """Real images of the concepts that are taught again in the step to generation g; None in all other steps."""
    again = config.reteach
    if again is None or g % again.every:
        return None
    reads = {
        "real": identity(config.real_plugin()),
        "seed": config.seed,
        "generation": g,
        "concepts": list(again.concepts),
        "images": again.images,
        "first": _first_taught(config, g),
    }
    return _stage(config, "draw", g, reads, (), TAUGHT, again.images * len(again.concepts))


def held_out(config: Config) -> Stage:
    """Real images that no diet contains, as many of each prompt as its pools have: one set for all generations and
    arms of a seed."""
    reads = {
        "real": identity(config.held_out_plugin()),
        "seed": config.seed,
        "prompts": [(index, prompt.text, images) for index, prompt, images in wanted(config, HELD_OUT)],
    }
    return _stage(config, "draw", 0, reads, (), HELD_OUT, _images(config, HELD_OUT))


def recognise(config: Config, judge: Judge, samples: Stage, stream: str) -> Stage:
    """One judge's look at a set: the concepts of the prompts that are in it, and nothing of other prompts."""
    asked = [(prompt.text, list(prompt.concepts)) for _, prompt, _ in wanted(config, stream)]
    names = {name for _, concepts in asked for name in concepts}
    reads = {
        "judge": identity(judge),
        "prompts": asked,
        "concepts": [asdict(concept) for concept in config.concept_nouns() if concept.name in names],
    }
    return _look(config, "recognise", samples, stream, reads)


def embed(config: Config, samples: Stage, stream: str) -> Stage:
    """One embedding pass over a set, and its noise indices: every other measure reads these."""
    return _look(config, "embed", samples, stream, {"embedder": identity(config.embedder_plugin())})


def read(config: Config, samples: Stage, stream: str) -> Stage:
    """The attributes of every image of a set."""
    return _look(config, "read", samples, stream, {"reader": identity(config.reader_plugin())})


def _look(config: Config, verb: Verb, samples: Stage, stream: str, reads: Mapping[str, object]) -> Stage:
    images = _images(config, stream)
    return _stage(config, verb, samples.generation, reads, (samples,), stream, images, images * JUDGE_COST)


def measure(config: Config, g: int, opened: Sequence[Stage]) -> Stage:
    """Diversity, noise and tails of generation g's pool. `opened`: the sets that it is held against, and what looked
    at them."""
    policy, regime = config.policy_plugin(), config.regime_plugin()
    reads = {
        "version": VERSIONS["measure"],
        "seed": config.seed,
        "generation": g,
        "attributes": {name: list(values) for name, values in config.attributes.items()},
        "drift": [identity(policy), config.images, identity(regime), config.train.method] if g else None,
    }
    return _stage(config, "measure", g, reads, opened)


def score(config: Config, pool: Stage) -> Stage:
    """The curator's scores of the pools of target prompts."""
    targets = [(prompt.text, images) for _, prompt, images in wanted(config, POOL) if prompt.role == "target"]
    reads = {"scorer": identity(config.scorer_plugin()), "prompts": [text for text, _ in targets]}
    images = sum(n for _, n in targets)
    return _stage(config, "score", pool.generation, reads, (pool,), images=images, cost=images * JUDGE_COST)


def curate(config: Config, pool: Stage, score: Stage | None) -> Stage:
    """What the policy passes on of those pools; a policy that reads no scores is not touched by the scorer."""
    reads = {
        "policy": identity(config.policy_plugin()),
        "seed": config.seed,
        "generation": pool.generation,
        "prompts": [prompt.text for prompt in config.prompt_nouns() if prompt.role == "target"],
    }
    return _stage(config, "curate", pool.generation, reads, (score or pool,))


def train(config: Config, g: int, start: Stage, history: Sequence[Stage], new: Sequence[Stage]) -> Stage:
    """Generation g's model: of the regime, only the diet that it makes of the history and of `new`, what comes from
    outside the loop, enters its key."""
    regime = config.regime_plugin()
    eaten = regime.eats(history)
    learns = asdict(config.train)
    del learns["checkpointing_steps"]  # where it may be taken up again changes nothing
    reads = {
        "generator": identity(config.generator_plugin()),
        "train": learns,
        "seed": config.seed,
        "generation": g,
        "cut": regime.subsamples and len(eaten) > 1,
        "real_fraction": regime.real_fraction,
    }
    cost = 3.0 * config.train.max_train_steps * config.train.train_batch_size
    presented = config.train.max_train_steps * config.train.images
    return _stage(config, "train", g, reads, (start, *eaten, *new), images=presented, cost=cost)


# ---- what is asked of the generator, and of real data ------------------------------------------------


def wanted(config: Config, stream: str) -> Iterator[tuple[int, Prompt, int]]:
    """(index, prompt, images) of a set: pools and held-out images for every prompt, images of check prompts, the other
    sets for targets."""
    kept = config.policy_plugin().most_kept(config.images)
    # Of what is taught only an image whose caption happens to be the prompt is one of the prompt's images.
    images = {EVALUATION: config.evaluation.images, REAL: config.regime_plugin().real_images(kept), TAUGHT: 0}
    images[MOVED] = len(MOVES) * config.steady()
    for index, prompt in enumerate(config.asked(stream)):
        if stream in (POOL, HELD_OUT, CHECK):
            yield index, prompt, config.images_of(prompt)
        elif prompt.role == "target":
            yield index, prompt, images[stream]


def _images(config: Config, stream: str) -> int:
    """How many images a set has."""
    return sum(images for *_, images in wanted(config, stream))


def requests(config: Config, generation: int, stream: str) -> Iterator[Request]:
    """Pools and check prompts get fresh noise in each generation; the other sets have the noise of generation 0 for
    ever. Fresh real images count on from step to step, so that a folder of real images gives each of them once, and
    held-out ones count from the folder's other end, so that they are the same whatever the diets take."""
    noise = generation if stream in FRESH else 0
    fresh = stream == REAL and config.regime_plugin().fresh
    for prompt_index, prompt, images in wanted(config, stream):
        first = (generation - 1) * images if fresh else 0
        for index in range(first, first + images):
            yield Request(
                id=f"{stream[0]}{noise:03d}-{prompt_index:02d}-{index:06d}",
                prompt=prompt.text,
                index=-1 - index if stream == HELD_OUT else index,
                seed=seeds.seed(config.seed, stream, noise, prompt_index, index),
            )


def lessons(config: Config, generation: int) -> Iterator[Request]:
    """The images of a step that teaches concepts again; a request's prompt is the concept, its image has a caption of
    its own. They count on from lesson to lesson, so that a folder of real images gives each of them once."""
    if again := config.reteach:
        for number, concept in enumerate(again.concepts):
            first = _first_taught(config, generation)
            for index in range(first, first + again.images):
                yield Request(
                    id=f"{TAUGHT[0]}000-{number:02d}-{index:06d}",
                    prompt=concept,
                    index=index,
                    seed=seeds.seed(config.seed, TAUGHT, 0, number, index),
                )


def _first_taught(config: Config, generation: int) -> int:
    """How many images of each concept the earlier lessons have used up."""
    return 0 if config.reteach is None else (generation // config.reteach.every - 1) * config.reteach.images
