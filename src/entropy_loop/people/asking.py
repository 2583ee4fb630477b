"""The two ways of asking people about an image, and what an answer says about a concept.

By concept: people are shown the concepts of the image's prompt and mark those that they recognise. The list is a cue.
By question: people choose one option for each question. Questions and options are the same for every image, so they
give no cue.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeGuard

NONE, UNSURE = "none", "can't tell"
"""Answers that every question has beside its options."""

Questions = dict[str, tuple[str, ...]]
"""Question -> its options, in the order in which they are shown. Empty: people are asked by concept."""

Answer = tuple[str, ...] | dict[str, str] | None
"""By concept: the recognised concepts, or None for "can't tell". By question: question -> chosen option."""


def choices(options: Sequence[str]) -> tuple[str, ...]:
    """All answers to a question with these options."""
    return (*options, NONE, UNSURE)


def is_answer(value: object, concepts: Sequence[str], questions: Questions) -> TypeGuard[Answer]:
    """Whether an untrusted value is a complete answer for an image with these concepts."""
    if questions:
        if not isinstance(value, dict) or value.keys() != questions.keys():
            return False
        return all(value[name] in choices(options) for name, options in questions.items())
    return value is None or (isinstance(value, list | tuple) and all(name in concepts for name in value))


def recognised(answer: Answer, concept: str, questions: Questions) -> bool | None:
    """Whether the rater recognised the concept; None for "can't tell"."""
    if isinstance(answer, dict):
        choice = next(answer[name] for name, options in questions.items() if concept in options)
        return None if choice == UNSURE else choice == concept
    return None if answer is None else concept in answer


def to_json(answer: Answer) -> str | None:
    """An answer as the database stores it: JSON, or None for "can't tell"."""
    if answer is None:
        return None
    return json.dumps(answer if isinstance(answer, dict) else sorted(set(answer)))


def from_json(text: str | None) -> Answer:
    """The inverse of `to_json`."""
    answer = None if text is None else json.loads(text)
    return tuple(answer) if isinstance(answer, list) else answer
