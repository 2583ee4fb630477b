"""The feedback chains whose pictures make the labelled set `loop-truth`, and the command that runs them.

    python -m scripts.training.storybook.judges.loop_truth.chains --out DIR [NAME ...]

19 chains take an hour of one core.

All pictures of a chain belong to the same part, so no judge is trained, tuned or thresholded on a chain that it is
tested on. Each `unseen` chain differs from the judge's other chains in one setting (`train-clown-cow`, which also uses
LoRA, is the curator's).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from entropy_loop.worlds.storybook import scene

LINKS = {"riding": " riding ", "next_to": " standing next to "}
ESSAY = ("astronaut", "horse", "riding")


@dataclass(frozen=True)
class Chain:
    """One study. asks: (rider, mount, relation) of each prompt. sets: settings that differ from the main job's.

    at, shown: the generations with labels by eye, and the number of pictures per generation, arm and prompt.
    """

    name: str
    part: str
    seed: int
    asks: tuple[tuple[str, str, str], ...] = (ESSAY,)
    images: int = 96
    generations: int = 10
    at: tuple[int, ...] = ()
    shown: int = 0
    sets: Mapping[str, Any] = field(default_factory=dict)

    def config(self) -> dict[str, Any]:
        """The study's config: the main job's with the chain's settings."""
        prompts = [{"text": text(ask), "role": "target", "concepts": concepts(ask)} for ask in self.asks]
        train = {"method": "full", "start_from": "previous", "max_train_steps": 30, "train_batch_size": 16}
        train |= {"learning_rate": 5.0e-5} | self.sets.get("train", {})
        generator = {"use": "diffusion", "checkpoint": "bundled:storybook", "scheduler": "ddim"}
        generator |= {"num_inference_steps": 20, "guidance_scale": 3.0, "block": min(self.images, 32)}
        return {
            "name": self.name,
            "generations": self.generations,
            "seed": self.seed,
            "images": self.images,
            "threads": 1,
            "evaluation": {"images": 1},
            "prompts": prompts,
            "generator": generator | self.sets.get("generator", {}),
            "train": train,
            "judges": [{"use": "clip", "model": "bundled:storybook-judge"}],
            **{name: value for name, value in self.sets.items() if name not in ("train", "generator")},
        }


def text(ask: tuple[str, str, str]) -> str:
    """'a photograph of an astronaut riding a horse'."""
    rider, mount, relation = ask
    return f"a photograph of {scene.noun(rider)}{LINKS[relation]}{scene.noun(mount)}"


def concepts(ask: tuple[str, str, str]) -> list[str]:
    """The concepts of a prompt."""
    rider, mount, relation = ask
    return [rider, mount, *(["riding"] if relation == "riding" else [])]


def mixed(shift: int, beside: int) -> tuple[tuple[str, str, str], ...]:
    """Every rider riding one mount and standing beside another, without the pairs that the checkpoint never saw."""
    asks = [(rider, scene.MOUNTS[(i + shift) % 8], "riding") for i, rider in enumerate(scene.RIDERS)]
    asks += [(rider, scene.MOUNTS[(i + beside) % 8], "next_to") for i, rider in enumerate(scene.RIDERS)]
    return tuple(ask for ask in asks if ask[:2] not in scene.UNSEEN_PAIRS and ask != ESSAY)


ARMS = {
    "curate": {"scorer": {"use": "clip", "model": "bundled:storybook-curator"}},
    "sweep": {"curate.policy": [{"use": "none"}, {"use": "top_k", "k": 32}, {"use": "random_k", "k": 32}]},
}
OFF_TARGET = (  # each of the essay's concepts is missing in six of eight
    ("astronaut", "horse", "next_to"), ("robot", "horse", "riding"), ("astronaut", "cow", "riding"),
    ("chef", "pig", "next_to"), ("clown", "camel", "next_to"), ("wizard", "zebra", "next_to"),
    ("knight", "elephant", "next_to"), ("cat", "reindeer", "next_to"),
)  # fmt: skip


def rate(value: float, **more: Any) -> dict[str, Any]:
    return {"train": {"learning_rate": value, **more}}


def guidance(value: float) -> dict[str, Any]:
    return {"generator": {"guidance_scale": value}}


EVERY, EVEN = tuple(range(11)), tuple(range(0, 11, 2))
LATE = (6, 7, 8, 10)  # until generation 4 the prompt is the label, of mixed chains for longer

CHAINS = (
    Chain("test-target", "test", 9001, images=128, at=EVERY, shown=22, sets=ARMS),
    Chain("test-others", "test", 9002, OFF_TARGET, images=16, generations=6, at=EVERY[:7], shown=6),
    Chain("unseen-rate", "unseen", 9101, images=64, at=EVEN, shown=24, sets=rate(1e-4)),
    Chain("unseen-pair", "unseen", 9102, (("wizard", "camel", "riding"),), images=64, at=EVEN, shown=24),
    Chain("unseen-guidance", "unseen", 9103, images=64, at=EVEN, shown=24, sets=guidance(2.0)),
    Chain("unseen-lora", "unseen", 9104, images=64, at=EVEN, shown=24, sets=rate(1e-3, method="lora", rank=8)),
    Chain("calibration-target", "calibration", 8001, images=128, at=(0, 3, 5, *LATE, 9), shown=8),
    Chain("calibration-mixed", "calibration", 8002, mixed(5, 2), images=8, at=LATE, shown=1),
    Chain("train-mixed-1", "training", 7001, mixed(1, 6), images=8, at=(10,), shown=1),
    Chain("train-mixed-2", "training", 7002, mixed(3, 0), images=8, at=(10,), shown=1, sets=rate(7e-5)),
    Chain("train-mixed-3", "training", 7003, mixed(6, 4), images=8, at=(10,), shown=1, sets=rate(4e-5)),
    Chain("train-robot-horse", "training", 7004, (("robot", "horse", "riding"),), at=LATE, shown=4),
    Chain("train-target", "training", 7005, at=LATE, shown=4, sets=rate(7e-5)),
    Chain("train-astronaut-zebra", "training", 7006, (("astronaut", "zebra", "next_to"),), at=LATE, shown=4),
    Chain("train-knight-camel", "training", 7007, (("knight", "camel", "riding"),), at=LATE, shown=4, sets=rate(7e-5)),
    Chain("train-chef-horse", "training", 7008, (("chef", "horse", "next_to"),), at=LATE, shown=2, sets=rate(4e-5)),
    Chain(
        "train-wizard-elephant",
        "training",
        7010,
        (("wizard", "elephant", "riding"),),
        at=LATE,
        shown=2,
        sets=rate(1.5e-4),
    ),
    Chain(
        "train-clown-cow",
        "training",
        7011,
        (("clown", "cow", "riding"),),
        at=LATE,
        shown=2,
        sets=rate(1e-3, method="lora", rank=8),
    ),
    Chain("train-cat-reindeer", "training", 7012, (("cat", "reindeer", "riding"),), at=LATE, shown=2),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of chains; all of them if none are named")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--generations", type=int, help="instead of the chains' own; more continue them")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for chain in CHAINS:
        if not options.names or chain.name in options.names:
            path = options.out / f"{chain.name}.yaml"
            path.write_text(yaml.safe_dump(chain.config(), sort_keys=False))
            command = [sys.executable, "-m", "entropy_loop", "run", str(path), "--out", str(options.out / chain.name)]
            if options.generations:
                command += ["--set", f"generations={options.generations}"]
            subprocess.run(command, check=True)  # noqa: S603


if __name__ == "__main__":
    main()
