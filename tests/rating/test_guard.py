"""The protection around a served page, without a network."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from entropy_loop.rating.guard import HEADERS, protect
from entropy_loop.rating.server import allowed_hosts


def broken(request: Request) -> Response:
    raise ValueError("broken")


def got(address: str, path: str, *hosts: str) -> tuple[int, dict[str, str]]:
    """Status and headers of a page's answer to a GET with these Host headers."""
    page = Starlette(
        routes=[
            Route("/", lambda request: Response(headers={"cache-control": "private"})),
            Route("/broken", broken),
        ]
    )
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", host.encode()) for host in hosts]
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    with suppress(ValueError):
        asyncio.run(protect(page, allowed_hosts(address))(scope, receive, send))  # type: ignore[arg-type]
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1:8000", "127.0.0.1:8000"),
        ("127.0.0.1:8000", "localhost:8000"),
        ("127.0.0.1:8000", "localhost:9000"),  # through a tunnel
        ("127.0.0.1:80", "127.0.0.1"),
        ("[::1]:8000", "[::1]:8000"),
        ("[::1]:8000", "localhost:8000"),
        ("[2001:db8::1]:8000", "[2001:db8::1]:8000"),
        ("rate.example:8000", "Rate.Example:8000"),
    ],
)
def test_a_request_that_names_the_server_is_served(address: str, host: str) -> None:
    """Names, IPv4 and IPv6, on any port; localhost for loopback."""
    assert got(address, "/", host)[0] == 200


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "[::1]:8000"])
@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8000",
        "127.0.0.1.evil.example:8000",
        "localhost.evil.example:8000",
        "www.localhost:8000",
        "evil.example@127.0.0.1:8000",
        "127.0.0.1:8000@evil.example",
        "127.0.0.1:8000, evil.example",
        "[::2]:8000",
        "::1",
        "*",
    ],
)
def test_a_request_that_names_another_host_is_refused(address: str, host: str) -> None:
    """A page that makes its own name point here (DNS rebinding) is not served; nor is a request without a host."""
    assert got(address, "/", host)[0] == 400
    assert got(address, "/")[0] == 400


def test_localhost_is_a_name_of_loopback_alone() -> None:
    """A server on another address does not answer to localhost."""
    assert got("192.0.2.1:8000", "/", "localhost:8000")[0] == 400


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/", "evil.example", 400), ("/none", "localhost", 404), ("/broken", "localhost", 500)],
)
def test_the_headers_are_on_errors(path: str, host: str, status: int) -> None:
    """Refused, missing or failed: the answer carries every header."""
    answered, headers = got("localhost:80", path, host)
    assert answered == status
    assert headers.items() >= HEADERS.items()


def test_a_header_of_the_pages_own_stays() -> None:
    """What a page says itself is neither replaced nor said twice."""
    _, headers = got("localhost:80", "/", "localhost")
    assert headers.items() >= (HEADERS | {"cache-control": "private"}).items()
