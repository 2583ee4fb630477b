"""How people are asked about an image, and what their answer says of a concept.

Either which concepts of its prompt they recognise, which names these and so is a cue: people see what they are asked
for. Or, without a cue, which option of each question fits; then questions and options are the same for every image.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeGuard

NONE, UNSURE = "none", "can't tell"
"""Answers that every question has beside its options."""

Questions = dict[str, tuple[str, ...]]
"""Question -> its options, in the order in which they are shown. Without a question people are asked for concepts."""

Seen = tuple[str, ...] | dict[str, str] | None
"""An answer. Asked for concepts: those that are recognised, None for somebody who could not tell. Asked by questions:
the answer that was chosen for each of them."""


def choices(options: Sequence[str]) -> tuple[str, ...]:
    """All answers to a question with these options."""
    return (*options, NONE, UNSURE)


def fits(seen: object, concepts: Sequence[str], questions: Questions) -> TypeGuard[Seen]:
    """Whether that, from whatever source, is an answer to what was asked of an image with these concepts."""
    if questions:
        if not isinstance(seen, dict) or seen.keys() != questions.keys():
            return False
        return all(seen[name] in choices(options) for name, options in questions.items())
    return seen is None or (isinstance(seen, list | tuple) and all(name in concepts for name in seen))


def recognised(seen: Seen, concept: str, questions: Questions) -> bool | None:
    """What the answer says of a concept; None for somebody who could not tell."""
    if isinstance(seen, dict):
        chosen = next(seen[name] for name, options in questions.items() if concept in options)
        return None if chosen == UNSURE else chosen == concept
    return None if seen is None else concept in seen


def written(seen: Seen) -> str | None:
    """An answer as it is kept: JSON, None for somebody who could not tell."""
    if seen is None:
        return None
    return json.dumps(seen if isinstance(seen, dict) else sorted(set(seen)))


def read(text: str | None) -> Seen:
    """The answer that was kept so."""
    seen = None if text is None else json.loads(text)
    return tuple(seen) if isinstance(seen, list) else seen
