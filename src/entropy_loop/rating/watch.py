"""The report in a browser while it grows: built anew when a stage has been finished, and nothing is written."""

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

EVERY = 15  # seconds after which a browser asks again


@dataclass
class Watch:
    """The page of a results folder, as it was built last. made: how much the folder's log held then."""

    root: Path
    made: int = -1
    text: str = ""
    growing: bool = True
    lock: Lock = field(default_factory=Lock)

    def page(self) -> str:
        """The page now. Raises ConfigError where there is no results folder any more."""
        with self.lock:
            log = self.root / "events.jsonl"
            size = log.stat().st_size if log.is_file() else 0
            if size != self.made:
                plan, tables = experiment.read(self.root)
                store = Store(self.root)
                self.text, self.made = page.text(plan, store, tables), size
                self.growing = any(store.finished(stage) is None for stage in plan.stages().values())
            return self.text


def app(watch: Watch) -> Starlette:
    """The page, and the figures and tables that it links to."""
    policy = template.policy(template.script())

    def shown(request: Request) -> Response:
        headers = {"content-security-policy": policy}
        text = watch.page()
        return Response(
            text, media_type="text/html", headers=headers | ({"refresh": str(EVERY)} if watch.growing else {})
        )

    def table(request: Request) -> Response:
        return _file(watch.root, f"{request.path_params['name']}.csv", tuple(f"{name}.csv" for name in CSV))

    def figure(request: Request) -> Response:
        folder = watch.root / "figures"
        names = tuple(path.name for path in folder.iterdir()) if folder.is_dir() else ()
        return _file(folder, request.path_params["name"], names)

    return Starlette(routes=[Route("/", shown), Route("/figures/{name}", figure), Route("/{name}.csv", table)])


def _file(folder: Path, name: str, known: tuple[str, ...]) -> Response:
    """A file of the folder that is known by its very name; it appears when `run` writes its report."""
    if name not in known or not (folder / name).is_file():
        return PlainTextResponse("not there yet\n", 404)
    return FileResponse(folder / name)
