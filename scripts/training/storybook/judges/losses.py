"""The training losses of a judge, from its logits l (images, texts) and the truth of the images.

Every text is a *claim* whose truth about an image is known, so the loss is SigLIP's sigmoid over an
images x texts matrix of truths instead of a guess that caption i belongs to image i alone:

    L = mean over true pairs of softplus(-l) + mean over false pairs of softplus(l),   l = scale cos(i, t) + bias

and the very score by which the recogniser answers is trained beside it, for each concept c:

    score_c(i) = logsumexp over yes texts of l - logsumexp over no texts of l          (the bias cancels)

Phase 2 adds cross-entropy among the values of each attribute (coat, suit, background).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from scripts.training.storybook.judges.claims import ATTRIBUTES, answerable, answers, concepts

Columns = Mapping[str, int]  # text -> its column in the logits
Loss = Callable[[Tensor, pd.DataFrame, Columns], Tensor]


def columns_of(texts: Iterable[str]) -> dict[str, int]:
    return {text: i for i, text in enumerate(texts)}


def concept_scores(logits: Tensor, columns: Columns) -> Tensor:
    """(images, texts) -> (images, concepts): logsumexp over yes minus logsumexp over no."""
    sides = [[[columns[text] for text in spec[side]] for side in ("yes", "no")] for spec in concepts().values()]
    return torch.stack([logits[:, yes].logsumexp(1) - logits[:, no].logsumexp(1) for yes, no in sides], 1)


def balanced_loss(logits: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """The module's L over the pairs whose truth is known. True and false pairs get equal weight in total."""
    true, false = truth * known, (1 - truth) * known
    on_true, on_false = (F.softplus(-logits) * true).sum(), (F.softplus(logits) * false).sum()
    return on_true / true.sum().clamp(min=1) + on_false / false.sum().clamp(min=1)


def concept_loss(logits: Tensor, table: pd.DataFrame, columns: Columns) -> Tensor:
    """L on the recogniser's scores."""
    truth, known = (torch.from_numpy(np.stack(list(of(table).values()), 1)).float() for of in (answers, answerable))
    return balanced_loss(concept_scores(logits, columns), truth, known)


def attribute_loss(logits: Tensor, table: pd.DataFrame, columns: Columns) -> Tensor:
    """Cross-entropy among the values of each attribute, over the images that have it."""
    total = logits.new_zeros(())
    for name, texts in ATTRIBUTES.items():
        values = torch.from_numpy(table[name].map(columns_of(texts)).fillna(-100).to_numpy(np.int64))
        total = total + F.cross_entropy(logits[:, [columns[text] for text in texts.values()]], values)
    return total
