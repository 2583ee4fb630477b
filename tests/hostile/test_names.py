"""Names from strangers: none of them becomes a path."""

from __future__ import annotations

from typing import Any

import pytest

from entropy_loop.errors import ConfigError
from entropy_loop.study import study

OUT = [
    "..",
    ".",
    "../x",
    "../../x",
    "a/../../x",
    "/etc/x",
    "/x",
    "~/x",
    "~",
    "a/b",
    "a\\b",
    "..\\x",
    "C:\\x",
    "C:x",
    "\\\\host\\x",
    "//host/x",
    "file:///x",
    "%2e%2e%2fx",
    "..%2fx",
    "a%00b",
    "a\u2215b",
    "\uff0e\uff0e/x",
    "\u2024\u2024/x",
    "-rf",
    ".hidden",
    "a b",
    "a\nb",
    "x" * 300,
    "",
    "$HOME/x",
    "`id`",
    "$(id)",
    "a;b",
    "a|b",
    "a>x",
    "a*",
    "a?",
    "nul:",
    "\u202ex",
]
TOY: dict[str, Any] = {
    "name": "toy", "generations": 1, "images": 4, "prompts": [{"text": "a horse", "concepts": ["horse"]}],
    "generator": {"use": "categorical", "rates": {"horse": 0.5}}, "judges": [{"use": "exact"}],
}  # fmt: skip


def test_a_plain_name_is_taken():
    """The config that the names are put into is a good one."""
    assert study.check(TOY).config.name == "toy"


@pytest.mark.parametrize("name", OUT)
def test_a_name_that_is_no_plain_name_is_refused(name: str):
    """As the experiment's, an arm's, a concept's or an attribute's: nothing that a path could be made of."""
    arm = {"name": name, "set": {"images": 3}}
    prompts = [{"text": "x", "concepts": [name]}]
    for changes in ({"name": name}, {"arms": [arm]}, {"prompts": prompts}, {"attributes": {name: ["a", "b"]}}):
        with pytest.raises(ConfigError):
            study.check(TOY | changes)
