"""Checks that a schema cannot make: plug-ins, their options, and fields that must fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from entropy_loop import registry
from entropy_loop.contracts import Judge, Policy, Real, Regime, Scorer, Weights
from entropy_loop.data import ALL
from entropy_loop.errors import ConfigError, nearest
from entropy_loop.people.asking import NONE, UNSURE
from entropy_loop.registry import Kind, P
from entropy_loop.seeds import INDEX_BITS
from entropy_loop.study.config import Config


def key_names() -> list[str]:
    """Every key of a config and its sections, without their places."""
    schema = Config.model_json_schema()
    return sorted({key for section in (schema, *schema["$defs"].values()) for key in section.get("properties", ())})


def plugin_mistakes(raw: Mapping[str, object]) -> list[str]:
    """One line per mistake in the plug-ins that a config names. The config need not be valid."""
    lines: list[str] = []
    for plugin in registry.plugins_in(raw):
        try:
            registry.build(plugin.kind, plugin.spec, plugin.place)
        except ConfigError as error:
            lines += str(error).splitlines()
    return lines


def _built(raw: Mapping[str, object], kind: Kind[P]) -> list[P]:
    """The plug-ins of a kind, without those that cannot be built."""
    built = []
    for plugin in registry.plugins_in(raw):
        if plugin.kind is kind:
            with suppress(ConfigError):
                built.append(registry.build(kind, plugin.spec, plugin.place))
    return built


def mistakes(config: Config) -> Iterator[str]:
    """One line per mistake that the schema cannot see."""
    raw = config.model_dump()
    yield from plugin_mistakes(raw)
    policies, regimes, real = (_built(raw, registry.POLICY), _built(raw, registry.REGIME), _built(raw, registry.REAL))
    for policy in policies:
        if policy.reads_scores and not config.curate.scorer:
            yield "curate.scorer: missing; the policy reads scores."
        try:
            policy.check(config.images)
        except ConfigError as error:
            yield f"curate.policy: {error}"
    if any(regime.real_fraction for regime in regimes) and not config.real:
        yield "real: missing; the regime feeds real images. For example real: {use: storybook}."
    yield from _reteach_mistakes(config, real)
    yield from _too_many(config, regimes, policies)
    if config.attributes and not config.measures.reader:
        yield "measures.reader: missing; attributes are read by a model, for example reader: {use: storybook}."
    if config.measures.reader and not config.attributes:
        yield "attributes: missing; say which ones the reader reads, for example attributes: {coat: [brown, black]}."
    yield from _prompt_mistakes(config)
    yield from _judge_mistakes(config, _built(raw, registry.SCORER), _built(raw, registry.JUDGE))
    yield from _people_mistakes(config)


def _reteach_mistakes(config: Config, real: list[Real]) -> Iterator[str]:
    if config.reteach is None:
        return
    if not config.real:
        yield "real: missing; what is taught again is shown on real images. For example real: {use: storybook}."
    for plugin in real:
        for concept in config.reteach.concepts:
            if not plugin.can_teach(concept):
                yield f"reteach.concepts: the real data cannot show {concept!r}."
    if len(set(config.reteach.concepts)) < len(config.reteach.concepts):
        yield "reteach.concepts: the same concept stands twice."
    if config.train.method == "none":
        yield "reteach: nothing is trained (train.method: none), so nothing can be taught."


def _too_many(config: Config, regimes: list[Regime], policies: list[Policy]) -> Iterator[str]:
    """Fresh real images of a chain are numbered: more than INDEX_BITS can count have no seed."""
    most = 1 << INDEX_BITS
    for regime, policy in zip(regimes, policies, strict=False):
        fresh = config.generations * regime.real_images(policy.most_kept(config.images)) if regime.fresh else 0
        if fresh > most:
            yield f"feedback: {fresh:,} fresh real images in {config.generations} generations; {most:,} is the most."
    if again := config.reteach:
        taught = config.generations // again.every * again.images
        if taught > most:
            yield f"reteach: {taught:,} images of a concept in {config.generations} generations; {most:,} is the most."


def _prompt_mistakes(config: Config) -> Iterator[str]:
    texts = [prompt.text for prompt in config.prompts]
    if len(set(texts)) < len(texts):
        yield "prompts: the same text stands twice; every prompt is measured on its own pool."
    if all(prompt.role != "target" for prompt in config.prompts):
        yield "prompts: none has the role target, so nothing would be fed back."
    named = list(dict.fromkeys(name for prompt in config.prompts for name in prompt.concepts))
    if ALL in named:
        yield f"prompts: {ALL!r} is the name of the joint concept; give the concept another name."
    for i, prompt in enumerate(config.prompts):
        if len(set(prompt.concepts)) < len(prompt.concepts):
            yield f"prompts.{i}.concepts: the same concept stands twice."
    for unused in sorted(set(config.concepts) - set(named)):
        yield f"concepts.{unused}: no prompt names it; {nearest(unused, named)}"


def _judge_mistakes(config: Config, scorers: list[Scorer], judges: list[Judge]) -> Iterator[str]:
    labels = [judge.label for judge in judges]
    if len(set(labels)) < len(labels):
        yield f"judges: two have one name ({', '.join(labels)}), so the tables could not tell them apart."
    shared = [weights for scorer in scorers if (weights := curator_measures(scorer, judges))]
    if shared and config.curator_may_judge == "no":
        yield (
            f"judges: {shared[0].model!r} is also the curator; a model that selects must not measure. Take another "
            "judge, or say `curator_may_judge: yes, the curator measures itself on purpose`."
        )


def curator_measures(scorer: Scorer, judges: Iterable[Judge]) -> Weights | None:
    """The weights that both select and measure; None if the scorer's are no judge's."""
    weights = scorer.weights()
    return weights if weights in [judge.weights() for judge in judges] else None


def _people_mistakes(config: Config) -> Iterator[str]:
    """Mistakes in people.choices, and concepts that its options do not cover."""
    people, choices = config.people, config.people.choices
    if people.ask != "choice":
        if choices:
            yield f"people.choices: asked only with `ask: choice`; people.ask is {people.ask}."
        return
    if not choices:
        yield "people.choices: missing; say what is asked, for example choices: {rider: [astronaut, knight]}."
        return
    for name, options in choices.items():
        for option in options:
            if option.lower() in (NONE, UNSURE):
                yield f"people.choices.{name}: leave {option!r} out; every question gets {NONE!r} and {UNSURE!r}."
    times = Counter(option.lower() for options in choices.values() for option in options)
    for option in (option for option, n in times.items() if n > 1):
        yield f"people.choices: {option!r} stands twice; an option belongs to one question, once."
    for i, prompt in enumerate(config.prompts):
        if prompt.role == "target":
            yield from _unasked(f"prompts.{i}.concepts", prompt.concepts, choices)


def _unasked(where: str, concepts: tuple[str, ...], choices: dict[str, tuple[str, ...]]) -> Iterator[str]:
    """Concepts of a prompt that are no option, and those that one question makes exclusive."""
    known = [option for options in choices.values() for option in options]
    for concept in concepts:
        if concept not in known:
            yield f"{where}: {concept!r} is no option of people.choices; add it to one. {nearest(concept, known)}"
    for name, options in choices.items():
        if len(both := [concept for concept in concepts if concept in options]) > 1:
            yield (
                f"{where}: {' and '.join(map(repr, both))} are options of one question, so nobody could choose both; "
                f"take one of them out of people.choices.{name}, into a question of its own."
            )
