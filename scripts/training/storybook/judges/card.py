"""What the calibration of a judge says, as tables and as its model card."""

from __future__ import annotations

import textwrap
from pathlib import Path

from scripts.training.storybook.judges.claims import ESSAY
from scripts.training.storybook.judges.model import WEIGHTS, Recipe, Recogniser

SCORE = (
    "score = logsumexp(logits of the yes texts) - logsumexp(logits of the no texts) in float32, "
    "logits = exp(logit_scale) * cosine(image, text); the answer is yes if score > threshold"
)
SCENES = (
    "per set 2,400 scenes with relations in fixed shares (2/7 riding, 2/7 next to, 1/7 each rider alone, "
    "mount alone, empty) and all else as in the world, and 600 around 'an astronaut riding a horse' "
    "(250 of it, 350 that share some of its words); odd ones went through the codec once; none was trained on"
)


def table_of(result: dict) -> str:
    """The calibration as a Markdown table."""
    lines = ["| concept | threshold | n+ | sensitivity | n- | specificity | junk taken |" + "\n|" + " --- |" * 7]
    for name, row in {**result["concepts"], **result["joint"]}.items():
        se, sp = (
            f"{row[k]:.3f} ({row[f'{k}_low']:.3f}-{row[f'{k}_high']:.3f})" for k in ("sensitivity", "specificity")
        )
        cut = f"{row['threshold']:.2f}" if "threshold" in row else "-"
        taken = f"{row['junk_false_positives']} of {row['junk']}"
        lines.append(f"| {name} | {cut} | {row['positives']} | {se} | {row['negatives']} | {sp} | {taken} |")
    return "\n".join(lines)


def degradation_table(result: dict) -> str:
    """Sensitivity / specificity of the essay's three concepts and their conjunction at each level."""
    rows = result["degradations"]
    cells = {(r["kind"], r["level"], r["concept"]): f"{r['sensitivity']:.3f} / {r['specificity']:.3f}" for r in rows}
    levels = list(dict.fromkeys((kind, level) for kind, level, _ in cells))
    head = f"| degradation | level | {' | '.join(ESSAY)} |\n|" + " --- |" * 6
    return "\n".join([head, *(f"| {k} | {v} | {' | '.join(cells[k, v, c] for c in ESSAY)} |" for k, v in levels)])


def loop_table(result: dict) -> str:
    """Sensitivity / specificity in each generation of loop-truth's test part, with the numbers they rest on."""
    cells = {(r["generation"], r["concept"]): _cell(r) for r in result["loop_truth"]}
    generations = list(dict.fromkeys(generation for generation, _ in cells))
    head = f"| generation | {' | '.join(ESSAY)} |\n|" + " --- |" * 5
    return "\n".join([head, *(f"| {g} | {' | '.join(cells[g, c] for c in ESSAY)} |" for g in generations)])


def blind_from(result: dict) -> str:
    """From which generation on it misses more than a tenth of what the eye sees."""
    rows = [r for r in result["loop_truth"] if r["concept"] == "all" and r["sensitivity"] is not None]
    late = [r for r in rows if r["sensitivity"] < 0.9]
    if not late:
        return "Of pictures in which the eye sees all three concepts it misses less than a tenth in every generation."
    return (
        f"Of pictures in which the eye sees all three concepts it sees {late[0]['sensitivity']:.2f} in generation "
        f"{late[0]['generation']}, and more than .9 before."
    )


def _cell(row: dict) -> str:
    """'0.98 of 60 / 1.00 of 40'; a dash where there is no such picture."""
    parts = [
        "-" if row[name] is None else f"{row[name]:.2f} of {row[n]}"
        for name, n in (("sensitivity", "positives"), ("specificity", "negatives"))
    ]
    return " / ".join(parts) + (f" ({row['cant_tell']} open)" if row["cant_tell"] else "")


def ablation_table(rows: dict[str, dict[str, float]]) -> str:
    """V(all) of loop-truth's target pools and what is refused of models' junk, with kinds of pictures left out."""
    names = list(next(iter(rows.values())))
    lines = [f"| third phase | {' | '.join(names)} |\n|" + " --- |" * (len(names) + 1)]
    return "\n".join([*lines, *(f"| {k} | {' | '.join(f'{v[n]:.2f}' for n in names)} |" for k, v in rows.items())])


