"""Config: every key, default, unit and range of an experiment, and the plug-ins that it names."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from entropy_loop import registry
from entropy_loop.contracts import Embedder, Engine, Generator, Judge, Policy, Reader, Real, Regime, Scorer
from entropy_loop.data import CHECK, Concept, Prompt, TrainSettings
from entropy_loop.seeds import GENERATION_BITS, INDEX_BITS, PROMPT_BITS

Plugin = dict[str, object]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Option = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 '._-]{0,99}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptSection(_Section):
    """A prompt.

    text: what the generator is asked for. role: a target is fed back; the others are measured only, and of a `check`
    the judges are measured, not the model. concepts: what an image of it should show, each asked of every judge; of a
    check prompt judges are asked for the targets' concepts, and those that it does not name are absent.
    """

    text: Annotated[str, Field(min_length=1)]
    role: Literal["target", "similar", "unrelated", "unseen_pair", "check"] = "target"
    concepts: Annotated[tuple[Name, ...], Field(min_length=1)]


class ConceptSection(_Section):
    """Contrastive texts for one concept, by its name; without them the judge's own calibration is used.

    yes: what an image that shows it could be called. no: what one that does not could be called.
    """

    yes: Annotated[tuple[str, ...], Field(min_length=1)]
    no: Annotated[tuple[str, ...], Field(min_length=1)]


class EvaluationSection(_Section):
    """The evaluation set of every target prompt: the same noise in every generation and arm.

    images: how many; contact sheets and filmstrips show them.
    """

    images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)] = 32


class CurateSection(_Section):
    """Curation: what of a pool is passed on.

    scorer: who scores, asked only when the policy reads scores. policy: which images are passed on.
    """

    scorer: Plugin | None = None
    policy: Plugin = {"use": "none"}


class ReteachSection(_Section):
    """Real images of named concepts join the diet again and again.

    every: in every how many-th step. concepts: which. images: new ones of each concept.
    """

    every: Annotated[int, Field(ge=1)]
    concepts: Annotated[tuple[Name, ...], Field(min_length=1)]
    images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)]


class MeasuresSection(_Section):
    """What else is measured on every pool.

    embedder: makes embeddings, for diversity, distance and copying, and noise indices. reader: reads attributes. real:
    where the real images come from that pools are held against, if not from the config's own `real`, which an arm may
    corrupt.
    """

    embedder: Plugin | None = None
    reader: Plugin | None = None
    real: Plugin | None = None


class PeopleSection(_Section):
    """What people are asked on the rating page. images: of every generation's pool and target prompt; raters: of each
    image; repeats, catch_trials: so many of each rater's images, as a share, are shown again and are drawn with known
    truth (in the storybook world); intro: what a rater reads before the first image, and agrees to; ask: `yes_no`
    whether each concept of the prompt is recognised, which names it and so is a cue, or `choice` without one; choices:
    the questions of `choice`, each with its options, as in `rider: [astronaut, knight]`, to which the answers none and
    can't tell are added. Every image gets the same questions; a concept is recognised where its name is chosen."""

    images: Annotated[int, Field(ge=1)] = 32
    raters: Annotated[int, Field(ge=1)] = 3
    repeats: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    catch_trials: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    intro: Annotated[str, Field(min_length=1, max_length=4000)] = (
        "You will see pictures, one at a time, and say what you recognise in each. There is no right or wrong answer. "
        "Only your answers and their times are stored, under a random name; you can stop at any moment."
    )
    ask: Literal["yes_no", "choice"] = "yes_no"
    choices: Annotated[
        dict[Name, Annotated[tuple[Option, ...], Field(min_length=1, max_length=30)]], Field(max_length=9)
    ] = {}


class ArmSection(_Section):
    """A hand-written arm.

    name: of the arm in tables and figures. set: what it sets, by place, as in `set: {train.start_from: base}`.
    """

    name: Name
    set: Annotated[dict[str, object], Field(min_length=1)]


