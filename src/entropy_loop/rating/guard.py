"""ASGI middleware that checks requests and adds security headers to responses.

Any web page open in a browser on this machine can send requests here. So the Host header must name this server. A POST
must come from this server's own page and carry a small JSON body that arrives in time.
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
    """A request that is refused. status: the HTTP status."""

    def __init__(self, status: int, reason: str, **headers: str) -> None:
        super().__init__(reason)
        self.status, self.headers = status, headers


@dataclass
class Limit:
    """A rate limit per caller: `per_second` requests, with bursts of twice as many."""

    per_second: float
    callers: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, caller: str, cost: float = 1.0) -> None:
        """Count a request, a cheap one by a part of one. Raises Refused when the caller exceeds the limit."""
        now, burst = time.monotonic(), 2 * self.per_second
        left, last = self.callers.pop(caller, (burst, now))
        left = min(burst, left + (now - last) * self.per_second)
        self.callers[caller] = max(0.0, left - cost), now
        while len(self.callers) > 10_000:
            self.callers.popitem(last=False)
        if left < cost:
            raise Refused(429, "too many requests", **{"retry-after": "1"})


@dataclass
class Guard:
    """The guarded app. hosts: accepted Host headers, with the port. max_body: in bytes. timeout: for a body, in
    seconds."""

    app: ASGIApp
    hosts: Collection[str]
    max_body: int = 4096
    timeout: float = 10.0
    limit: Limit = field(default_factory=lambda: Limit(20.0))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request (ASGI)."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        try:
            headers = _headers(scope)
            self._admit(scope, headers)
            body = await self._read_body(headers, receive) if scope["method"] == "POST" else b""
        except Refused as refused:
            await _refuse(refused, send)
            return
        await self.app(scope, _replay(body, receive), _with_headers(send))

    def _admit(self, scope: Scope, headers: dict[str, str]) -> None:
        """Raises Refused for a wrong host, method, origin or content type, or too many requests."""
        if (host := headers.get("host", "")) not in self.hosts:
            raise Refused(421, "this server does not have that host name")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refused(405, "use GET, HEAD or POST", allow="GET, HEAD, POST")
        writes = scope["method"] == "POST"
        # A page sends many requests for images at once, and each is cheap.
        self.limit.take(session(headers) or str((scope.get("client") or ("?",))[0]), 1.0 if writes else 0.1)
        if not writes:
            return
        same_origin = headers.get("origin") in (f"http://{host}", f"https://{host}")
        if not same_origin or headers.get("sec-fetch-site", "same-origin") != "same-origin":
            raise Refused(403, "the request does not come from this server's own page")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "send JSON")

    async def _read_body(self, headers: dict[str, str], receive: Receive) -> bytes:
        """The whole body. Raises Refused when it is too large or arrives too slowly."""
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.max_body:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.timeout):
                return await self._collect(receive)
        except TimeoutError:
            raise Refused(408, "the request arrived too slowly", connection="close") from None

    async def _collect(self, receive: Receive) -> bytes:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the client disconnected")
            body, more = body + message.get("body", b""), message.get("more_body", False)
            if len(body) > self.max_body:
                raise self._too_large()
        return body

    def _too_large(self) -> Refused:
        return Refused(413, f"send at most {self.max_body} bytes")


def session(headers: Mapping[str, str]) -> str:
    """The session secret in the caller's cookie; empty without one."""
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""


def _headers(scope: Scope) -> dict[str, str]:
    """The headers by lower-case name. Raises Refused when one that is checked appears twice."""
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key in headers and key in ("host", "origin", "content-length", "content-type"):
            raise Refused(400, f"{key} appears twice")
        headers[key] = value.decode("latin-1")
    return headers


def _replay(body: bytes, receive: Receive) -> Receive:
    """Receives the body that was already read, then whatever follows."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> Message:
        return next(messages, None) or await receive()

    return replay


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            present = {name for name, _ in message["headers"]}
            added = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        await send(message)

    return send_with_headers


async def _refuse(refused: Refused, send: Send) -> None:
    body = f"{refused}\n".encode()
    headers = HEADERS | {"content-type": "text/plain; charset=utf-8", "content-length": str(len(body))}
    encoded = [(k.encode(), v.encode()) for k, v in (headers | refused.headers).items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
