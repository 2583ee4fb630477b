"""What a plug-in returns is held against its contract: what does not keep it is refused, with the plug-in, the column
and the row, and nothing of it is recorded. Whole runs of the toy, with plug-ins of a third party, in a store."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from entropy_loop import registry
from entropy_loop.commands import experiment
from entropy_loop.contracts import Attribute, Embedded, Embedder, Judge, Policy, Reader, Scorer
from entropy_loop.curation import TopK
from entropy_loop.data import ATTRIBUTES, Concept, Prompt, Samples
from entropy_loop.errors import EntropyLoopError
from entropy_loop.generators.toys.categorical import Categorical, CategoricalWorld
from entropy_loop.judges.exact import ExactRecogniser, ExactScorer

Change = Callable[[pd.DataFrame], object]
FIRST, SECOND = "p000-00-000000", "p000-00-000001"


def changed(table: pd.DataFrame) -> pd.DataFrame:
    """What the plug-ins below do to a right table; every test puts its own in the place of this one."""
    return table


@dataclass(frozen=True)
class TheirJudge(Judge):
    """The exact answers."""

    version: ClassVar[int] = 1

    @property
    def label(self) -> str:
        return "theirs"

    def ready(self, concepts: tuple[Concept, ...]) -> None:
        """It needs no model."""

    def judge(self, samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...], tick) -> pd.DataFrame:
        return changed(ExactRecogniser().judge(samples, prompts, concepts, tick))


@dataclass(frozen=True)
class TheirScorer(Scorer):
    """The exact scores."""

    version: ClassVar[int] = 1

    def ready(self, prompts: tuple[str, ...]) -> None:
        """It needs no model."""

    def score(self, samples: Samples, prompts: tuple[str, ...], tick) -> pd.DataFrame:
        return changed(ExactScorer().score(samples, prompts, tick))


@dataclass(frozen=True)
class TheirPolicy(Policy):
    """The four best."""

    version: ClassVar[int] = 1

    def __call__(self, scores: pd.DataFrame, seed: int) -> pd.DataFrame:
        return changed(TopK(k=4)(scores, seed))


@dataclass(frozen=True)
class TheirEmbedder(Embedder):
    """Two numbers and a noise index for every image; `changed` sees them as a table."""

    version: ClassVar[int] = 1

    def ready(self) -> None:
        """It needs no model."""

    def embed(self, samples: Samples, tick) -> Embedded:
        seeds = samples.table["image_seed"].to_numpy()
        table = changed(pd.DataFrame({"x": seeds % 7.0, "y": seeds % 11.0, "noise": 0.5}))
        return Embedded(table[["x", "y"]].to_numpy(), table.drop(columns=["x", "y"]))


@dataclass(frozen=True)
class TheirReader(Reader):
    """Every coat is brown."""

    version: ClassVar[int] = 1

    def ready(self, attributes) -> None:
        """It needs no model."""

    def attributes(self) -> dict[str, Attribute]:
        sure = {"clean": [[1.0, 0.0], [0.0, 1.0]], "round_trip": [[1.0, 0.0], [0.0, 1.0]]}
        values = ["brown", "black"]
        return {"coat": {"answers": values, "values": values, "threshold": 0.5, "confusion": sure}}

    def read(self, samples: Samples, tick) -> pd.DataFrame:
        rows = [(image, "coat", "brown", 1.0, "") for image in samples.table["id"]]
        return changed(pd.DataFrame(rows, columns=list(ATTRIBUTES)))


def rewritten(out: Path) -> None:
    changed(pd.read_parquet(out / "samples.parquet")).to_parquet(out / "samples.parquet", index=False)


@dataclass(frozen=True)
class TheirGenerator(Categorical):
    """The categorical toy."""

    version: ClassVar[int] = 1

    def sample(self, model, requests, out: Path, tick) -> None:
        super().sample(model, requests, out, tick)
        rewritten(out)


@dataclass(frozen=True)
class TheirReal(CategoricalWorld):
    """The categorical world."""

    version: ClassVar[int] = 1

    def draw(self, requests, out: Path, tick) -> None:
        super().draw(requests, out, tick)
        rewritten(out)


THEIRS = {"use": "theirs"}
PLUGINS = {
    "judge": (TheirJudge, {"judges": [THEIRS]}, "recognise-pool"),
    "scorer": (TheirScorer, {"curate": {"scorer": THEIRS, "policy": {"use": "top_k", "k": 4}}}, "score"),
    "policy": (TheirPolicy, {"curate": {"scorer": {"use": "exact"}, "policy": THEIRS}}, "curate"),
    "embedder": (TheirEmbedder, {"measures": {"embedder": THEIRS}}, "embed-pool"),
    "reader": (
        TheirReader, {"measures": {"reader": THEIRS}, "attributes": {"coat": ["brown", "black"]}}, "read-pool",
    ),
    "generator": (TheirGenerator, {"generator": THEIRS}, "generate-pool"),
    "real": (TheirReal, {"real": {**THEIRS, "rates": {"horse": 0.5}}, "feedback": {"use": "mix_real"}}, "draw-real"),
}  # fmt: skip
"""Kind -> the plug-in, a config that uses it, and the first stage that it makes."""


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for kind, (cls, *_) in PLUGINS.items():
        monkeypatch.setitem(registry.KINDS[kind].bundled, "theirs", f"{__name__}:{cls.__name__}")
    registry.known.cache_clear()
    yield
    monkeypatch.undo()
    registry.known.cache_clear()


@pytest.fixture
def stages(toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Change], Iterator[str]]:
    """Carries a run with their plug-in of a kind, which changes what it returns; the names of the stages it made."""

    def carry(kind: str, change: Change) -> list[str]:
        monkeypatch.setattr(sys.modules[__name__], "changed", change)
        planned = experiment.prepare(toy(**PLUGINS[kind][1], generations=1, checks="none"))
        try:
            experiment.carry_out(planned, tmp_path / "out", lambda *event: None)
        finally:
            stages_made = [folder.parent.name for folder in (tmp_path / "out" / "store").glob("g*/receipt.json")]
        return stages_made

    return carry


def cell(column: str, value: object) -> Change:
    """The column's first value is another."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = table[column].astype(object)
        values.iloc[0] = value
        return table.assign(**{column: values})

    return change


