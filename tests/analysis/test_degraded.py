"""What the page says of a judge on degraded images."""

import hashlib
import json
from typing import Any

import pytest

from entropy_loop import assets
from entropy_loop.analysis.degraded import degradation_series
from entropy_loop.plan import Plan, plan
from entropy_loop.study import study

CONFIG: dict[str, Any] = {
    "name": "judges",
    "generations": 1,
    "prompts": [{"text": "an astronaut riding a horse", "concepts": ["astronaut", "horse", "riding"]}],
    "generator": {"use": "categorical", "rates": {}},
    "judges": [{"use": "clip", "model": "bundled:storybook-judge"}],
}


def planned(**changes: Any) -> Plan:
    return plan(study.check({**CONFIG, **changes}))


def measured(concept: str) -> dict[tuple[str, float], float]:
    """(kind, level) -> sensitivity in the bundled judge's calibration file."""
    known = json.loads((assets.find("bundled:storybook-judge") / "calibration.json").read_text())
    return {(r["kind"], r["level"]): r["sensitivity"] for r in known["degradations"] if r["concept"] == concept}


def test_c_of_falling_sensitivity_alone_is_one_minus_their_ratio():
    """For all concepts together, level by level: 1 - Se(degraded) / Se(clean), 0 on clean images."""
    (series,) = degradation_series(planned()).values()
    sensitivities = measured("all")
    expected = [1 - value / sensitivities["none", 0] for value in sensitivities.values()]
    assert [level.c.value for level in series.levels] == pytest.approx(expected)
    assert series.levels[0].name == "clean"
    assert max(expected) > 0.01
    assert f"would reach {max(expected):.2f} on this series (vae round trips 8)" in series.worst


def test_a_series_holds_only_the_studys_concepts():
    """Of the sixteen and more that the judge knows, those of the prompts, and the joint one last."""
    (series,) = degradation_series(planned()).values()
    assert series.concepts == ["astronaut", "horse", "riding", "all"]
    prompts = [{"text": "a horse", "concepts": ["horse"]}]
    (series,) = degradation_series(planned(prompts=prompts)).values()
    assert series.concepts == ["horse"]
    assert [level.c.value for level in series.levels] == pytest.approx(
        [1 - value / measured("horse")["none", 0] for value in measured("horse").values()]
    )


def test_what_is_not_calibrated_has_no_series():
    """A judge without a calibration file has none, nor have concepts that are asked in the config's own words."""
    assert degradation_series(planned(judges=[{"use": "exact"}])) == {}
    own = {name: {"yes": [f"a {name}"], "no": ["nothing"]} for name in ("astronaut", "horse", "riding")}
    assert degradation_series(planned(concepts=own)) == {}


def test_a_calibration_file_brings_its_own_series(tmp_path):
    """Also for a concept that is asked in the config's own words, if the file was fitted with them; the model's own
    series, of other texts and thresholds, is left out."""
    texts = {"yes": ["a horse"], "no": ["a cow"]}
    rows = [("none", 0, 0.8), ("gaussian_noise_sigma", 0.2, 0.6)]
    content = {
        "format": 1,
        "judge": {"model": "bundled:storybook-judge", "pretrained": None}
        | {"revision": assets.REVISIONS["storybook-judge"]},
        "concepts": {"horse": texts | {"threshold": 0.5}},
        "degradations": [
            {"kind": kind, "level": level, "concept": "horse", "n": 90, "sensitivity": se, "specificity": 1}
            for kind, level, se in rows
        ],
    }
    path = tmp_path / "calibration.json"
    path.write_text(json.dumps(content))
    revision = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    judge = CONFIG["judges"][0] | {"calibration": str(path), "calibration_revision": revision}
    prompts = [{"text": "a horse", "concepts": ["horse"]}]
    (series,) = degradation_series(planned(prompts=prompts, judges=[judge], concepts={"horse": texts})).values()
    assert (series.concepts, series.images) == (["horse"], 90)
    assert [level.c.value for level in series.levels] == pytest.approx([0, 0.25])
