"""The resolved config, which a run writes as config.yaml and the report shows."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict

import yaml

from entropy_loop import registry
from entropy_loop.contracts import Plugin
from entropy_loop.errors import ConfigError
from entropy_loop.study import strict_yaml, study
from entropy_loop.study.config import Config
from entropy_loop.study.study import Study


def settings(experiment: Study) -> str:
    """YAML with every default filled in, with plug-ins' options and revisions of bundled models.

    It reads back as the same study. A plug-in is left as it was written when filling it in would change a chain: a
    policy, whose options name its arm, or a checkpoint that the sweep replaces.
    """
    raw, chains = experiment.config.model_dump(mode="json"), _chains(experiment)
    for place, use, plugin in _plugins(experiment.config):
        filled = deepcopy(raw)
        strict_yaml.put(filled, place, {"use": use, **asdict(plugin)}, place)
        try:
            raw = filled if _chains(study.check(filled)) == chains else raw
        except ConfigError:
            continue
    return yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=100)


def _chains(experiment: Study) -> list[tuple[str, list[tuple[str, Plugin]]]]:
    """(chain name, built plug-ins with their places) of every chain."""
    return [
        (point.name, [(place, plugin) for place, _, plugin in _plugins(point.config)]) for point in experiment.points
    ]


def _plugins(config: Config) -> Iterator[tuple[str, str, Plugin]]:
    """(place in the config, name, plug-in) of every plug-in that results depend on."""
    for plugin in registry.plugins_in(config.model_dump()):
        if not plugin.kind.machine:
            yield plugin.place, str(plugin.spec["use"]), registry.build(plugin.kind, plugin.spec, plugin.place)
