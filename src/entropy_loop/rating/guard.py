"""What stands before the pages: who may ask, how much, how fast, and what a browser may do with the answer.

A page that anybody on the machine opens in another tab can send requests here, too. So a request must name a host that
is ours, a writing one must come from our own page, carry JSON and little of it, and soon. Nothing here knows what the
pages are about.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "entropy_loop_session"
CSP = (
    "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Refused(Exception):
    """A request that is not answered. status: of HTTP."""

    def __init__(self, status: int, why: str, **headers: str) -> None:
        super().__init__(why)
        self.status, self.headers = status, headers


@dataclass
class Limit:
    """So many requests per second for each caller, and as many again at once."""

    per_second: float
    callers: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, caller: str, cost: float = 1.0) -> None:
        """Raises Refused when the caller is too fast; a cheap request counts as a part of one."""
        now, most = time.monotonic(), 2 * self.per_second
        left, then = self.callers.pop(caller, (most, now))
        left = min(most, left + (now - then) * self.per_second)
        self.callers[caller] = max(0.0, left - cost), now
        while len(self.callers) > 10_000:
            self.callers.popitem(last=False)
        if left < cost:
            raise Refused(429, "too many requests", **{"retry-after": "1"})


@dataclass
class Guard:
    """The app, guarded. hosts: as in the header, with the port. body: bytes of a request at most. patience: seconds in
    which it must have come."""

    app: ASGIApp
    hosts: Collection[str]
    body: int = 4096
    patience: float = 10.0
    limit: Limit = field(default_factory=lambda: Limit(20.0))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        try:
            headers = _headers(scope)
            self._admit(scope, headers)
            body = await self._body(headers, receive) if scope["method"] == "POST" else b""
        except Refused as refused:
            await _refuse(refused, send)
            return
        await self.app(scope, _replay(body, receive), _with_headers(send))

    def _admit(self, scope: Scope, headers: dict[str, str]) -> None:
        """Raises Refused unless host, method, origin and pace are right."""
        if (host := headers.get("host", "")) not in self.hosts:
            raise Refused(421, "this is not the host that was asked for")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refused(405, "GET, HEAD or POST", allow="GET, HEAD, POST")
        writes = scope["method"] == "POST"
        # A page of pictures is many requests at once, and each is cheap.
        self.limit.take(session(headers) or str((scope.get("client") or ("?",))[0]), 1.0 if writes else 0.1)
        if not writes:
            return
        if headers.get("origin") not in (f"http://{host}", f"https://{host}"):
            raise Refused(403, "this was not sent by our own page")
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise Refused(403, "this was not sent by our own page")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "only JSON is read")

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        """All of it. Raises Refused when it is too large or comes too slowly."""
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.body:
            raise Refused(413, f"at most {self.body} bytes are read")
        try:
            async with asyncio.timeout(self.patience):
                return await self._collected(receive)
        except TimeoutError:
            raise Refused(408, "the request came too slowly", connection="close") from None

    async def _collected(self, receive: Receive) -> bytes:
        found, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "gone")
            found, more = found + message.get("body", b""), message.get("more_body", False)
            if len(found) > self.body:
                raise Refused(413, f"at most {self.body} bytes are read")
        return found


def session(headers: Mapping[str, str]) -> str:
    """The secret of the caller's session, as its browser keeps it; empty for none."""
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def _headers(scope: Scope) -> dict[str, str]:
    """By name in small letters. Raises Refused where one that decides something stands twice."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in found and key in ("host", "origin", "content-length", "content-type"):
            raise Refused(400, f"{key} stands twice")
        found[key] = value.decode("latin-1")
    return found


def _replay(body: bytes, receive: Receive) -> Receive:
    told = False

    async def once() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in message["headers"]}
            added = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return sending


async def _refuse(refused: Refused, send: Send) -> None:
    body = f"{refused}\n".encode()
    headers = HEADERS | {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body))}
    told = [(k.encode(), v.encode()) for k, v in (headers | refused.headers).items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": told})
    await send({"type": "http.response.body", "body": body})
