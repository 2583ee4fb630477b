"""A hub of our own on this machine: as much of the protocol as `huggingface_hub` needs to list and download."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
"""The one commit that every repository has, where its branch main is."""


@dataclass
class Hub:
    """Repositories by name, each a folder; and what was asked for: (method, path, whether with a token)."""

    repositories: dict[str, Path]
    url: str = ""
    asked: list[tuple[str, str, bool]] = field(default_factory=list)

    def names(self) -> set[str]:
        """The files whose bytes were sent, without the name of their repository."""
        return {path.split(f"/resolve/{COMMIT}/")[1] for method, path, _ in self.asked if "/resolve/" in path}


@contextmanager
def serving(repositories: dict[str, Path]) -> Iterator[Hub]:
    """A hub that listens on a free port as long as the block runs."""
    hub = Hub(repositories)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, "Authorization" in self.headers))
        api = path.startswith("/api/models/")
        owner, name, *rest = path.removeprefix("/api/models/").strip("/").split("/")
        folder = self.hub.repositories.get(f"{owner}/{name}")
        if folder is None:
            return self._send(404, b"", {"X-Error-Code": "RepoNotFound"})
        if len(rest) > 1 and rest[1] not in (COMMIT, "main"):
            return self._send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        if not api:
            file = folder.joinpath(*rest[2:])
            return self._send(200, file.read_bytes(), {"ETag": f'"{_sha(file)}"', "X-Repo-Commit": COMMIT})
        answer = _tree(folder) if rest[:1] == ["tree"] else {"id": f"{owner}/{name}", "sha": COMMIT}
        return self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    do_HEAD = do_GET

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _tree(folder: Path) -> list[dict[str, object]]:
    """The hub's entry of every file; large ones lie in its store for them."""
    entries = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        size = file.stat().st_size
        entry = {"type": "file", "path": file.relative_to(folder).as_posix(), "size": size, "oid": _sha(file)[:40]}
        large = {"lfs": {"oid": _sha(file), "size": size, "pointerSize": 134}}
        entries.append(entry | (large if file.suffix in (".safetensors", ".bin", ".ckpt") else {}))
    return entries


def _sha(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