def every(column: str, value: object) -> Change:
    return lambda table: table.assign(**{column: value})


WITHOUT_FIRST: Change = lambda table: table.iloc[1:]  # noqa: E731
TWICE: Change = lambda table: pd.concat([table, table.head(1)])  # noqa: E731
MISSPELT: Change = lambda table: table.rename(columns={"answer": "anwser", "score": "scores"})  # noqa: E731
REFUSED = [
    ("judge", WITHOUT_FIRST, f"column 'id', row {FIRST}, astronaut: is missing"),
    ("judge", TWICE, f"column 'id', row {FIRST}, astronaut: occurs twice"),
    ("judge", cell("id", "p9"), "column 'id', row p9, astronaut: was not requested"),
    ("judge", cell("concept", "unicorn"), f"column 'id', row {FIRST}, unicorn: was not requested"),
    ("judge", every("answer", np.nan), f"column 'answer', row {FIRST}, astronaut: is .*nan.*; wanted: true or false"),
    ("judge", cell("answer", np.nan), f"column 'answer', row {FIRST}, astronaut: is nan; wanted: true or false"),
    ("judge", cell("answer", 1), f"column 'answer', row {FIRST}, astronaut: is 1; wanted: true or false"),
    ("judge", cell("answer", None), f"column 'reason', row {FIRST}, astronaut: is ''; wanted: why there is no answer"),
    ("judge", cell("reason", None), f"column 'reason', row {FIRST}, astronaut: is None; wanted: text"),
    ("judge", cell("score", "high"), f"column 'score', row {FIRST}, astronaut: is 'high'; wanted: a finite number"),
    ("judge", every("score", np.inf), f"column 'score', row {FIRST}, astronaut: is .*inf.*; wanted: a finite number"),
    ("judge", cell("score", None), f"column 'score', row {FIRST}, astronaut: .*wanted: a number where an answer has"),
    ("judge", every("threshold", "0.5"), f"column 'threshold', row {FIRST}, astronaut: is '0.5'; wanted: a finite"),
    ("judge", MISSPELT, "has no column 'score' and has no column 'answer' and has a column 'scores' and .*'anwser'"),
    ("judge", every("certainty", 1.0), "has a column 'certainty'; wanted: id, concept, score, threshold, answer"),
    ("judge", lambda table: None, "returned NoneType, not a table"),
    ("scorer", WITHOUT_FIRST, f"column 'id', row {FIRST}: is missing"),
    ("scorer", TWICE, f"column 'id', row {FIRST}: occurs twice"),
    ("scorer", every("score", "high"), f"column 'score', row {FIRST}: is 'high'; wanted: a finite number"),
    ("scorer", cell("score", np.nan), f"column 'score', row {FIRST}: is nan; wanted: a finite number"),
    ("scorer", MISSPELT, "has no column 'score' and has a column 'scores'"),
    ("policy", WITHOUT_FIRST, f"column 'id', row {FIRST}: is missing"),
    ("policy", lambda table: table.drop(columns="rank"), "has no column 'rank'; wanted: id, score, rank, kept, copies"),
    ("policy", every("copies", -1), f"column 'copies', row {FIRST}: is .*-1.*; wanted: 0 or more"),
    ("policy", every("copies", 0.5), f"column 'copies', row {FIRST}: is .*0.5.*; wanted: a whole number"),
    ("policy", every("copies", 0), "column 'kept', row p000-00-00000.: is .*True.*; wanted: true where there are"),
    ("policy", every("kept", "yes"), f"column 'kept', row {FIRST}: is 'yes'; wanted: true or false"),
    ("policy", every("rank", 1), f"column 'rank', row {SECOND}: is 1; wanted: 1 to 8, each rank once"),
    ("embedder", WITHOUT_FIRST, r"vectors: float64 of shape \(7, 2\); wanted: floats, a row for each of the 8 images"),
    ("embedder", cell("x", np.nan), f"vectors: .* image {FIRST} is not finite|vectors: object"),
    ("embedder", every("x", np.inf), f"vectors: that of image {FIRST} is not finite"),
    ("embedder", cell("noise", "much"), f"column 'noise', row {FIRST}: is 'much'; wanted: a finite number"),
    ("reader", TWICE, f"column 'id', row {FIRST}, coat: occurs twice"),
    ("reader", cell("value", "green"), f"column 'value', row {FIRST}, coat: is 'green'; wanted: a value of"),
    ("reader", cell("value", None), f"column 'reason', row {FIRST}, coat: is ''; wanted: why there is no value"),
    ("generator", WITHOUT_FIRST, f"column 'id', row {FIRST}: is missing"),
    ("generator", lambda table: table.drop(columns="file"), "has no column 'file'"),
    ("generator", cell("prompt", "a cow"), f"column 'prompt', row {FIRST}: is 'a cow'; wanted: that of its request"),
    ("generator", lambda table: table.iloc[::-1], "its images are not in the order of the requests"),
    ("generator", cell("image_seed", 1), f"column 'image_seed', row {FIRST}: is 1; wanted: its request's"),
    ("generator", cell("file", "no.png"), f"column 'file', row {FIRST}: is 'no.png'; wanted: an existing file"),
    ("generator", lambda table: table.assign(score=1.0), "has a column 'score', which entropy-loop fills itself"),
    ("policy", cell("score", 9.0), f"column 'score', row {FIRST}: is 9.0; wanted: the score that the policy"),
    ("real", TWICE, "column 'id', row r000-00-000000: occurs twice"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change", "message"), REFUSED)
def test_what_does_not_keep_the_contract_is_refused_and_not_recorded(stages, tmp_path, kind, change, message):
    """The plug-in, the column, the row, what is wrong and what is wanted; its stage is not made."""
    who = "judge 'theirs'" if kind == "judge" else f"{kind} 'theirs'"
    with pytest.raises(EntropyLoopError, match=f"^{who}: {message}.*Nothing was recorded"):
        stages(kind, change)
    stages_made = [folder.parent.name for folder in (tmp_path / "out" / "store").glob("g*/receipt.json")]
    assert stages_made
    assert not [name for name in stages_made if name[4:].startswith(f"{PLUGINS[kind][2]}-")]


def tables(root: Path) -> dict[str, bytes]:
    """The tables of a results folder."""
    return {file.name: file.read_bytes() for file in root.glob("*.csv")}


@pytest.mark.parametrize("kind", [kind for kind in PLUGINS if kind not in ("generator", "real")])
def test_what_keeps_the_contract_is_recorded_whatever_the_order_of_rows_and_columns(stages, tmp_path, kind):
    """Backwards the table says the same: every CSV is the same, byte for byte. Only images and
    embeddings have a fixed order."""
    upright = stages(kind, lambda table: table)
    assert any(name[4:].startswith(f"{PLUGINS[kind][2]}-") for name in upright)
    if kind == "embedder":
        return
    first = tables(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "upright")
    stages(kind, lambda table: table.iloc[::-1, ::-1])
    assert tables(tmp_path / "out") == first


def test_a_missing_answer_with_a_reason_stays_missing(stages, tmp_path):
    """It is no zero: n is one less."""

    def unsure(table: pd.DataFrame) -> pd.DataFrame:
        answers = cell("answer", None)(table)
        return answers.assign(reason=np.where(answers["answer"].isna(), "cannot tell", ""))

    stages("judge", unsure)
    rates = pd.read_csv(tmp_path / "out" / "rates.csv").query("set == 'pool' and concept == 'astronaut'")
    assert rates["n"].tolist() == [7, 7]
    assert (rates["reason"].str.contains("1 images could not be judged")).all()
