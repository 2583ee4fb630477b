"""The resolved config: what a run writes as config.yaml and the page shows."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict
from typing import Any

import yaml

from entropy_loop import strict_yaml, study
from entropy_loop.config import Config
from entropy_loop.errors import ConfigError
from entropy_loop.study import Study


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


def _chains(experiment: Study) -> list[tuple[str, list[tuple[str, str, Any]]]]:
    """The chains by name, each with its plug-ins as they are built."""
    return [(point.name, [*_plugins(point.config)]) for point in experiment.points]


def _plugins(config: Config) -> Iterator[tuple[str, str, Any]]:
    """(place in the config, name, plug-in)."""
    yield "generator", config.generator["use"], config.generator_plugin()
    yield "feedback", config.feedback["use"], config.regime_plugin()
    yield "curate.policy", config.curate.policy["use"], config.policy_plugin()
    if scorer := config.curate.scorer:
        yield "curate.scorer", scorer["use"], config.scorer_plugin()
    if real := config.real:
        yield "real", real["use"], config.real_plugin()
    if embedder := config.measures.embedder:
        yield "measures.embedder", embedder["use"], config.embedder_plugin()
    if reader := config.measures.reader:
        yield "measures.reader", reader["use"], config.reader_plugin()
    if real := config.measures.real:
        yield "measures.real", real["use"], config.held_out_plugin()
    for i, judge in enumerate(config.judge_plugins()):
        yield f"judges.{i}", config.judges[i]["use"], judge
