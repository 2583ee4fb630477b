"""Renders the pages from their templates, each with the style sheet inside."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from entropy_loop import __version__
from entropy_loop.analysis import formatting

HERE = Path(__file__).parent


def render(template: str, **values: object) -> str:
    """The text of a page. Text values are escaped; an undefined name is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = formatting.number
    css = (HERE / "report.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(version=__version__, css=css, **values)


def script() -> str:
    """The script of the report page."""
    return (HERE / "report.js").read_text(encoding="utf-8")


def policy(script: str) -> str:
    """A Content-Security-Policy that allows this script alone and loads nothing from elsewhere."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
