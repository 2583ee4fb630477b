"""The promises of the house, one test each. They run the real loop with the toy generator; the promises that
need real images run on the bundled checkpoint in test_bundled.py. At the end stand those closed forms of docs/laws.md
that the self-check does not carry through the loop: policies, drift and corrected rates by themselves."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from scipy.optimize import brentq

from entropy_loop.commands import experiment
from entropy_loop.curation import KChoice, RandomK, TopK
from entropy_loop.data import ALL, POOL
from entropy_loop.metrics.change import change_rate
from entropy_loop.metrics.corrected import corrected
from entropy_loop.metrics.nulls import Drift, neutral
from entropy_loop.plan import Plan, plan
from entropy_loop.regimes import MixReal, neutral_diet
from entropy_loop.study import study

TABLES = ("rates.csv", "changes.csv", "images.parquet", "judgements.parquet")
OTHER_JUDGE = {"use": "clip", "model": "ViT-B-32", "pretrained": "openai"}
LAWS = Path("docs/laws.md").read_text(encoding="utf-8")
TOY = yaml.safe_load(Path("configs/toy.yaml").read_text())


def planned(**changes: object) -> Plan:
    return plan(study.check({**TOY, **changes}))


def keys_by_verb(of: Plan) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    for stage in of.stages().values():
        keys.setdefault(stage.name, []).append(stage.key)
    return keys


def quiet(event: str, stage: object, share: float) -> None:
    """A listener that says nothing."""


def tables_of(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in TABLES}


def test_the_same_config_has_the_same_keys_in_another_process_and_folder(tmp_path: Path) -> None:
    """Keys are a function of the config alone: not of the process, its hash seed or the place."""
    code = (
        "import sys, json; from pathlib import Path\n"
        "from entropy_loop.study import study; from entropy_loop.plan import plan\n"
        "print(json.dumps(list(plan(study.load(Path(sys.argv[1]))).stages())))"
    )
    file = Path("configs/toy.yaml").resolve()
    result = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        cwd=tmp_path, env={**os.environ, "PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(result.stdout) == list(planned().stages())


@pytest.mark.parametrize(
    ("change", "remade"),
    [
        ({"name": "another"}, set()),
        ({"judges": [{"use": "exact"}, OTHER_JUDGE]}, {"recognise-pool", "recognise-evaluation"}),
        ({"curate": {"scorer": None}, "sweep": {"curate.policy": TOY["sweep"]["curate.policy"][::2]}}, set()),
        ({"evaluation": {"images": 8}}, {"generate-evaluation", "recognise-evaluation"}),
        ({"generations": 7}, {"generate-pool", "generate-evaluation", "recognise-pool", "recognise-evaluation",
                              "score", "curate", "train"}),
    ],
    ids=["name", "second judge", "fewer arms", "evaluation set", "longer"],
)  # fmt: skip
def test_a_changed_field_remakes_only_what_reads_it(change: dict[str, object], remade: set[str]) -> None:
    """A stage's key holds what the stage reads and nothing else; a longer run continues a shorter one."""
    before, after = keys_by_verb(planned()), keys_by_verb(planned(**change))
    assert {verb for verb in after if set(after[verb]) - set(before[verb])} == remade
    if change == {"generations": 7}:
        assert set(planned().stages()) - set(planned(**change).stages()) == set()


def test_arms_share_what_they_have_in_common() -> None:
    """Generation 0 is made and measured once per seed; replace and accumulate share the first feedback step."""
    assert len(keys_by_verb(planned())["base"]) == 1
    assert sum(s.generation == 0 and s.name == "generate-pool" for s in planned().stages().values()) == 1
    regimes = planned(sweep={"feedback": [{"use": "replace"}, {"use": "accumulate"}]})
    trained = [s.generation for s in regimes.stages().values() if s.name == "train"]
    assert trained.count(1) == 1
    assert trained.count(2) == 2


def test_a_second_run_makes_nothing(tmp_path: Path) -> None:
    """Started again, a finished run changes no byte and no file time, and never loads torch."""
    command = [sys.executable, "-m", "entropy_loop", "run", "configs/toy.yaml", "--out", str(tmp_path / "toy")]
    subprocess.run(command, check=True, capture_output=True)
    before = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "toy" / "store").rglob("*") if p.is_file()}
    tables, report = tables_of(tmp_path / "toy"), (tmp_path / "toy" / "report.html").read_bytes()
    assert len(before) > 100
    code = "import sys, entropy_loop.cli as cli\ntry: cli.main()\nfinally: assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, *command[3:]], check=True, capture_output=True)
    after = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in (tmp_path / "toy" / "store").rglob("*") if p.is_file()}
    assert after == before
    assert (tables_of(tmp_path / "toy"), (tmp_path / "toy" / "report.html").read_bytes()) == (tables, report)


