"""External scorers: real processes, well-behaved and not."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from entropy_loop import registry
from entropy_loop.data import SAMPLES, Concept, Prompt, Samples
from entropy_loop.errors import ConfigError, EntropyLoopError

PROMPT = Prompt("a horse on the moon", "target", ("horse", "moon"))
DOCS = Path("docs/external-scorers.md").read_text()


def ignore(share: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture
def samples(tmp_path) -> Samples:
    """Three grey images, each brighter than the one before."""
    for i in range(3):
        Image.new("RGB", (4, 4), (50 * i, 50 * i, 50 * i)).save(tmp_path / f"{i}.png")
    rows = [(f"i{i}", PROMPT.text, i, f"{i}.png", "") for i in range(3)]
    pd.DataFrame(rows, columns=list(SAMPLES)).to_parquet(tmp_path / "samples.parquet")
    return Samples(tmp_path)


def plugin(kind: str, tmp_path: Path, code: str, **options: object) -> object:
    (tmp_path / "scorer.py").write_text(code)
    line = [sys.executable, str(tmp_path / "scorer.py")]
    return registry.build(registry.KINDS[kind], {"use": "command", "name": "mine", "command": line, **options})


def test_the_scorer_of_the_docs_scores(samples, tmp_path):
    """The complete example: brighter images score higher, and the numbers are the mean grey."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    scores = plugin("scorer", tmp_path, code, range=[0, 1]).score(samples, (PROMPT.text,), ignore)["score"].tolist()
    assert scores == pytest.approx([0.0, 50 / 255, 100 / 255])


def test_a_judge_answers_for_every_concept(samples, tmp_path):
    """The same example as a judge: a score and an answer per image and concept, against the threshold."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    judge = plugin("judge", tmp_path, code, threshold=0.3)
    table = judge.judge(samples, (PROMPT,), (Concept("horse"), Concept("moon")), ignore)
    assert list(table["concept"]) == ["horse", "moon"] * 3
    assert table["answer"].tolist() == [False, False, False, False, True, True]


ANSWER = "import json, sys\nrows = [json.loads(line) for line in sys.stdin]\n"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("[print(json.dumps({'id': r['id'], 'score': 1})) for r in rows[1:]]", "did not answer i0"),
        ("[print(json.dumps({'id': r['id'], 'score': 1})) for r in rows + rows[:1]]", "answered twice: i0"),
        ("[print(json.dumps({'id': i, 'score': 1})) for i in ('i0', 'i1', 'i2', 'i9')]", "not asked: i9"),
        ("[print(json.dumps({'id': r['id'], 'score': float('nan')})) for r in rows]", "not finite"),
        ("[print(json.dumps({'id': r['id'], 'score': 7})) for r in rows]", "outside its range"),
        ("print('loading the model ...')", "line 1 is no"),
        ("print('[1, 2]')", "line 1 is no"),
        ("sys.exit('no GPU here')", "(?s)code 1; nothing was recorded.*no GPU here"),
        ("import time; time.sleep(60)", "not finished after 2 s"),
    ],
)
def test_output_that_is_no_answer_is_an_error(samples, tmp_path, code, message):
    """Missing, double, foreign, infinite or outside answers, noise, failure and silence each have a clear message."""
    scorer = plugin("scorer", tmp_path, ANSWER + code, range=[0, 1], timeout=2)
    with pytest.raises(EntropyLoopError, match=message):
        scorer.score(samples, (PROMPT.text,), ignore)


def test_a_program_that_is_not_there_is_refused_before_the_run():
    """With its name."""
    scorer = registry.build(registry.SCORER, {"use": "command", "name": "mine", "command": ["no-such-program"]})
    with pytest.raises(ConfigError, match="no program 'no-such-program'"):
        scorer.ready(())


def test_a_command_that_selects_may_not_judge(toy):
    """The same command as curator and judge is refused like any other model."""
    from entropy_loop.study import study

    same = {"use": "command", "name": "mine", "command": ["python3", "scorer.py"]}
    curate = {"scorer": same, "policy": {"use": "top_k", "k": 2}}
    with pytest.raises(ConfigError, match="is also the curator"):
        study.load(toy(judges=[same], curate=curate))
