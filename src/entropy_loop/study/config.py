"""The config of an experiment: every key with its default, unit and range, and the plug-ins that it names."""

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
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PromptSection(_Section):
    """A prompt."""

    text: Annotated[str, Field(min_length=1)]
    """Text that the generator gets."""
    role: Literal["target", "similar", "unrelated", "unseen_pair", "check"] = "target"
    """Images of a `target` are fed back, those of a `check` measure the judges, others are only measured."""
    concepts: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Concepts that an image of this prompt should show; every judge is asked for each. On images of a check prompt
    judges are asked for the targets' concepts, and those that the check prompt does not name are absent."""


class ConceptSection(_Section):
    """Contrastive texts for one concept, by its name. Without them a judge uses its own calibration."""

    yes: Annotated[tuple[str, ...], Field(min_length=1)]
    """Texts that describe an image which shows the concept."""
    no: Annotated[tuple[str, ...], Field(min_length=1)]
    """Texts that describe an image which does not show it."""


class EvaluationSection(_Section):
    """The evaluation set of every target prompt: the same noise in every generation and arm."""

    images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)] = 32
    """Number of images per target prompt, 1 to 262,143. Contact sheets and filmstrips show them."""


class CurateSection(_Section):
    """Curation: which images of a pool are passed on."""

    scorer: Plugin | None = None
    """Scores the images. It runs only when the policy reads scores."""
    policy: Plugin = {"use": "none"}
    """Selects the images that are passed on."""


class ReteachSection(_Section):
    """Real images of named concepts join the diet at regular intervals."""

    every: Annotated[int, Field(ge=1)]
    """Interval in feedback steps, at least 1."""
    concepts: Annotated[tuple[Name, ...], Field(min_length=1)]
    """Concepts that are taught again."""
    images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)]
    """Number of new images of each concept in each of these steps, 1 to 262,143."""


class MeasuresSection(_Section):
    """What is measured on every pool besides recognition."""

    embedder: Plugin | None = None
    """Computes the embeddings for diversity, distance and copying, and the noise indices."""
    reader: Plugin | None = None
    """Reads the attributes of every image."""
    real: Plugin | None = None
    """Source of the real images that pools are compared with. Default: the config's `real`. Set it when an arm
    corrupts `real`."""


class PeopleSection(_Section):
    """What people are asked on the rating page. Every image gets the same questions."""

    images: Annotated[int, Field(ge=1)] = 32
    """Number of images rated per generation and target prompt, from its pool; at least 1."""
    raters: Annotated[int, Field(ge=1)] = 3
    """Number of people who rate each image, at least 1."""
    repeats: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of each rater's images that are shown a second time, 0 to 0.5."""
    catch_trials: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of each rater's images that are drawn with known truth, 0 to 0.5. Only for the storybook world."""
    intro: Annotated[str, Field(min_length=1, max_length=4000)] = (
        "You will see pictures, one at a time, and say what you recognise in each. There is no right or wrong answer. "
        "Only your answers and their times are stored, under a random name; you can stop at any moment."
    )
    """Text that a rater reads and agrees to before the first image, 1 to 4,000 characters."""
    ask: Literal["yes_no", "choice"] = "yes_no"
    """`yes_no` asks for each concept of the prompt by name, which gives a cue. `choice` asks the questions of
    `choices`, without a cue."""
    choices: Annotated[
        dict[Name, Annotated[tuple[Option, ...], Field(min_length=1, max_length=30)]], Field(max_length=9)
    ] = {}
    """The questions of `ask: choice`, each with its options, as in `rider: [astronaut, knight]`: at most 9 questions
    of 1 to 30 options. The answers none and can't tell are added. A concept counts as recognised when its name is
    chosen."""


class ArmSection(_Section):
    """A hand-written arm."""

    name: Name
    """Name of the arm in tables and figures."""
    set: Annotated[dict[str, object], Field(min_length=1)]
    """Values that this arm changes, by place, as in `set: {train.start_from: base}`."""


