"""The attribute reader's measurements as tables, and its model card."""

from __future__ import annotations

from pathlib import Path

from entropy_loop.judges.attributes import load


def diagonals(entry: dict) -> list[tuple[str, dict[str, tuple[int, int]]]]:
    """(answer, version -> (right, n)) for each answer of an attribute that the drawings contain."""
    rows = [
        (answer, {version: (counts[i][i], sum(counts[i])) for version, counts in entry["confusion"].items()})
        for i, answer in enumerate(entry["answers"])
    ]
    return [(answer, cells) for answer, cells in rows if all(n for _, n in cells.values())]


def diagonal_table(result: dict) -> str:
    lines = ["| attribute | answer | n | right, clean | right, through the codec |\n|" + " --- |" * 5]
    for name, entry in result["attributes"].items():
        for answer, cells in diagonals(entry):
            shares = " | ".join(f"{right / n:.3f}" for right, n in cells.values())
            lines.append(f"| {name} | {answer} | {cells['clean'][1]} | {shares} |")
    return "\n".join(lines)


def junk_table(result: dict) -> str:
    names = list(result["attributes"])
    lines = [f"| junk | n | {' | '.join(names)} |\n|" + " --- |" * (len(names) + 2)]
    lines += [
        f"| {kind} | {row['n']} | {' | '.join(str(row[a]) for a in names)} |" for kind, row in result["junk"].items()
    ]
    return "\n".join(lines)


def degradation_table(result: dict) -> str:
    names = list(result["attributes"])
    cells = {
        (r["kind"], r["level"], r["attribute"]): f"{r['right']:.3f} / {r['wrong']:.3f}" for r in result["degradations"]
    }
    lines = [f"| degradation | level | {' | '.join(names)} |\n|" + " --- |" * (len(names) + 2)]
    levels = dict.fromkeys((kind, level) for kind, level, _ in cells)
    lines += [f"| {kind} | {level} | {' | '.join(cells[kind, level, a] for a in names)} |" for kind, level in levels]
    return "\n".join(lines)


def card(folder: Path, result: dict) -> str:
    """The model card."""
    network, training, scenes = load(folder), result["training"], result["scenes"]
    count = sum(p.numel() for p in network.parameters())
    size = (folder / "model.safetensors").stat().st_size / 1e6
    last, seeds, tripped = training["history"][-1], scenes["seeds"], training["through_codec"]
    minutes = last["seconds"] / 60
    cuts = ", ".join(f"{name} {entry['threshold']:.2f}" for name, entry in result["attributes"].items())
    return f"""---
license: apache-2.0
library_name: timm
---
# storybook-attributes

Reads from a 64 x 64 picture of the drawn storybook world which coat, suit and background it shows, which way its
figures face and how they stand to each other. A small residual network with mean pooling, in timm's own format:
{count:,} parameters, {size:.1f} MB in half precision. It knows this world and nothing else, and shares neither
weights nor architecture, seeds or scenes with the checkpoint, the curator and the judge.

```python
import json

import numpy as np
import timm
import torch
from PIL import Image

network = timm.create_model("local-dir:storybook-attributes", pretrained=True).eval()
pixels = torch.from_numpy(np.array(Image.open("picture.png").convert("RGB"))).permute(2, 0, 1)[None] / 127.5 - 1
with torch.inference_mode():
    logits = network(pixels)[0]
with open("storybook-attributes/attributes.json") as file:
    attributes = json.load(file)["attributes"]
sizes = [len(one["answers"]) for one in attributes.values()]
for (name, one), own in zip(attributes.items(), logits.split(sizes)):
    print(name, one["answers"][own.argmax()], own.softmax(0).max().item())
```

Input: RGB in [-1, 1]. Output: the logits of all answers of all attributes, in the order of `attributes.json`; each
attribute has a softmax of its own over its values, `absent` (there is no animal, so no coat) and `unreadable`. A
value is given when it is the likeliest answer and its probability reaches the threshold: at least 1/2, and so high
that at most one in 200 pictures of junk is read as a value
({cuts}).

**Data.** {training["scenes"]:,} drawn scenes with known truth (album {seeds["train"]}), coat, suit, background,
facing, rider and mount uniform, so that rare values are learnt as well as common ones; {tripped:,} of them also
through the checkpoint's codec (once, three times, or with shaken latents), shown as often as the clean ones. Moved,
tinted, mildly blurred, noised and compressed, they keep their truth. 16 % of each batch is junk (noise, blank,
scrambled, blurred, faded, drowned, melted, decoded noise): unreadable.

**Training.** `scripts/training/storybook/attributes/train.py`, one CPU thread, {training["steps"]:,} steps of
{training["batch"]} in {minutes:.0f} minutes on a shared core; cross-entropy summed over the five attributes, at the end
{last["loss"]:.3f}.

**Measured** on {scenes["n"]:,} drawings of album {seeds["report"]} (attributes uniform, relations as in the
world), each clean and once through the codec:

{diagonal_table(result)}

Junk taken for a value, of n pictures of each kind:

{junk_table(result)}

Share of right / wrong readings on degraded drawings (n = {result["degradations"][0]["n"]}); the rest is unreadable:

{degradation_table(result)}

`attributes.json` has the full confusion matrices (rows: truth; columns: answer).

**Limits.** Measured on drawings, not on what a model makes of them: a figure that is half one thing and half another
has no true value, and the reader will often name one. Thresholds refuse junk, not every blend.

Licence: Apache-2.0.
"""
