import pytest

from entropy_loop.errors import ConfigError
from entropy_loop.study.study import load

WORLD = {"use": "categorical", "rates": {"astronaut": 0.9, "horse": 0.7}}
TOP = {"use": "top_k", "k": 2}
CURATE = {"scorer": {"use": "exact"}}


def arms(path) -> list[str]:
    return [point.arm for point in load(path).points]


def test_hand_written_arms_stand_beside_the_sweep(toy):
    """An arm sets what it says and leaves the rest as the study has it."""
    written = [{"name": "from_base", "set": {"train.start_from": "base", "images": 4}}]
    points = load(toy(sweep={"curate.policy": [{"use": "none"}, {"use": "random_k", "k": 2}]}, arms=written)).points
    assert [point.arm for point in points] == ["none", "random_k-2", "from_base"]
    assert (points[2].config.train.start_from, points[2].config.images) == ("base", 4)
    assert points[2].config.curate.policy == {"use": "none"}


def test_automatic_controls_are_added_once_each(toy):
    """Every selecting arm gets its random control, the study regenerate-only and real data with equal steps."""
    sweep = {
        "curate.policy": [{"use": "none"}, TOP, {"use": "bottom_k", "k": 2}, {"use": "top_k", "k": 3}],
        "seed": [0, 1],
    }
    points = load(toy(sweep=sweep, curate=CURATE, real=WORLD, controls="auto")).points
    assert list(dict.fromkeys(point.arm for point in points)) == [
        "none", "top_k-2", "bottom_k-2", "top_k-3", "random_k-2", "random_k-3", "regenerate_only", "real_data",
    ]  # fmt: skip
    assert len(points) == 2 * 8
    by_arm = {point.arm: point.config for point in points}
    assert by_arm["regenerate_only"].train.method == "none"
    assert by_arm["real_data"].feedback == {"use": "fresh_real", "real_fraction": 1.0}
    assert by_arm["random_k-3"].curate.policy == {"use": "random_k", "k": 3}


def test_a_control_that_stands_in_the_study_is_not_added_again(toy):
    """A random arm of the user's own, of equal size, is the control."""
    sweep = {"curate.policy": [TOP, {"use": "random_k", "k": 2}]}
    assert arms(toy(sweep=sweep, curate=CURATE, real=WORLD, controls="auto")).count("random_k-2") == 1


def test_the_control_of_an_arm_keeps_the_rest_of_the_arm(toy):
    """In a study of regimes every selecting arm is held against a random one under its own regime."""
    sweep = {"feedback": [{"use": "replace"}, {"use": "accumulate"}], "curate.policy": [TOP]}
    points = load(toy(sweep=sweep, curate=CURATE, real=WORLD, controls="auto")).points
    by_arm = {point.arm: point.config for point in points}
    assert by_arm["accumulate_random_k-2"].feedback == {"use": "accumulate"}
    assert by_arm["replace_random_k-2"].feedback == {"use": "replace"}


def test_a_control_that_cannot_be_built_is_refused(toy):
    """A threshold keeps a number that nobody knows in advance; real data must be named."""
    threshold = {"scorer": {"use": "exact"}, "policy": {"use": "threshold", "score": 1.0}}
    with pytest.raises(ConfigError, match="no random control of equal size"):
        load(toy(curate=threshold, real=WORLD, controls="auto"))
    with pytest.raises(ConfigError, match="needs `real:`"):
        load(toy(controls="auto"))


def test_a_regime_with_real_images_needs_to_know_where_they_come_from(toy):
    """mix_real without `real:` is refused before anything is made."""
    with pytest.raises(ConfigError, match="real: missing"):
        load(toy(feedback={"use": "mix_real"}))