def card(recipe: Recipe, folder: Path, result: dict, ablations: dict[str, dict[str, float]]) -> str:
    """The model card. ablations: by what was left out of the third phase, what the model then does."""
    model = Recogniser(folder).model
    count = sum(p.numel() for p in model.parameters())
    image = sum(p.numel() for p in model.visual.parameters())
    size = (folder / WEIGHTS).stat().st_size / 1e6
    steps = result["steps"]
    calibration = (
        f"**Calibration.** {SCORE[0].upper()}{SCORE[1:]}. A threshold is {result['rule']}. Scenes: "
        f"{result['scenes']['n_fit']:,} to fit and {result['scenes']['n_report']:,} others to report: {SCENES}. "
        "Brackets: 95 % Wilson "
        "intervals. `all` means that all three of astronaut, horse and riding are answered yes."
    )
    return f"""---
license: apache-2.0
library_name: open_clip
---
# {recipe.name}

{recipe.about[0].upper()}{recipe.about[1:]} and a text transformer with {model.vocab_size} words, in
open_clip's own format: {count:,} parameters ({image:,} of them see), {size:.1f} MB in half precision, images of
64 x 64. It knows the drawn storybook world of this package and nothing else. The package's other open_clip
model has another architecture, other seeds and other scenes, so that one can select and the other measure.

```python
import json

import open_clip
import torch
from PIL import Image

model, preprocess = open_clip.create_model_from_pretrained("local-dir:{recipe.name}")
tokenizer = open_clip.get_tokenizer("local-dir:{recipe.name}")
with open("{recipe.name}/calibration.json") as file:
    horse = json.load(file)["concepts"]["horse"]
model.eval()
with torch.inference_mode():
    image = model.encode_image(preprocess(Image.open("picture.png")).unsqueeze(0), normalize=True)
    texts = (model.encode_text(tokenizer(horse[side]), normalize=True) for side in ("yes", "no"))
    yes, no = (model.logit_scale.exp() * image @ side.T for side in texts)
score = (yes.logsumexp(1) - no.logsumexp(1)).item()
print("a horse" if score > horse["threshold"] else "no horse", score)
```

**Data.** {recipe.scenes:,} drawn scenes with known truth (seed {recipe.seed}), half from the world's own
distribution, half with all attributes uniform and with the pairs the checkpoint never sees. Mirrored, moved,
recoloured, mildly blurred, noised and compressed, they keep their truth; 16 % of each batch is junk (noise,
blank, scrambled, blurred, faded, drowned; later melted, and decoded latents of noise),
of which nothing is true but that it is junk.

**Training.** `scripts/training/storybook/judges/train.py`, CPU, batch {recipe.batch}: {steps["train"]:,} steps on
scenes and junk, then {steps["refine"]:,} at half the learning rate with half of the scenes through the checkpoint's
codec. Loss: SigLIP's sigmoid over images x claims with known truth (each batch's captions with hard negatives
among them), true and false pairs balanced; the same on the recogniser's own scores; and in the second phase
cross-entropy among the colours of coat and suit and among the backgrounds. The first two phases alone gave a judge
that went blind on the loop's pictures from generation 4 on (`docs/judges.md`), so a third one, {steps["robust"]:,}
steps at half the rate from their weights, shows what loops do to pictures: scenes changed strongly (contours warped,
parts lost, lines thickened) and redrawn by another hand; pools of generations 1 to 4 of {len(recipe.chains)} feedback
chains with other seeds and mostly other prompts, labelled by their prompts; later pictures of these chains, labelled
by eye; and what UNets of these chains paint when their weights are noised, as junk.

{textwrap.fill(calibration, 110)}

{table_of(result)}

**On the loop's own pictures.** Sensitivity / specificity on the test part of `experiments/loop-truth`, by the answers
of a vision-language model that was shown shuffled pictures without a cue; *open*: where it could not tell. No model was
trained or fitted on these pictures; but two earlier recipes of the third phase, and several levels of specificity,
were looked at on them before these were kept. `scripts/training/storybook/judges/evaluate.py` prints the demands
made on the judge.

{loop_table(result)}

**What each kind of pictures is good for.** V(all) on the pools of the target prompt in generations 4 to 10 (the eye:
see `experiments/loop-truth/README.md`), and the share of models' junk that is refused; each row {steps["robust"]}
steps, thresholds by the same rule.

{ablation_table(ablations)}

**What it does not see.** {blind_from(result)} Some junk is taken for a figure. `docs/judges.md` has the demands
made on the judge, and each that is missed.

Sensitivity / specificity on degraded pictures ({result["degradations"][0]["n"]} scenes), thresholds unchanged:

{degradation_table(result)}

`calibration.json` has all of it, the yes and no texts, junk by kind, and confusion matrices of coat, suit and
background.

Licence: Apache-2.0.
"""  # noqa: S608
