"""The model card: README.md beside a generation's weights, with diffusers code that loads them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import yaml

from entropy_loop.contracts import Origin
from entropy_loop.data import EVALUATION, Request
from entropy_loop.plan import Chain, Generation

SHOWN = 4
"""Number of sample images."""


def write(chain: Chain, g: Generation, parent: str, diet: pd.DataFrame, out: Path) -> None:
    """Write the card, unless the generator's weights cannot be loaded without this package. parent: stage folder of the
    model that training started from. diet: one row per training image. All chains that share the stage write the same
    card: it has no date and no path of this machine."""
    generator = chain.config.generator_plugin()
    shown = chain.requests(g.number, EVALUATION)[:SHOWN]
    if generator.origin and (loading := generator.loading(chain.config.train, shown[0])):
        text = _text(chain, g, parent, diet, generator.origin, shown, loading)
        (out / "README.md").write_text(text, encoding="utf-8")


def _text(
    chain: Chain, g: Generation, parent: str, diet: pd.DataFrame, origin: Origin, shown: list[Request], loading: str
) -> str:
    """origin: generation 0's checkpoint. shown: the samples. loading: Python lines that make the first sample."""
    train = chain.config.train
    tags = ["stable-diffusion", "text-to-image", "diffusers", "diffusers-training"]
    tags += ["lora"] if train.method == "lora" else []
    head = {"base_model": origin.checkpoint, "library_name": "diffusers", "tags": tags}
    samples = [f"![{image.prompt}](../{g.sets[EVALUATION].folder}/images/{image.id}.png)" for image in shown]
    counts = Counter(
        (prompt, "real" if real else "generated") for prompt, real in zip(diet["prompt"], diet["real"], strict=True)
    )
    rows = [f"| {prompt} | {kind} | {count} |" for (prompt, kind), count in sorted(counts.items())]
    return f"""---
{yaml.safe_dump(head, sort_keys=False)}---

# Generation {g.number} of a text-to-image model that was fed its own images

Made by entropy-loop to study what becomes of such a model; not meant for use.

- base: `{origin.checkpoint}`{f" at `{origin.revision}`" if origin.revision else ""}
- trained from: `{parent}`

In the folder of this card, this makes the first of the samples below:

```python
{loading}
```

## Samples

{" ".join(samples)}

## Diet

| prompt | images | n |
| --- | --- | --- |
{chr(10).join(rows)}

## Training

```yaml
{yaml.safe_dump(_plain(asdict(train)), sort_keys=False)}```
"""


def _plain(settings: dict[str, object]) -> dict[str, object]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
