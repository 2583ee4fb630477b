"""A rating page that is really served, and somebody who sends it requests."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).parent
Answer = tuple[int, bytes, dict[str, str]]
"""Status, body and headers."""


def line(*arguments: object) -> list[str]:
    return [sys.executable, str(HERE / "serve.py"), *map(str, arguments)]


def environment() -> dict[str, str]:
    """With the painted generator in reach."""
    paths = [str(HERE.parent / "report"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command line to its end."""
    command_line = line(*arguments)
    return subprocess.run(command_line, capture_output=True, text=True, timeout=120, check=False, env=environment())


@dataclass
class Client:
    """Somebody with a browser's manners; `headers` replace them (None leaves one out)."""

    host: str
    cookie: str = ""

    def send(
        self, method: str, path: str, body: Any = None, **headers: str | None
    ) -> tuple[int, bytes, dict[str, str]]:
        """(status, body, headers) of the answer; `body` is sent as JSON unless it is bytes."""
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent: dict[str, str | None] = {"host": self.host, "cookie": self.cookie or None}
        if method == "POST":
            sent |= {
                "origin": f"http://{self.host}",
                "content-type": "application/json",
                "content-length": str(len(data)),
            }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        name, _, port = self.host.rpartition(":")
        connection = http.client.HTTPConnection(name, int(port), timeout=20)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for key, value in sent.items():
                if value is not None:
                    connection.putheader(key, value)
            connection.endheaders(data)
            answer = connection.getresponse()
            return answer.status, answer.read(), {key.lower(): value for key, value in answer.getheaders()}
        finally:
            connection.close()

    def post(self, path: str, body: Any, **headers: str | None) -> dict[str, Any]:
        """The answer to a request that is right."""
        status, data, received = self.send("POST", path, body, **headers)
        assert status == 200, (status, data)
        if "set-cookie" in received:
            self.cookie = received["set-cookie"].partition(";")[0]
        return dict(json.loads(data))


@dataclass
class Room:
    """A rating page being served."""

    process: subprocess.Popen[str]
    links: list[str]

    @property
    def host(self) -> str:
        return urlsplit(self.links[0]).netloc

    def rater(self, number: int = 0) -> tuple[Client, dict[str, Any]]:
        """Somebody who has joined with one of the links, and what is asked first."""
        client = Client(self.host)
        return client, client.post("/join", {"link": urlsplit(self.links[number]).fragment})


@contextmanager
def room(root: Path, *arguments: object, links: int = 2) -> Iterator[Room]:
    """The page of a results folder, served until the end of the block."""
    command_line = line("rate", root, "--links", links, *arguments)
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command_line, env=environment(), **pipes) as process:
        assert process.stdout is not None
        addresses = [process.stdout.readline().strip() for _ in range(links)]
        if not addresses[-1]:
            raise AssertionError(process.stderr.read() if process.stderr else "")
        try:
            yield Room(process, addresses)
        finally:
            process.terminate()
            process.wait(timeout=20)
