"""Which arms a study has: the sweep's, hand-written ones, and the controls of a claim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from entropy_loop.errors import ConfigError
from entropy_loop.study.config import Config

UNCURATED = {"curate.policy": {"use": "none"}, "reteach": None}


def written(config: Config) -> Iterator[tuple[str, dict[str, object]]]:
    """(name, what it sets): every combination of the sweep's values, the last axis fastest, then `arms`."""
    axes = [axis for axis in config.sweep if axis != "seed"]
    for values in product(*(config.sweep[axis] for axis in axes)):
        changes = dict(zip(axes, values, strict=True))
        name = "_".join(label(axis, value) for axis, value in changes.items())
        yield name or label("policy", config.curate.policy), changes
    yield from ((arm.name, arm.set) for arm in config.arms)


def label(axis: str, value: object) -> str:
    """A short name for one value of a sweep: top_k-32, or learning_rate-0.0001."""
    if isinstance(value, dict):
        return "-".join(str(value[name]) for name in sorted(value, key=lambda name: (name != "use", name)))
    return str(value) if isinstance(value, str) else f"{axis.rpartition('.')[2]}-{value}"


def controls(study: Mapping[str, Config]) -> dict[str, tuple[str, dict[str, object]]]:
    """Name -> (arm that it starts from, what it sets): the controls that the study lacks (docs/protocol.md, Controls).

    For every arm that selects, by score or by people's picks, a random one that keeps as many; once each for the
    study: regenerate only, real data with equal steps, and, where images pass a codec, the round trip through it
    alone. Raises ConfigError when a control cannot be built.
    """
    found: dict[str, tuple[str, dict[str, object]]] = {}
    for arm, config in study.items():
        if config.policy_plugin().selects:
            name, changes = _random(arm, config)
            if random_control(config) not in study.values():
                found.setdefault(name, (arm, changes))
    first, config = next(iter(study.items()))
    if config.real is None:
        raise ConfigError("controls: the control on real data needs `real:`, for example real: {use: storybook}.")
    found["regenerate_only"] = first, {**UNCURATED, "train.method": "none"}
    found["real_data"] = first, {**UNCURATED, "feedback": {"use": "fresh_real", "real_fraction": 1.0}}
    if config.generator["use"] == "diffusion":
        found["vae_roundtrip"] = first, {**UNCURATED, "generator.use": "vae_roundtrip"}
    return found


def random_control(config: Config) -> Config | None:
    """The same chain with as many images kept blindly; None where nothing is selected, or where how many
    are kept is known only when it runs."""
    policy = config.curate.policy
    if "k" not in policy or not config.policy_plugin().selects:
        return None
    random = {"use": "random_k", "k": policy["k"]}
    return config.model_copy(update={"curate": config.curate.model_copy(update={"policy": random})})


def _random(arm: str, config: Config) -> tuple[str, dict[str, object]]:
    """The control without selection: as many images, as many steps."""
    control = random_control(config)
    if control is None:
        raise ConfigError(
            f"controls: how many images {config.curate.policy['use']} keeps is known only when it runs, so it has no "
            "random control of equal size; use top_k, or `controls: none`."
        )
    old, new = label("policy", config.curate.policy), label("policy", control.curate.policy)
    name = arm.replace(old, new) if old in arm else f"{arm}_{new}"
    return name, {"curate.policy": control.curate.policy}
