"""Write docs/reference from the code: the config's keys, the commands and the tables.

    python -m scripts.tools.write_reference

A key's description is the docstring under its field, a column's is in `entropy_loop.dictionary`. A test holds
the pages to what this writes.
"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args

import typer
import yaml
from pydantic import TypeAdapter

from entropy_loop import registry
from entropy_loop.cli import app
from entropy_loop.dictionary import PARQUET, TABLES
from entropy_loop.results import Results
from entropy_loop.study import config
from entropy_loop.study.schema import section_schema

FOLDER = Path("docs/reference")


def _section(annotation: Any) -> type | None:
    """The class of the keys that a key holds, itself or in a list or mapping; None where it holds a value."""
    if isinstance(annotation, type) and (is_dataclass(annotation) or hasattr(annotation, "model_fields")):
        return annotation
    return next(filter(None, map(_section, get_args(annotation))), None)


SECTIONS = {name: cls for name, field in config.Config.model_fields.items() if (cls := _section(field.annotation))}
"""Keys of a config that hold keys of their own."""

NAME = TypeAdapter(config.Name).json_schema()["pattern"]


def values(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Which values a JSON schema allows, in words."""
    if "$ref" in schema:
        return values(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return " or ".join(values(option, definitions) for option in schema["anyOf"] if option.get("type") != "null")
    if "enum" in schema:
        return ", ".join(code(value) for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return "list of " + values(schema.get("items") or schema["prefixItems"][0], definitions)
    if kind == "object":
        return "keys" if "properties" in schema else "mapping"
    if pattern := schema.get("pattern"):
        return "name" if pattern == NAME else f"text like {code(pattern)}"
    names = {"integer": "integer", "number": "number", "boolean": "`true`, `false`", "string": "text"}
    return names.get(str(kind), "anything") + _range(schema)


def _range(schema: dict[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" {schema['minimum']:,} to {schema['maximum']:,}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[name]:,}" for name, sign in signs.items() if name in schema]
    bounds += [f"a multiple of {schema['multipleOf']}"] if "multipleOf" in schema else []
    return f" {', '.join(bounds)}" if bounds else ""


def code(value: Any) -> str:
    """A value as code in a cell of a table."""
    text = value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True, width=1000)
    text = text.removesuffix("\n").removesuffix("\n...")
    return f"<code>{text.replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def rows(cls: type, place: str = "") -> Iterator[tuple[str, str, str, str]]:
    """(key, values, default, description) of every key of a section or option of a plug-in."""
    schema = section_schema(cls)
    definitions, needed = schema.get("$defs", {}), schema.get("required", [])
    kinds = {where: kind.name for kind in registry.KINDS.values() for where in kind.places}
    for name, key in schema.get("properties", {}).items():
        where = f"{place}.{name}" if place else name
        if where in kinds:
            allowed = f"[{kinds[where]}](#{kinds[where]})"
        elif not place and where in SECTIONS:
            allowed = f"[keys](#{where})"
        else:
            allowed = values(key, definitions)
        if name in needed:
            default = "*required*"
        elif key.get("default") in (None, {}, [], "") or allowed.startswith("[keys]"):
            default = ""
        else:
            default = code(key["default"])
        yield code(name), allowed, default, " ".join(key.get("description", "").split()).replace("|", "\\|")


def table(heads: tuple[str, ...], body: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table and the empty line after it."""
    for line in (heads, ("---",) * len(heads), *body):
        yield f"| {' | '.join(line)} |".replace("|  |", "| |").replace("|  |", "| |")
    yield ""


HEADS = ("key", "values", "default", "what it is")
OPTIONS = ("option", "values", "default", "what it is")

CONFIG_OPENING = """# The config

Every key, generated from the schema by `scripts/tools/write_reference.py`. A key that is not listed here is refused,
and the error names the nearest one that is. Any key can be set from the command line
(`--set train.max_train_steps=60`) or swept (`sweep: {train.max_train_steps: [30, 60]}`). `configs/astronaut.yaml` is a
complete config.

A *name* has letters, digits, `.`, `_` and `-`, at most 100 of them. A *mapping* is YAML's `{key: value}`. An empty
default means that nothing is set, unless the description says otherwise.

A plug-in is a mapping whose `use` names it; its other keys are its options: `policy: {use: top_k, k: 32}`.

## Top level
"""


def config_page() -> str:
    """docs/reference/config.md."""
    lines = [CONFIG_OPENING, *table(HEADS, rows(config.Config))]
    for name, cls in SECTIONS.items():
        lines += [f"## {name}", "", _opening(cls), "", *table(HEADS, rows(cls, name))]
    lines += ["## Plug-ins", ""]
    for kind in registry.KINDS.values():
        lines += [f"### {kind.name}", "", f"Stands at {', '.join(code(place) for place in kind.places)}.", ""]
        seen: dict[tuple[Any, ...], str] = {}
        for name in kind.bundled:
            cls = registry.load(kind, name)
            options = tuple(rows(cls, "option"))
            lines += [f"**`{name}`**: {_opening(cls)}", ""]
            if options and seen.setdefault(options, name) != name:
                lines += [f"Options: those of `{seen[options]}`.", ""]
            elif options:
                lines += table(OPTIONS, options)
    return "\n".join(lines).rstrip() + "\n"


def _opening(cls: type) -> str:
    """The first paragraph of a class's docstring, on one line."""
    return " ".join(inspect.cleandoc(cls.__dict__["__doc__"]).split("\n\n")[0].split())


CLI_OPENING = """# The commands

Generated from the commands by `scripts/tools/write_reference.py`; `entropy-loop COMMAND --help` prints the same.

Exit codes: 0 done; 1 failed; 2 the config or the command line is wrong; 3 verification or the self-check failed; 10
waiting for people; 74 reading or writing failed; 75 another process holds the folder; 130 and 143 stopped by SIGINT
and SIGTERM.
"""


def cli_page() -> str:
    """docs/reference/cli.md."""
    group = typer.main.get_command(app)
    context = group.make_context("entropy-loop", [], resilient_parsing=True)
    lines = [CLI_OPENING]
    for name in sorted(group.list_commands(context)):
        command = group.get_command(context, name)
        lines += [
            f"## {name}",
            "",
            " ".join((command.help or "").split()),
            "",
            "```sh",
            _usage(name, command.params),
            "```",
            "",
        ]
        lines += table(("option", "value", "default", "what it is"), map(_option, command.params))
    return "\n".join(lines).rstrip() + "\n"


def _usage(name: str, params: list[Any]) -> str:
    arguments = [_argument(param) for param in params if param.param_type_name == "argument"]
    required = [param for param in params if param.param_type_name == "option" and param.required]
    needed = [f"{param.opts[0]} {param.name.upper()}" for param in required]
    return " ".join(["entropy-loop", name, *needed, "[OPTIONS]", *arguments])


def _argument(param: Any) -> str:
    """An argument in the usage: in brackets if it may be left out, with dots if it may be repeated."""
    name = _value(param) + "..." * (param.nargs == -1)
    return name if param.required else f"[{name}]"


def _option(param: Any) -> tuple[str, str, str, str]:
    flag = getattr(param, "is_flag", False)
    name, value = (_value(param), "") if param.param_type_name == "argument" else (" ".join(param.opts), _value(param))
    default = (
        "*required*" if param.required else "" if flag or param.default in (None, ()) else code(str(param.default))
    )
    return code(name), "" if flag else value, default, (param.help or "").replace("|", "\\|").replace("<", "&lt;")


def _value(param: Any) -> str:
    """What stands behind an option, or in the place of an argument."""
    if kind := {int: "integer", float: "number"}.get(param.type_descriptor.annotation):
        return f"{kind} ≥ {param.min}" if param.min is not None else kind
    return str(param.metavar or (param.name.upper() if param.param_type_name == "argument" else "text"))


TABLES_OPENING = """# The tables

Every column of every table that a run writes, generated from `src/entropy_loop/dictionary.py` by
`python -m scripts.tools.write_reference`. `entropy_loop.open_results` reads them with these dtypes ([In a
notebook](../notebook.md)). What is missing is missing (NaN or `<NA>`; an empty cell in a CSV), never 0: a column marked
*never* has no missing cell.

CSVs are UTF-8, with commas, numbers to six significant digits. V is the share of a set of images in which a concept
is recognised, c = (V1 - V2) / V1 its change rate; what they and their bands mean:
[How to read the numbers](../science.md).
"""


def tables_page() -> str:
    """docs/reference/tables.md."""
    lines = [TABLES_OPENING]
    for name, columns in TABLES.items():
        opening = " ".join((inspect.getdoc(getattr(Results, name)) or "").partition("\n\n")[0].split())
        lines += [f"## {name}", "", f"`{name}.{'parquet' if name in PARQUET else 'csv'}`. {opening}", ""]
        body = (
            (code(key), code(column.dtype), "never" * column.always, column.text) for key, column in columns.items()
        )
        lines += table(("column", "dtype", "missing", "what it is"), body)
    return "\n".join(lines).rstrip() + "\n"


PAGES = {"config.md": config_page, "cli.md": cli_page, "tables.md": tables_page}

if __name__ == "__main__":
    argparse.ArgumentParser(description="Write docs/reference from the code.").parse_args()  # `--help` writes nothing
    for file, page in PAGES.items():
        (FOLDER / file).write_text(page(), encoding="utf-8")
