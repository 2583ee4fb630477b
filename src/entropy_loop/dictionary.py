"""The data dictionary: every column of a results folder's tables, with its meaning, unit, range and dtype."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

Kind = Literal["text", "whole", "number", "truth"]
DTYPES: dict[Kind, str] = {"text": "str", "whole": "Int64", "number": "float64", "truth": "boolean"}
"""Kind of cells -> pandas dtype. Each dtype has missing cells, which are neither 0 nor false nor empty text."""


@dataclass(frozen=True)
class Column:
    """A column. text: the meaning of a cell. always: no cell is ever missing."""

    kind: Kind
    text: str
    always: bool = False

    @property
    def dtype(self) -> str:
        """The pandas dtype of the column."""
        return "int64" if self.kind == "whole" and self.always else DTYPES[self.kind]


_text, _number, _truth = partial(Column, "text"), partial(Column, "number"), partial(Column, "truth")
_whole = partial(Column, "whole", always=True)
_ENDS = {"low": "Lower", "high": "Upper"}


def _ends(text: str, prefix: str = "") -> dict[str, Column]:
    """The two columns of an interval or band."""
    return {f"{prefix}{end}": _number(f"{where} end of {text}.") for end, where in _ENDS.items()}


# ---- columns of several tables -----------------------------------------------------------------------

_RUN = _text("The chain: `ARM-seedN`.", always=True)
_ARM = _text("The arm: what is done to the chain, such as the curation; its chains differ in their seed.", always=True)
_SEED = _whole("The chain's seed, ≥ 0.")
_GENERATION = _whole("How many feedback steps lie behind its model, ≥ 0.")
_PROMPT = _text("The prompt's text.", always=True)
_ROLE = _text("The prompt's role: `target` (fed back), `similar`, `unrelated` or `unseen_pair` (measured only).", True)
_CONCEPT = _text("The concept; `all` is every concept of the prompt in one and the same image.", always=True)
_JUDGE = _text("Who looked: a model's name, or `people`.", always=True)
_REASON = _text("Why numbers of this row are missing, or what they do not say; missing where there is nothing to say.")
_CHAIN = {"run": _RUN, "arm": _ARM, "seed": _SEED}
_PLACE = {**_CHAIN, "generation": _GENERATION}
_TARGET = {"prompt": _PROMPT, "concept": _CONCEPT, "judge": _JUDGE}
_ASKED = {"prompt": _PROMPT, "role": _ROLE, "concept": _CONCEPT, "judge": _JUDGE}
_CLAIMED = {"arm": _ARM, "prompt": _PROMPT, "judge": _JUDGE}
_SPANS = {
    **_ends("the 95 % interval of `value` (jackknife; of shares of images Wilson's)"),
    **_ends("the 95 % band of `value` if nothing has changed", "null_"),
    "null_mean": _number("Mean of `value` if nothing has changed."),
    "null_sd": _number("Standard deviation of `value` if nothing has changed, ≥ 0."),
}
_REFERENCE = _text(
    "What the pool is held against: `generation0`, `real` (held-out real images), `diet` (what its model was trained "
    "on) or `none`. A number of one set alone has `real` where it is that of the real images themselves.",
    always=True,
)
_SET = (
    "`pool` (of which some is fed back), `evaluation` (the same noise in every generation), `real` or `taught` (real "
    "images of the diet)"
)
_ID = _text("The image's name within its chain, generation and set.", always=True)


def _measured(metric: str) -> dict[str, Column]:
    """The columns of diversity.csv and noise.csv."""
    return {
        **_PLACE,
        "prompt": _PROMPT,
        "reference": _REFERENCE,
        "metric": _text(metric, always=True),
        "n": _whole("Images, ≥ 0."),
        "value": _number("The metric; missing where it is undefined."),
        **_SPANS,
        "reason": _REASON,
    }


def _state(family: str, up: str) -> Column:
    return _text(
        f"What became of {family}: `up`{up}, `down`, `equivalent`, `undecided` or `not measured`.", always=True
    )


# ---- the tables --------------------------------------------------------------------------------------

TABLES: dict[str, dict[str, Column]] = {
    "rates": {
        **_PLACE,
        "set": _text(f"The set of images: {_SET}.", always=True),
        **_ASKED,
        "n": _whole("Images that could be judged, ≥ 0."),
        "hits": _number("How many of them are recognised, 0 to n; of people the sum of their shares of raters."),
        "rate": _number("V = hits / n, 0 to 1; missing where n is 0."),
        **_ends("V's 95 % interval, 0 to 1 (Wilson's; of people by bootstrap)"),
        "corrected": _number("V corrected for the judge's known errors (Rogan-Gladen), 0 to 1."),
        **_ends("its 95 % interval, 0 to 1", "corrected_"),
        "reason": _REASON,
    },
    "changes": {
        **_CHAIN,
        "from_generation": _whole("The earlier generation, ≥ 0."),
        "to_generation": _whole("The later one: the next, and once for each chain the last from generation 0."),
        **_ASKED,
        "v1": _number("V of the earlier pool, 0 to 1."),
        "v2": _number("V of the later pool, 0 to 1."),
        "change_rate": _number("c = (v1 - v2) / v1, at most 1; above 0 where V fell. Missing where v1 is 0."),
        **_ends("c's 95 % score interval: of this chain only"),
        **_ends("the 95 % band of c where both pools come from one and the same model", "sampling_"),
        **_ends("the 95 % band of c where each generation perfectly copies what is fed back, drawn blindly", "drift_"),
        "reason": _REASON,
    },
    "summary": {
        "arm": _ARM,
        "against": _text("The arm that it is compared with, seed by seed; missing where the arm stands by itself."),
        "generation": _whole("The generation of a `rate`, else the last one."),
        **_ASKED,
        "statistic": _text(
            "One number per chain: `change_rate` (c from generation 0 to the last), `slope` (of V, per generation) or "
            "`rate` (V). With `against` it is the arm's minus the other's.",
            always=True,
        ),
        "chains": _whole("Chains that have it, ≥ 0."),
        "mean": _number("Its mean over these chains."),
        **_ends("the mean's 95 % t interval, a description; missing with one chain"),
        **_ends("the band in which 95 % of means lie under drift alone", "null_"),
        **_ends("the same band where every pool comes from generation 0's model", "sampling_"),
        "p": _number("How rarely drift alone goes as far, two-sided, 0 to 1; missing with fewer than 3 chains."),
        "p_adjusted": _number("p after Holm over the concepts, 0 to 1: the claim."),
        "reason": _REASON,
    },
    "ledger": {
        **_CHAIN,
        "generation": _whole("The generation from which the step starts, ≥ 0."),
        **_TARGET,
        "v_pool": _number("V of its pool, 0 to 1."),
        "v_kept": _number("V of what curation keeps of it, 0 to 1."),
        "v_diet": _number("V of what the next model is trained on, each image as often as it is eaten, 0 to 1."),
        "v_next": _number("V of the next pool, 0 to 1."),
        "curation": _number("v_diet - v_pool, -1 to 1: what curation and regime did."),
        **_ends("its 95 % interval", "curation_"),
        "training": _number("v_next - v_diet, -1 to 1: what training did."),
        "response": _number("v_next - v_pool = curation + training, -1 to 1."),
        "transmission": _number("response / curation; missing where curation's interval holds 0."),
        "reason": _REASON,
    },
    "checks": {
        **_PLACE,
        **_TARGET,
        "check": _text(
            "`specificity` or `sensitivity` (on images of check prompts), `mirror` or `shift` (of moved images of the "
            "pool, how many are answered as before).",
            always=True,
        ),
        "n": _whole("Images that could be judged, ≥ 0."),
        "hits": _whole("Of these, how many are answered rightly, 0 to n."),
        "rate": _number("hits / n, 0 to 1; missing where n is 0."),
        **_ends("its 95 % interval, 0 to 1 (Wilson's)"),
        "alarm": _text("How far the share has fallen since generation 0, where V is doubtful for it, else missing."),
        "reason": _REASON,
    },
    "diversity": _measured(
        "Of the pool: `vendi` (Vendi score, effective number of different images, 1 to n), `mean_pairwise_distance` "
        "(cosine distance, 0 to 2). Against the reference: `kid`, `cmmd` (squared MMD, 0 for one and the same model; a "
        "single value may be below 0), `precision`, `recall`, `coverage` (shares, 0 to 1), `density` (≥ 0), `copied` "
        "(share of the pool that is nearer to its diet than 95 % of real images, 0 to 1)."
    ),
    "noise": _measured(
        "Mean over the images of `high_frequency_share` (share of energy above half of Nyquist's frequency, 0 to 1), "
        "`bytes_per_pixel` (as PNG, bytes per pixel) or `intensity_entropy` (of 256 greys, 0 to 8 bits)."
    ),
    "tails": {
        **_PLACE,
        "prompt": _PROMPT,
        "reference": _REFERENCE,
        "attribute": _text("The attribute, such as `coat`.", always=True),
        "item": _text(
            "One of its values, `entropy` (of its values, bits, ≥ 0) or `survivors` (how many of its values occur); "
            "missing where no image could be read."
        ),
        "n": _whole("Images in which the attribute could be read, ≥ 0."),
        "value": _number("Share of that value, corrected for misreading, 0 to 1; or the entropy; or the survivors."),
        **_SPANS,
        "reason": _REASON,
    },
    "verdicts": {
        **_CLAIMED,
        "verdict": _text("`disintegration`, `banalisation`, `both`, `stable` or `undecided`.", always=True),
        "margin": _number("A relative change within ± this is equivalent to none."),
        "recognition": _state("V(all)", ""),
        "noise": _state("noise", " (worse)"),
        "diversity": _state("diversity", ""),
        "tails": _state("the entropies of attributes", ""),
        "distance": _state("the distance to generation 0", " (worse)"),
        "subcutaneous": _truth("Whether recognition holds under selection while noise or distance rises."),
        "chains": _whole("Chains that have a c, ≥ 0."),
        "reason": _text("What the verdict follows from, instrument by instrument."),
    },
    "instruments": {
        **_CLAIMED,
        "instrument": _text("`recognition`, `noise`, `diversity`, `tails` or `distance`.", always=True),
        "metric": _text("The number that is tested, such as `V(all)`, `vendi` or `entropy of coat`.", always=True),
        "chains": _whole("Chains that have it, ≥ 0."),
        "mean": _number(
            "Mean over the chains of -c (recognition), of last / first - 1 (noise, diversity, tails), or of the last "
            "value (distance)."
        ),
        **_ends("its 95 % t interval; missing with one chain"),
        "p": _number("How rarely chance and drift go as far, 0 to 1; missing with fewer than 3 chains."),
        "p_adjusted": _number("p after Holm over all instruments of the arm, prompt and judge, 0 to 1."),
        "state": _text("What is shown: `up`, `down`, `equivalent` or `undecided`.", always=True),
    },
    "agreement": {
        "judge": _text("Who is held to people: a model, or `people` themselves.", always=True),
        "prompt": _text("The prompt's text; missing where all prompts are taken together."),
        "concept": _text("The concept, or `all`; missing for `answers`."),
        "statistic": _text(
            "Of people: `answers` (n is what a rater looked at), `alpha` (Krippendorff's, at most 1), `self_agreement` "
            "and `catch_accuracy` (shares, 0 to 1). Of a model against most people: `kappa` (Cohen's, -1 to 1), "
            "`sensitivity`, `specificity` (0 to 1).",
            always=True,
        ),
        "generation": _whole("The generation; missing where all are taken together.", always=False),
        "rater": _text("The rater's random name; missing where all are taken together."),
        "n": _whole("Images or answers, ≥ 0."),
        "value": _number("The statistic; missing where it is undefined."),
        **_ends("its 95 % interval"),
        "reason": _REASON,
    },
    "images": {
        **_PLACE,
        "set": _text(
            f"The set: {_SET}, `check` (of check prompts) or `moved` (images of the pool, mirrored or shifted).",
            always=True,
        ),
        "id": _ID,
        "prompt": _PROMPT,
        "image_seed": _whole("Fixes its noise, 32 bits; missing where it has none.", always=False),
        "file": _text("Its picture, relative to the results folder; missing where a toy generator draws none."),
        "latent_sha256": _text("SHA-256 of its latent; missing where there is none."),
        "score": _number("The curator's score, on its own scale; missing where none was asked."),
        "rank": _whole(
            "Its place in the pool, 1 is taken first; missing where the policy ranks none.",
            always=False,
        ),
        "kept": _truth("Whether curation passes it on; missing where it was no candidate."),
        "darkest": _whole("Lowest value of a pixel, 0 to 255; missing where nobody looked.", always=False),
        "brightest": _whole("Highest value of a pixel, 0 to 255; missing where nobody looked.", always=False),
        "pixel_sha256": _text("SHA-256 of its pixels: equal for equal pictures; missing where nobody looked."),
        "flagged": _truth("Whether the safety checker objects to it; missing where none was asked."),
    },
    "judgements": {
        "run": _RUN,
        "generation": _GENERATION,
        "set": _text("The set of images, as in the table `images`.", always=True),
        "id": _ID,
        "concept": _text("The concept.", always=True),
        "judge": _JUDGE,
        "score": _number("On the judge's own scale; of people the share of raters who recognise it, 0 to 1."),
        "threshold": _number("The score above which the answer is yes, on the same scale."),
        "answer": _truth("Whether it is recognised; missing where that could not be told."),
        "reason": _REASON,
    },
}
"""Table -> its columns, in order."""
PARQUET = ("images", "judgements")
"""Large tables: these are Parquet files, all others CSV."""