class Config(_Section):
    """One experiment, or one point of its sweep."""

    name: Name
    """Name of the experiment. Its results lie in `results/<name>`."""
    generations: Annotated[int, Field(ge=1, lt=1 << GENERATION_BITS)]
    """Number of feedback steps, 1 to 255. Generations are numbered from 0 to this one."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the chain, at least 0. `sweep: {seed: [0, 1, 2]}` makes three chains of every arm."""
    images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)] = 128
    """Pool size: images per target prompt and generation, 1 to 262,143."""
    measured_images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)] = 64
    """Pool size of prompts that are only measured: images per prompt and generation, 1 to 262,143."""
    check_images: Annotated[int, Field(ge=1, lt=1 << INDEX_BITS)] = 8
    """Images per check prompt and generation, 1 to 262,143."""
    steady_images: Annotated[int, Field(ge=0, lt=1 << INDEX_BITS)] | None = None
    """Images of every target prompt's pool that are mirrored and shifted, 0 to 262,143, to see whether the judges
    answer the same. Default: 32 where `checks: auto` applies, else 0."""
    checks: Literal["auto", "none"] = "auto"
    """`auto` adds check prompts that fit the targets, unless the config names some, and sets `steady_images`; both
    only for the bundled checkpoint. `none` switches all checks off, also those that the config names."""
    threads: Annotated[int, Field(ge=1)] = 1
    """CPU threads per worker, at least 1. Part of every key, because another number may round differently. More than
    one makes sense only for one chain on many cores that nobody else uses."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$")] = "auto"
    """Device that computes. `auto` takes the first that is available of cuda, mps and cpu."""
    evaluation: EvaluationSection = EvaluationSection()
    """The evaluation set: the images that people look at."""
    prompts: Annotated[tuple[PromptSection, ...], Field(min_length=1, max_length=1 << PROMPT_BITS)]
    """The prompts, 1 to 64; at least one of them is a target."""
    concepts: dict[Name, ConceptSection] = {}
    """Contrastive texts by concept, for concepts that judges should not look for with their own calibration."""
    generator: Plugin
    """Makes the images and is trained."""
    curate: CurateSection = CurateSection()
    """Which images of a pool are passed on."""
    feedback: Plugin = {"use": "replace"}
    """The regime: what the next generation is trained on."""
    real: Plugin | None = None
    """Source of real images."""
    reteach: ReteachSection | None = None
    """Real images of named concepts that join the diet."""
    train: TrainSettings = TrainSettings()
    """The training of one feedback step."""
    judges: Annotated[tuple[Plugin, ...], Field(min_length=1)]
    """The judges, which recognise the concepts. Each is reported separately."""
    measures: MeasuresSection = MeasuresSection()
    """Measures of every pool besides recognition."""
    people: PeopleSection = PeopleSection()
    """What people are asked on the rating page."""
    attributes: dict[Name, Annotated[tuple[Name, ...], Field(min_length=2)]] = {}
    """Attributes that the reader reads, each with at least two values, as in `coat: [brown, black]`."""
    engine: Plugin = {"use": "local"}
    """Where stages are made. Part of no key."""
    report_to: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Tracker for losses and rates."""
    curator_may_judge: Literal["no", "yes, the curator measures itself on purpose"] = "no"
    """Whether the model that selects images may also measure them."""
    sweep: dict[str, Annotated[list[object], Field(min_length=1)]] = {}
    """Lists of values by place, as in `curate.policy: [{use: none}, {use: top_k, k: 32}]`. Every combination is an
    arm; seeds make chains."""
    arms: tuple[ArmSection, ...] = ()
    """Hand-written arms beside those of the sweep."""
    controls: Literal["none", "auto"] = "none"
    """`auto` adds the controls that a claim needs: random-k, regenerate only, real data, codec only."""

    # ---- the plug-ins, prompts and concepts that this config names -----------------------------------

    def engine_plugin(self) -> Engine:
        return registry.build(registry.ENGINE, self.engine, "engine")

    def generator_plugin(self) -> Generator:
        return registry.build(registry.GENERATOR, self.generator, "generator")

    def sampler(self, image_set: str) -> Generator:
        """The generator for an image set. Check sets have few images per prompt, so they get smaller blocks."""
        generator = self.generator_plugin()
        return generator.for_few(self.check_images) if image_set == CHECK else generator

    def scorer_plugin(self) -> Scorer:
        return registry.build(registry.SCORER, self.curate.scorer or {}, "curate.scorer")

    def policy_plugin(self) -> Policy:
        return registry.build(registry.POLICY, self.curate.policy, "curate.policy")

    def regime_plugin(self) -> Regime:
        return registry.build(registry.REGIME, self.feedback, "feedback")

    def real_plugin(self) -> Real:
        return registry.build(registry.REAL, self.real or {}, "real")

    def held_out(self) -> Plugin | None:
        """The source of the real images that pools are compared with; None if there is none."""
        return self.measures.real or self.real

    def held_out_plugin(self) -> Real:
        return registry.build(registry.REAL, self.held_out() or {}, "measures.real" if self.measures.real else "real")

    def judge_plugins(self) -> tuple[Judge, ...]:
        return tuple(registry.build(registry.JUDGE, spec, f"judges.{i}") for i, spec in enumerate(self.judges))

    def embedder_plugin(self) -> Embedder:
        return registry.build(registry.EMBEDDER, self.measures.embedder or {}, "measures.embedder")

    def reader_plugin(self) -> Reader:
        return registry.build(registry.READER, self.measures.reader or {}, "measures.reader")

    def pool_prompts(self) -> tuple[Prompt, ...]:
        """The prompts that have pools: all except check prompts."""
        return tuple(Prompt(p.text, p.role, p.concepts) for p in self.prompts if p.role != CHECK)

    def check_prompts(self) -> tuple[Prompt, ...]:
        """The check prompts, each with the concepts that it shows; none with `checks: none`."""
        if self.checks == "none":
            return ()
        return tuple(Prompt(p.text, p.role, p.concepts) for p in self.prompts if p.role == CHECK)

    def judged_prompts(self, image_set: str) -> tuple[Prompt, ...]:
        """The prompts of an image set, with the concepts that judges are asked for: on a check set the targets'."""
        if image_set != CHECK:
            return self.pool_prompts()
        targets = (prompt for prompt in self.pool_prompts() if prompt.role == "target")
        concepts = tuple(dict.fromkeys(name for prompt in targets for name in prompt.concepts))
        return tuple(replace(prompt, concepts=concepts) for prompt in self.check_prompts())

    def judged_concepts(self) -> tuple[Concept, ...]:
        """Every concept that a prompt with a pool names, in order of first appearance."""
        names = dict.fromkeys(name for prompt in self.pool_prompts() for name in prompt.concepts)
        texts = self.concepts
        return tuple(Concept(n, texts[n].yes, texts[n].no) if n in texts else Concept(n) for n in names)

    def size_unknown(self) -> str:
        """Why the config does not fix how many images are fed back; empty if it does. Without a fixed number there is
        no drift band and so no claim."""
        if not self.policy_plugin().size_known:
            return "how much the policy keeps is known only when it runs"
        if self.generator_plugin().withholds:
            return "how much the safety checker withholds is known only when it runs"
        return ""

    def images_of(self, prompt: Prompt) -> int:
        """Number of images of a prompt in each generation's pool or check set."""
        return {"target": self.images, CHECK: self.check_images}.get(prompt.role, self.measured_images)

    def moved_images(self) -> int:
        """Number of images of every target prompt's pool that are mirrored and shifted."""
        return min(self.steady_images or 0, self.images) if self.checks == "auto" else 0
