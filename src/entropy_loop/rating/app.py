"""The rating page's HTTP endpoints. GET returns the page and images. POST takes JSON and returns the rater's next
task."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from entropy_loop.people import asking, picks
from entropy_loop.people.book import Book
from entropy_loop.people.queue import Queue
from entropy_loop.rating.guard import posted
from entropy_loop.rating.pixels import png

HERE = Path(__file__).parent
COOKIE = "entropy_loop_session"
SESSION_SECONDS = 30 * 24 * 3600  # raters can come back within a month
MAX_BODY = 4096  # bytes of a POST

State = dict[str, object]


@dataclass(frozen=True)
class Desk:
    """The data behind the rating page of a results folder. intro: the text shown before the first image."""

    root: Path
    book: Book
    queue: Queue
    intro: str

    def state(self, rater: str) -> State:
        """The rater's current task. Pools to pick from come first. It reveals nothing about where images come from."""
        if pools := picks.waiting(self.book, rater):
            pool = pools[0]
            items = [{"item": i, "picked": picked} for i, picked in picks.candidates(self.book, pool, rater).items()]
            return {"task": "pick", "pool": pool.pool, "k": pool.k, "candidates": items, "left": len(pools)}
        ask, progress = self.queue.next(rater), asdict(self.queue.progress(rater))
        if ask is None:
            return {"task": "done", **progress}
        # Concepts would reveal the image's prompt, so they are left out where people are asked by question.
        questions = [[name, asking.choices(options)] for name, options in self.book.questions().items()]
        fields = {"questions": questions} if questions else {"concepts": ask.concepts}
        previous = {} if ask.seen is None else {"said": ask.seen}
        return {"task": "look", "ask": ask.ask, "item": ask.item, **fields, **previous, **progress}

    def file(self, item: str) -> Path | None:
        """The file of an image that people are asked about, by its opaque name; None for an unknown name."""
        query = "SELECT file FROM items WHERE item = ? UNION ALL SELECT file FROM candidates WHERE item = ?"
        rows = self.book.rows(query, item, item)
        return self.root / str(rows[0][0]) if rows else None


def app(desk: Desk) -> Starlette:
    """The app behind the rating page."""
    pixels = lru_cache(maxsize=1024)(png)

    def page(request: Request) -> Response:
        rater = _rater(desk, request)
        return Response(_page(desk.intro, desk.state(rater) if rater else None), media_type="text/html")

    def image(request: Request) -> Response:
        file = desk.file(request.path_params["item"]) if _rater(desk, request) else None
        if file is None:
            return PlainTextResponse("unknown image\n", 404)
        try:
            return Response(pixels(file), media_type="image/png", headers={"cache-control": "private, max-age=3600"})
        except OSError:
            return PlainTextResponse("this image cannot be read\n", 404)

    def join(body: State) -> Response:
        link = body.get("link")
        secret = desk.book.join(link) if isinstance(link, str) else None
        if secret is None:
            return JSONResponse({"error": "This link is unknown or already used. Ask for a new one."}, 403)
        response = JSONResponse(desk.state(desk.book.rater(secret) or ""))
        response.set_cookie(COOKIE, secret, max_age=SESSION_SECONDS, httponly=True, samesite="strict")
        return response

    routes = [
        Route("/", page),
        Route("/image/{item}", image),
        Route("/favicon.ico", lambda request: Response(status_code=204)),
        Route("/rate.css", _static("rate.css", "text/css")),
        Route("/rate.js", _static("rate.js", "text/javascript")),
        Route("/join", _json_endpoint(lambda body, request: join(body)), methods=["POST"]),
    ]
    for path, action in (("/answer", _answer), ("/undo", _undo), ("/pick", _pick), ("/finish", _finish)):
        routes.append(Route(path, _json_endpoint(_for_rater(desk, action)), methods=["POST"]))
    return Starlette(routes=routes, max_body_size=MAX_BODY)


# ---- what raters send: each returns the next task, or None for a request that is not valid -----------


def _answer(desk: Desk, rater: str, body: State) -> State | None:
    ask = body.get("ask")
    return desk.state(rater) if isinstance(ask, int) and desk.queue.answer(rater, ask, body.get("seen")) else None


def _undo(desk: Desk, rater: str, body: State) -> State | None:
    desk.queue.undo(rater)
    return desk.state(rater)


def _pick(desk: Desk, rater: str, body: State) -> State | None:
    item, picked = body.get("item"), body.get("picked")
    valid = isinstance(item, str) and isinstance(picked, bool) and picks.pick(desk.book, rater, item, picked)
    return {} if valid else None


def _finish(desk: Desk, rater: str, body: State) -> State | None:
    pool = body.get("pool")
    return desk.state(rater) if isinstance(pool, str) and picks.finish(desk.book, rater, pool) else None


# ---- inside ------------------------------------------------------------------------------------------


def _for_rater(desk: Desk, action: Callable[[Desk, str, State], State | None]) -> Callable[[State, Request], Response]:
    def respond(body: State, request: Request) -> Response:
        rater = _rater(desk, request)
        if rater is None:
            return JSONResponse({"error": "Your session is unknown. Open your link again."}, 401)
        state = action(desk, rater, body)
        return (
            JSONResponse({"error": "This is not a valid answer here."}, 409) if state is None else JSONResponse(state)
        )

    return respond


def _json_endpoint(action: Callable[[State, Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    from starlette.concurrency import run_in_threadpool

    async def endpoint(request: Request) -> Response:
        try:
            body = json.loads(await posted(request))
        except (ValueError, RecursionError):  # no JSON, or thousands of brackets
            body = None
        if not isinstance(body, dict):
            return JSONResponse({"error": "Send a JSON object."}, 400)
        return await run_in_threadpool(action, body, request)

    return endpoint


def _static(name: str, media_type: str) -> Callable[[Request], Response]:
    data = (HERE / name).read_bytes()
    return lambda request: Response(data, media_type=media_type)


def _rater(desk: Desk, request: Request) -> str | None:
    return desk.book.rater(secret) if (secret := request.cookies.get(COOKIE)) else None


def _page(intro: str, state: State | None) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("rate.html.jinja").render(intro=intro, state=state)