def test_the_pool_is_measured_and_not_the_kept_images(tmp_path: Path) -> None:
    """Under top-k every kept image shows everything, yet the rate of generation 0 is the whole pool's."""
    finished = experiment.carry_out(planned(), tmp_path / "toy", quiet)
    images, rates = finished.tables.images, finished.tables.rates
    pool = images[(images["run"] == "top_k-32-seed0") & (images["generation"] == 0) & (images["set"] == POOL)]
    row = rates[(rates["run"] == "top_k-32-seed0") & (rates["generation"] == 0) & (rates["concept"] == ALL)]
    row = row[row["set"] == POOL].iloc[0]
    assert (pool["score"][pool["kept"].astype(bool)] == 3).all()
    assert (row["n"], row["hits"]) == (128, int((pool["score"] == 3).sum()))
    assert row["hits"] < 128


def test_fewer_images_are_the_first_of_more_images(tmp_path: Path) -> None:
    """Image i of a pool does not depend on how many are asked for."""
    few, many = (
        experiment.carry_out(
            planned(generations=1, images=n, sweep={"curate.policy": [{"use": "none"}]}), tmp_path / str(n), quiet
        ).tables.images
        for n in (16, 128)
    )
    few, many = (table[(table["generation"] == 0) & (table["set"] == POOL)] for table in (few, many))
    pd.testing.assert_frame_equal(few.reset_index(drop=True), many.head(16).reset_index(drop=True))


def test_arms_share_noise_and_chains_do_not() -> None:
    """Common random numbers within a seed; nothing in common between seeds."""
    runs = planned(sweep={**TOY["sweep"], "seed": [0, 1]}).chains
    noise = {run.name: [r.seed for g in range(6) for r in run.requests(g, POOL)] for run in runs}
    assert noise["none-seed0"] == noise["top_k-32-seed0"]
    assert len(set(noise["none-seed0"])) == 6 * 128
    assert not set(noise["none-seed0"]) & set(noise["none-seed1"])


def test_the_evaluation_set_has_the_same_noise_in_every_generation_and_the_pool_fresh_noise() -> None:
    """The eye can follow one evaluation seed; every rate comes from fresh pools."""
    run = planned().chains[0]
    evaluation = [[r.seed for r in run.requests(g, "evaluation")] for g in range(6)]
    pools = [{r.seed for r in run.requests(g, POOL)} for g in range(6)]
    assert all(seeds == evaluation[0] for seeds in evaluation)
    assert len(set.union(*pools)) == sum(map(len, pools))


def test_top_k_keeps_exactly_k_and_breaks_ties_by_id() -> None:
    """The k best, any row order; among equals the smaller id."""
    scores = pd.DataFrame({"id": list("edcba"), "score": [1.0, 2.0, 2.0, 2.0, 0.0]})
    for rows in (scores, scores.iloc[::-1], scores.sample(frac=1, random_state=3)):
        chosen = TopK(k=2)(rows.reset_index(drop=True), seed=0)
        assert sorted(chosen.loc[chosen["kept"], "id"]) == ["b", "c"]


