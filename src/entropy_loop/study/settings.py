"""The resolved config: what a run writes as config.yaml and the page shows."""

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
    """YAML with every default filled in, those of the plug-ins and the revisions of bundled models, too.

    Read again it is the same study: a plug-in stands as it was written where filling it in would change a
    chain, as for a policy (its options name its arm) or a checkpoint that the sweep exchanges.
    """
    raw, meant = experiment.config.model_dump(mode="json"), _chains(experiment)
    for place, use, plugin in _plugins(experiment.config):
        filled = deepcopy(raw)
        strict_yaml.put(filled, place, {"use": use, **asdict(plugin)}, place)
        try:
            raw = filled if _chains(study.check(filled)) == meant else raw
        except ConfigError:
            continue
    return yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, width=100)


def _chains(experiment: Study) -> list[tuple[str, list[tuple[str, Plugin]]]]:
    """The chains by name, each with its plug-ins as they are built."""
    return [
        (point.name, [(place, plugin) for place, _, plugin in _plugins(point.config)]) for point in experiment.points
    ]


def _plugins(config: Config) -> Iterator[tuple[str, str, Plugin]]:
    """(place in the config, name, plug-in) of everything that a result depends on."""
    for one in registry.plugins_in(config.model_dump()):
        if not one.kind.machine:
            yield one.place, str(one.spec["use"]), registry.build(one.kind, one.spec, one.place)