class Config(_Section):
    """One experiment, or with the sweep applied one point of it.

    name: of the experiment; its results lie in `results/<name>`. generations: feedback steps; pools are made for
    generations 0 to this one. seed: of the chain; `sweep: {seed: [0, 1, 2]}` makes several. images: pool size of
    every target prompt in every generation. measured_images: pool size of prompts that are only measured. check_images:
    images of every check prompt in every generation. steady_images: so many of every target prompt's pool are mirrored
    and shifted, to see whether the judges answer the same; 0 is none, and without the key there are 32 where `checks`
    adds them. checks: `auto` adds check prompts that fit the targets, where the config names none, and
    `steady_images`, on the bundled checkpoint; `none` makes neither, whatever the config names. threads:
    per worker; part of every key, for another number may round differently. device: what computes; `auto` takes cuda,
    then mps, then cpu. evaluation: the images that are looked at. prompts: what is asked for, at least one of them a
    target. concepts: what judges look for, by name, where their own calibration is not to be used. generator: what
    makes images and is trained. curate: what of a pool is passed on. feedback: the regime, what the next generation
    eats. real: where real images come from. reteach: real images of named concepts that join the diet. train: the
    training of one feedback step. judges: who recognises the concepts; each is reported by itself. measures: what
    else is measured on a pool. people: what people are asked on the rating page. attributes: which the reader reads,
    each with its values, as in `coat: [brown, black]`. engine: where stages are made; part of no key. report_to: a
    tracker for losses and rates. curator_may_judge: whether the model that selects may also measure. sweep: values by
    place, as in `curate.policy: [{use: none}, {use: top_k, k: 32}]`; every combination is an arm. arms: arms beside
    those of the sweep. controls: `auto` adds the controls that a claim needs: random-k, regenerate only, real data,
    codec only.
    """

    name: Name
    generations: Annotated[int, Field(ge=1, lt=1 << GENERATION_BITS)]
    seed: Annotated[int, Field(ge=0)] = 0
    images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)] = 128
    measured_images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)] = 64
    check_images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)] = 8
    steady_images: Annotated[int, Field(ge=0, lt=1 << INDEX_BITS)] | None = None
    checks: Literal["auto", "none"] = "auto"
    threads: Annotated[int, Field(ge=1)] = 2
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")] = "auto"
    evaluation: EvaluationSection = EvaluationSection()
    prompts: Annotated[tuple[PromptSection, ...], Field(min_length=1, max_length=1 << PROMPT_BITS)]
    concepts: dict[Name, ConceptSection] = {}
    generator: Plugin
    curate: CurateSection = CurateSection()
    feedback: Plugin = {"use": "replace"}
    real: Plugin | None = None
    reteach: ReteachSection | None = None
    train: TrainSettings = TrainSettings()
    judges: Annotated[tuple[Plugin, ...], Field(min_length=1)]
    measures: MeasuresSection = MeasuresSection()
    people: PeopleSection = PeopleSection()
    attributes: dict[Name, Annotated[tuple[Name, ...], Field(min_length=2)]] = {}
    engine: Plugin = {"use": "local"}
    report_to: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    curator_may_judge: Literal["no", "yes, the curator measures itself on purpose"] = "no"
    sweep: dict[str, Annotated[list[object], Field(min_length=1)]] = {}
    arms: tuple[ArmSection, ...] = ()
    controls: Literal["none", "auto"] = "none"

    # ---- the plug-ins and nouns that this point names ------------------------------------------------

    def engine_plugin(self) -> Engine:
        return registry.build(registry.ENGINE, self.engine, "engine")

    def generator_plugin(self) -> Generator:
        return registry.build(registry.GENERATOR, self.generator, "generator")

    def sampler(self, stream: str) -> Generator:
        """The generator as it makes a set. Of a check prompt there are so few images that in whole blocks most would be
        padding."""
        generator = self.generator_plugin()
        return generator.for_few(self.check_images) if stream == CHECK else generator

    def scorer_plugin(self) -> Scorer:
        return registry.build(registry.SCORER, self.curate.scorer or {}, "curate.scorer")

    def policy_plugin(self) -> Policy:
        return registry.build(registry.POLICY, self.curate.policy, "curate.policy")

    def regime_plugin(self) -> Regime:
        return registry.build(registry.REGIME, self.feedback, "feedback")

    def real_plugin(self) -> Real:
        return registry.build(registry.REAL, self.real or {}, "real")

    def held_out(self) -> Plugin | None:
        """Where the real images come from that pools are held against; None where there are none."""
        return self.measures.real or self.real

    def held_out_plugin(self) -> Real:
        return registry.build(registry.REAL, self.held_out() or {}, "measures.real" if self.measures.real else "real")

    def judge_plugins(self) -> tuple[Judge, ...]:
        return tuple(registry.build(registry.JUDGE, spec, f"judges.{i}") for i, spec in enumerate(self.judges))

    def embedder_plugin(self) -> Embedder:
        return registry.build(registry.EMBEDDER, self.measures.embedder or {}, "measures.embedder")

    def reader_plugin(self) -> Reader:
        return registry.build(registry.READER, self.measures.reader or {}, "measures.reader")

    def prompt_nouns(self) -> tuple[Prompt, ...]:
        """The prompts that have pools: all but check prompts, which change nothing for the others."""
        return tuple(Prompt(p.text, p.role, p.concepts) for p in self.prompts if p.role != CHECK)

    def check_nouns(self) -> tuple[Prompt, ...]:
        """The check prompts of which images are made, each with the concepts that it shows."""
        named = tuple(Prompt(p.text, p.role, p.concepts) for p in self.prompts if p.role == CHECK)
        return named if self.checks == "auto" else ()

    def asked(self, stream: str) -> tuple[Prompt, ...]:
        """The prompts of a set, each with the concepts for which judges are asked: of check prompts the targets'."""
        if stream != CHECK:
            return self.prompt_nouns()
        targets = (prompt for prompt in self.prompt_nouns() if prompt.role == "target")
        concepts = tuple(dict.fromkeys(name for prompt in targets for name in prompt.concepts))
        return tuple(replace(prompt, concepts=concepts) for prompt in self.check_nouns())

    def concept_nouns(self) -> tuple[Concept, ...]:
        """Every concept that a prompt with a pool names, in order of first appearance."""
        names = dict.fromkeys(name for prompt in self.prompt_nouns() for name in prompt.concepts)
        texts = self.concepts
        return tuple(Concept(n, texts[n].yes, texts[n].no) if n in texts else Concept(n) for n in names)

    def size_unknown(self) -> str:
        """Why the config does not tell how many images are fed back, empty where it does. Where it does not there is
        no drift band, for a band is drawn for pools of one size, and so no claim."""
        if not self.policy_plugin().size_known:
            return "how much the policy keeps is known only when it runs"
        if self.generator_plugin().withholds:
            return "how much the safety checker withholds is known only when it runs"
        return ""

    def images_of(self, prompt: Prompt) -> int:
        return {"target": self.images, CHECK: self.check_images}.get(prompt.role, self.measured_images)

    def steady(self) -> int:
        """How many images of every target prompt's pool are moved."""
        return min(self.steady_images or 0, self.images) if self.checks == "auto" else 0
