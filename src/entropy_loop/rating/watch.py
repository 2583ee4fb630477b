"""Serves the report while a run is going on. It is built again after each finished stage and never written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from entropy_loop.analysis.tables import CSV
from entropy_loop.commands import experiment
from entropy_loop.report.page import page, template
from entropy_loop.storage.store import Store

REFRESH = 15  # seconds between reloads in the browser


@dataclass
class Watch:
    """The report of a results folder. log_size: bytes of the folder's log when the report was built last."""

    root: Path
    log_size: int = -1
    text: str = ""
    growing: bool = True
    lock: Lock = field(default_factory=Lock)

    def page(self) -> str:
        """The current report. Raises ConfigError when the results folder is gone."""
        with self.lock:
            log = self.root / "events.jsonl"
            size = log.stat().st_size if log.is_file() else 0
            if size != self.log_size:
                plan, tables = experiment.read(self.root)
                store = Store(self.root)
                self.text, self.log_size = page.text(plan, store, tables), size
                self.growing = any(store.finished(stage) is None for stage in plan.stages().values())
            return self.text


def app(watch: Watch) -> Starlette:
    """The report, and the figures and tables that it links to."""
    policy = template.policy(template.script())

    def report(request: Request) -> Response:
        headers = {"content-security-policy": policy}
        text = watch.page()
        return Response(
            text, media_type="text/html", headers=headers | ({"refresh": str(REFRESH)} if watch.growing else {})
        )

    def table(request: Request) -> Response:
        return _file(watch.root, f"{request.path_params['name']}.csv", tuple(f"{name}.csv" for name in CSV))

    def figure(request: Request) -> Response:
        folder = watch.root / "figures"
        names = tuple(path.name for path in folder.iterdir()) if folder.is_dir() else ()
        return _file(folder, request.path_params["name"], names)

    return Starlette(routes=[Route("/", report), Route("/figures/{name}", figure), Route("/{name}.csv", table)])


def _file(folder: Path, name: str, known: tuple[str, ...]) -> Response:
    """The file `name` if it is in `known`; 404 until `run` has written it."""
    if name not in known or not (folder / name).is_file():
        return PlainTextResponse("not there yet\n", 404)
    return FileResponse(folder / name)