def test_random_k_ignores_scores() -> None:
    """The same seed picks the same ids whatever the scores and the row order; another seed picks others."""
    ids = [f"i{n:02d}" for n in range(40)]
    picked = []
    for values, seed in ((np.arange(40.0), 5), (-np.arange(40.0), 5), (np.zeros(40), 6)):
        chosen = RandomK(k=10)(pd.DataFrame({"id": ids, "score": values}).sample(frac=1, random_state=1), seed=seed)
        picked.append(set(chosen.loc[chosen["kept"], "id"]))
    assert len(picked[0]) == 10
    assert picked[0] == picked[1] != picked[2]


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["plan", "configs/astronaut.yaml"], ["plan", "configs/astronaut-sd15.yaml"],
     ["report"], ["list"]],
    ids=lambda arguments: " ".join(arguments),
)  # fmt: skip
def test_help_plan_report_and_list_never_import_torch(arguments: list[str], tmp_path: Path) -> None:
    """Commands that only report must answer at once, on a laptop without a GPU."""
    if arguments == ["report"]:
        experiment.carry_out(planned(generations=1), tmp_path / "toy", quiet)
        arguments = ["report", str(tmp_path / "toy")]
    code = (
        "import sys, entropy_loop.cli as cli\ntry: cli.main()\nfinally: print('torch' in sys.modules, file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert result.stderr.strip().endswith("False")
    assert result.stdout


# ---- closed forms ------------------------------------------------------------------------------------


def copies(policy: TopK | KChoice, scores: np.ndarray, seed: int = 0) -> np.ndarray:
    """How often each image of a pool with these scores is passed on, int array (images,)."""
    pool = pd.DataFrame({"id": [f"{i:06d}" for i in range(len(scores))], "score": scores})
    return policy(pool, seed).sort_values("id")["copies"].to_numpy()


def test_the_best_of_a_large_pool_have_the_moments_that_docs_laws_tells() -> None:
    """docs/laws.md, E9: each row of its table, with r = 1 and .6, in a pool of 50,000, within 4 standard errors."""
    rows = re.findall(r"^\| (\.\d+) \| (\d?\.\d+) \| (\.\d+) \| (\.\d+) \| \d\.\d+ \|$", LAWS, re.MULTILINE)
    assert len(rows) == 3
    score, rest = np.random.default_rng(12).standard_normal((2, 50_000))
    for share, intensity, whole, part in ((float(cell) for cell in row) for row in rows):
        best = copies(TopK(share), score) == 1
        for r, left in ((1.0, whole), (0.6, part)):
            trait = (r * score + math.sqrt(1 - r**2) * rest)[best]
            squares, room = (trait - trait.mean()) ** 2, 4 / math.sqrt(len(trait))
            assert trait.mean() == pytest.approx(r * intensity, abs=room * trait.std())
            assert squares.mean() == pytest.approx(left, abs=room * squares.std())


def test_choice_among_many_tilts_a_pool_by_its_rewards() -> None:
    """docs/laws.md, E10, K large: r = beta x moves the mean of a normal trait by beta and leaves its variance."""
    trait, beta = np.random.default_rng(3).standard_normal(20_000), 0.5
    chosen = np.repeat(trait, copies(KChoice(8000, candidates=300, beta=beta), trait))
    error = 1 / math.sqrt(8000) + 1 / math.sqrt(20_000)
    assert chosen.mean() - trait.mean() == pytest.approx(beta, abs=4 * error)
    assert chosen.var() == pytest.approx(trait.var(), abs=4 * math.sqrt(2) * error)


def test_choice_beside_real_images_comes_to_rest_where_the_law_says() -> None:
    """docs/laws.md, E10, K large: half of each diet chosen, half real at .3; p = (1 - eta) p_ref Z / (Z - eta e^r)."""
    images, real, eta, reward = 4000, 0.3, 0.5, 1.0
    diet, rng = neutral_diet(MixReal(1 - eta), images, real), np.random.default_rng(0)
    rate, seen = real, []
    for step in range(12):
        shows = (np.arange(images) < round(rate * images)).astype(float)
        kept = shows @ copies(KChoice(images, candidates=100, beta=reward), shows, seed=step) / images
        rate = float(diet([np.array([kept])], rng)[0])
        seen.append(rate)

    def part(z: float, share: float, r: float) -> float:
        return (1 - eta) * share * z / (z - eta * math.exp(r))

    most = eta * math.exp(reward)
    z = brentq(lambda z: part(z, real, reward) + part(z, 1 - real, 0) - 1, most * 1.0001, 100)
    assert np.mean(seen[6:]) == pytest.approx(part(z, real, reward), abs=0.01)
    assert part(z, real, reward) > real + 0.2


def test_drift_ends_with_all_or_nothing() -> None:
    """docs/laws.md, E11: after many generations all images show the concept, in a share V_0 of the chains, or none."""
    first = np.full(10_000, 3)
    last = neutral(first, 10, Drift(10, lambda kept, rng: kept[-1]), 150, np.random.default_rng(5))[:, -1]
    assert set(last) == {0.0, 1.0}
    assert last.mean() == pytest.approx(0.3, abs=4 * math.sqrt(0.3 * 0.7 / 10_000))


def test_false_alarms_shrink_c_by_a_known_factor() -> None:
    """docs/laws.md, C2: c of corrected rates is c as seen times V1/(V1 - FPR), V1 as seen."""
    (hits1, hits2), n, refused = (70, 50), 100, (80, 100)
    v1, v2 = (corrected(hits, n, (95, 100), refused).rate for hits in (hits1, hits2))
    seen, false_alarms = change_rate(hits1, n, hits2, n), 0.2
    assert v1
    assert v2
    assert seen
    assert 1 - v2 / v1 == pytest.approx(seen * 0.7 / (0.7 - false_alarms))
