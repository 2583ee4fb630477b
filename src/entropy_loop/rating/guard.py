"""Protects a served page from the other web pages that are open in a browser on this machine.

Any of them can send requests here. So the Host header must name this server. A POST must come from this server's own
page and carry a JSON body that arrives in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_SECONDS = 10.0  # in which the body of a POST must arrive
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


def protect(app: ASGIApp, hosts: Sequence[str]) -> ASGIApp:
    """The app for requests to these hosts alone, with HEADERS on every response that does not set its own."""
    for_hosts = TrustedHostMiddleware(app, hosts, www_redirect=False)

    async def protected(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await for_hosts(scope, receive, send_with_headers)

    return protected


async def posted(request: Request) -> bytes:
    """The body of a POST. Raises HTTPException when it is not from this server's own page, not JSON, or too slow."""
    headers = request.headers
    same_origin = headers.get("origin") in (f"http://{headers['host']}", f"https://{headers['host']}")
    if not same_origin or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, "the request does not come from this server's own page")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send JSON")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.body()
    except TimeoutError:
        raise HTTPException(408, "the request arrived too slowly", {"connection": "close"}) from None
    except ClientDisconnect:
        raise HTTPException(400, "the client disconnected") from None
