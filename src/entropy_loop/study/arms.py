"""The arms of a study: those of the sweep, hand-written ones, and the controls of a claim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

from entropy_loop.errors import ConfigError
from entropy_loop.study.config import Config

UNCURATED = {"curate.policy": {"use": "none"}, "reteach": None}


def written(config: Config) -> Iterator[tuple[str, dict[str, object]]]:
    """(name, changes) of every combination of the sweep's values, the last axis fastest, then of `arms`."""
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
    """Name -> (arm to start from, changes) of the controls that the study lacks (docs/protocol.md, Controls).

    Each arm that selects, by score or by people's picks, gets a random one that keeps as many. The study gets one each
    of: regenerate only, real data with equal steps, and, for a diffusion generator, the VAE round trip. Raises
    ConfigError when a control cannot be built.
    """
    missing: dict[str, tuple[str, dict[str, object]]] = {}
    for arm, config in study.items():
        if config.policy_plugin().selects:
            name, changes = _random(arm, config)
            if random_control(config) not in study.values():
                missing.setdefault(name, (arm, changes))
    first, config = next(iter(study.items()))
    if config.real is None:
        raise ConfigError("controls: the control on real data needs `real:`, for example real: {use: storybook}.")
    missing["regenerate_only"] = first, {**UNCURATED, "train.method": "none"}
    missing["real_data"] = first, {**UNCURATED, "feedback": {"use": "fresh_real", "real_fraction": 1.0}}
    if config.generator["use"] == "diffusion":
        missing["vae_roundtrip"] = first, {**UNCURATED, "generator.use": "vae_roundtrip"}
    return missing


def random_control(config: Config) -> Config | None:
    """The same config with as many images kept at random; None when its policy does not select, or when the number of
    kept images is known only at run time."""
    policy = config.curate.policy
    if "k" not in policy or not config.policy_plugin().selects:
        return None
    random = {"use": "random_k", "k": policy["k"]}
    return config.model_copy(update={"curate": config.curate.model_copy(update={"policy": random})})


def _random(arm: str, config: Config) -> tuple[str, dict[str, object]]:
    """Name and changes of an arm's random control. Raises ConfigError when there is none."""
    control = random_control(config)
    if control is None:
        raise ConfigError(
            f"controls: how many images {config.curate.policy['use']} keeps is known only when it runs, so it has no "
            "random control of equal size; use top_k, or `controls: none`."
        )
    old, new = label("policy", config.curate.policy), label("policy", control.curate.policy)
    name = arm.replace(old, new) if old in arm else f"{arm}_{new}"
    return name, {"curate.policy": control.curate.policy}
