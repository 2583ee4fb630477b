"""The rating page's requests and answers. Reading changes nothing but which image waits for the rater; everything else
is a POST with JSON, answered with what comes next."""

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
from entropy_loop.rating.guard import COOKIE, session
from entropy_loop.rating.pixels import png

HERE = Path(__file__).parent
MONTH = 30 * 24 * 3600  # seconds for which a browser keeps a session: a rater may come back

State = dict[str, object]


@dataclass(frozen=True)
class Desk:
    """What raters are shown and what becomes of it. intro: what they read before the first image."""

    root: Path
    book: Book
    queue: Queue
    intro: str

    def state(self, rater: str) -> State:
        """What is before a rater: pools to pick from come first. Names nothing but what the rater needs."""
        if pools := picks.waiting(self.book, rater):
            pool = pools[0]
            items = [{"item": i, "picked": on} for i, on in picks.candidates(self.book, pool, rater).items()]
            return {"task": "pick", "pool": pool.pool, "k": pool.k, "candidates": items, "left": len(pools)}
        ask, progress = self.queue.next(rater), asdict(self.queue.progress(rater))
        if ask is None:
            return {"task": "done", **progress}
        # Questions are the same for every image; the concepts would tell which prompt it was made for.
        questions = [[name, asking.choices(options)] for name, options in self.book.questions().items()]
        asked = {"questions": questions} if questions else {"concepts": ask.concepts}
        said = {} if ask.seen is None else {"said": ask.seen}
        return {"task": "look", "ask": ask.ask, "item": ask.item, **asked, **said, **progress}

    def file(self, item: str) -> Path | None:
        """Where an image that is asked about lies, by its opaque name alone."""
        for table in ("items", "candidates"):
            if found := self.book.rows(f"SELECT file FROM {table} WHERE item = ?", item):  # noqa: S608 (our own words)
                return self.root / str(found[0][0])
        return None


def app(desk: Desk) -> Starlette:
    """The pages and what they send (to be put behind a `Guard`)."""
    pixels = lru_cache(maxsize=1024)(png)

    def page(request: Request) -> Response:
        rater = _rater(desk, request)
        return Response(_page(desk.intro, desk.state(rater) if rater else None), media_type="text/html")

    def image(request: Request) -> Response:
        file = desk.file(request.path_params["item"]) if _rater(desk, request) else None
        if file is None:
            return PlainTextResponse("no such image\n", 404)
        try:
            return Response(pixels(file), media_type="image/png", headers={"cache-control": "private, max-age=3600"})
        except OSError:
            return PlainTextResponse("this image cannot be read\n", 404)

    def join(body: State) -> Response:
        link = body.get("link")
        opened = desk.book.join(link) if isinstance(link, str) else None
        if opened is None:
            return JSONResponse({"error": "This link was used, or never given out. Ask for a new one."}, 403)
        response = JSONResponse(desk.state(desk.book.rater(opened) or ""))
        response.set_cookie(COOKIE, opened, max_age=MONTH, httponly=True, samesite="strict")
        return response

    routes = [
        Route("/", page),
        Route("/image/{item}", image),
        Route("/favicon.ico", lambda request: Response(status_code=204)),
        Route("/rate.css", _file("rate.css", "text/css")),
        Route("/rate.js", _file("rate.js", "text/javascript")),
        Route("/join", _posted(lambda body, request: join(body)), methods=["POST"]),
    ]
    for path, act in (("/answer", _answer), ("/undo", _undo), ("/pick", _pick), ("/finish", _finish)):
        routes.append(Route(path, _posted(_of_rater(desk, act)), methods=["POST"]))
    return Starlette(routes=routes)


# ---- what raters send: each tells whether it was right, and what comes next --------------------------


def _answer(desk: Desk, rater: str, body: State) -> State | None:
    ask = body.get("ask")
    return desk.state(rater) if isinstance(ask, int) and desk.queue.answer(rater, ask, body.get("seen")) else None


def _undo(desk: Desk, rater: str, body: State) -> State | None:
    desk.queue.undo(rater)
    return desk.state(rater)


def _pick(desk: Desk, rater: str, body: State) -> State | None:
    item, picked = body.get("item"), body.get("picked")
    right = isinstance(item, str) and isinstance(picked, bool) and picks.pick(desk.book, rater, item, picked)
    return {} if right else None


def _finish(desk: Desk, rater: str, body: State) -> State | None:
    pool = body.get("pool")
    return desk.state(rater) if isinstance(pool, str) and picks.finish(desk.book, rater, pool) else None


# ---- inside ------------------------------------------------------------------------------------------


def _of_rater(desk: Desk, act: Callable[[Desk, str, State], State | None]) -> Callable[[State, Request], Response]:
    def answered(body: State, request: Request) -> Response:
        rater = _rater(desk, request)
        if rater is None:
            return JSONResponse({"error": "Your session is not known here. Open your link again."}, 401)
        told = act(desk, rater, body)
        return JSONResponse({"error": "That was not asked for."}, 409) if told is None else JSONResponse(told)

    return answered


def _posted(act: Callable[[State, Request], Response]) -> Callable[[Request], Awaitable[Response]]:
    from starlette.concurrency import run_in_threadpool

    async def endpoint(request: Request) -> Response:
        try:
            body = json.loads(await request.body())
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return JSONResponse({"error": "This is no JSON object."}, 400)
        return await run_in_threadpool(act, body, request)

    return endpoint


def _file(name: str, media_type: str) -> Callable[[Request], Response]:
    data = (HERE / name).read_bytes()
    return lambda request: Response(data, media_type=media_type)


def _rater(desk: Desk, request: Request) -> str | None:
    return desk.book.rater(secret) if (secret := session(dict(request.headers))) else None


def _page(intro: str, state: State | None) -> str:
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("rate.html.jinja").render(intro=intro, state=state)
