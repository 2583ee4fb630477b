"""The JSON Schema that editors complete and check configs with."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from conftest import TOY, Command
from entropy_loop import registry
from entropy_loop.study import schema, strict_yaml
from entropy_loop.study.config import Config

CONFIGS = sorted(Path("configs").glob("*.yaml"))
SCHEMA = schema.schema()


def mistakes(raw: Any) -> list[str]:
    errors = jsonschema.Draft202012Validator(SCHEMA).iter_errors(json.loads(json.dumps(raw)))
    return ["/".join(map(str, error.absolute_path)) for error in errors]


def test_the_schema_is_valid() -> None:
    """It is valid itself, and the shipped configs were found."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert len(CONFIGS) > 10


@pytest.mark.parametrize("path", CONFIGS, ids=str)
def test_every_shipped_config_fits(path: Path) -> None:
    """An editor finds no fault in a config that runs."""
    assert mistakes(strict_yaml.parse(path.read_text())) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("images", "many"),
        ("generations", 0),
        ("imags", 4),
        ("generator", {"use": "difusion"}),
        ("generator", {"use": "categorical", "rate": {}}),
        ("curate", {"policy": {"use": "top_k", "k": 0}}),
        ("curate", {"policy": {"use": "top_k"}}),
        ("judges", [{"use": "exact", "model": "x"}]),
        ("judges", []),
        ("train", {"lr": 1}),
        ("people", {"raters": 0}),
        ("sweep", {"curate.policy": [{"use": "topk", "k": 2}]}),
        ("sweep", {"seed": 3}),
        ("arms", [{"name": "a", "set": {"train.method": "some"}}]),
    ],
    ids=str,
)
def test_a_wrong_config_does_not_fit(place: str, value: Any) -> None:
    """Wrong types, ranges, keys and plug-ins are marked where they stand."""
    raw = deepcopy(TOY) | {place: value}
    assert mistakes(deepcopy(TOY)) == []
    assert [path.split("/")[0] for path in mistakes(raw)] in ([place], [""])


def test_every_key_and_plug_in_is_described() -> None:
    """Every key of the top has a sentence; every registered plug-in is a variant with a description."""
    described = {name for name, definition in SCHEMA["properties"].items() if definition.get("description")}
    assert described == set(Config.model_fields)
    for kind in registry.KINDS.values():
        variants = {variant["title"]: variant["description"] for variant in SCHEMA["$defs"][kind.name]["oneOf"]}
        assert set(kind.bundled) <= set(variants)
        assert all(variants.values())


def test_keys_are_those_of_the_top_and_of_sections_with_the_sections_themselves() -> None:
    """A whole section can be set as well as one of its keys: each is offered once."""
    keys = schema.keys()
    assert set(Config.model_fields) <= set(keys)
    assert {"train.method", "curate.policy", "measures.embedder"} <= set(keys)
    assert len(keys) == len(set(keys))


def test_a_plug_in_that_cannot_be_loaded_is_named(command: Command, tmp_path: Path) -> None:
    """The schema lacks a third party's broken plug-in and says so on stderr; stdout is the schema of all others."""
    (tmp_path / "theirs-1.0.dist-info").mkdir()
    (tmp_path / "theirs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    entry = "[entropy_loop.policy]\ntheirs = no_such_module:Theirs\n"
    (tmp_path / "theirs-1.0.dist-info" / "entry_points.txt").write_text(entry)
    result = command("schema")
    assert (result.returncode, json.loads(result.stdout)) == (0, SCHEMA)
    (line,) = result.stderr.splitlines()
    assert line.startswith("entropy-loop: warning: not in the schema: policy 'theirs': no_such_module:Theirs")


def test_the_command_prints_and_writes_the_schema(command: Command, tmp_path: Path) -> None:
    """`schema` prints what --out writes, and says how an editor finds it."""
    assert json.loads(command("schema").stdout) == SCHEMA
    result = command("schema", "--out", "schema.json")
    assert json.loads((tmp_path / "schema.json").read_text()) == SCHEMA
    assert "yaml-language-server: $schema=schema.json" in result.stdout
