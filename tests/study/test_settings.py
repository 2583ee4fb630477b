"""The resolved config: complete, and the same study when it is read again."""

from copy import deepcopy

import pytest

from entropy_loop import assets
from entropy_loop.errors import ConfigError
from entropy_loop.plan import plan
from entropy_loop.study import strict_yaml, study
from entropy_loop.study.settings import settings

PIXELS = {
    "name": "pixels",
    "generations": 1,
    "prompts": [{"text": "an astronaut on a horse", "concepts": ["astronaut", "horse"]}],
    "generator": {"use": "diffusion", "checkpoint": "bundled:storybook"},
    "curate": {"scorer": {"use": "clip", "model": "bundled:storybook-curator"}, "policy": {"use": "k_choice", "k": 8}},
    "judges": [{"use": "clip", "model": "bundled:storybook-judge"}],
}
SWEEPS = {
    "one arm": {},
    "policies": {"curate.policy": [{"use": "none"}, {"use": "k_choice", "k": 8}]},
    "a number": {"generator.guidance_scale": [1.0, 3.0]},
    "checkpoints": {"generator.checkpoint": ["bundled:storybook", "some/model"]},
    "regimes": {"feedback.use": ["replace", "accumulate"]},
}


def keys(checked: study.Study) -> dict[str, list[str]]:
    return {run.name: [s.key for g in run.generations for s in g.stages()] for run in plan(checked).chains}


@pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS)
def test_settings_read_again_are_the_same_study(sweep):
    """The written config has the chains of the first one, by name and stage by stage, and is written as itself."""
    meant = study.check({**deepcopy(PIXELS), "sweep": sweep})
    again = study.check(strict_yaml.parse(settings(meant)))
    assert keys(again) == keys(meant)
    assert settings(again) == settings(meant)


def test_defaults_of_plugins_and_revisions_of_bundled_models_stand_in_the_settings():
    """Whoever reads the file alone knows how it was sampled, and which weights were used."""
    resolved = strict_yaml.parse(settings(study.check(deepcopy(PIXELS))))
    assert (resolved["generator"]["num_inference_steps"], resolved["generator"]["guidance_scale"]) == (50, 7.5)
    assert resolved["generator"]["revision"] == assets.REVISIONS["storybook"]
    assert resolved["judges"][0]["revision"] == assets.REVISIONS["storybook-judge"]
    assert resolved["curate"]["scorer"]["revision"] == assets.REVISIONS["storybook-curator"]


def test_another_revision_is_refused():
    """A config that was written for other weights is an error, never run on these in silence."""
    resolved = strict_yaml.parse(settings(study.check(deepcopy(PIXELS))))
    resolved["judges"][0]["revision"] = "0" * 16
    with pytest.raises(ConfigError, match="revision"):
        study.check(resolved)
