"""`fetch` against a server that speaks the hub's protocol, and everything else without any connection."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from conftest import environment
from entropy_loop import assets, study
from entropy_loop.errors import ConfigError
from entropy_loop.fetch import wanted

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_" + "s" * 34
JUNK = {
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
    "v1-5-pruned.ckpt": b"pickle",
    "convert.py": b"import os",
    "text_encoder/pytorch_model.bin": b"pickle",
    "README.md": b"# A model",
}


def repository(name: str, junk: dict[str, bytes]) -> dict[str, bytes]:
    folder = assets.find(name)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return files | junk


class Hub(BaseHTTPRequestHandler):
    """The listing of a commit's files, and the files; what was asked stands in `asked`."""

    repositories: dict[str, dict[str, bytes]]
    asked: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.partition("?")[0].strip("/")
        self.asked.append(f"{self.command} {path}")
        for name, files in self.repositories.items():
            if path == f"api/models/{name}/tree/{COMMIT}":
                rows = [
                    {"type": "file", "path": p, "size": len(b), "oid": hashlib.sha1(b).hexdigest()}
                    for p, b in files.items()
                ]
                return self._send(json.dumps(rows).encode(), body, "application/json")
            if path.startswith(f"{name}/resolve/{COMMIT}/"):
                file = path.removeprefix(f"{name}/resolve/{COMMIT}/")
                if file in files:
                    return self._send(files[file], body, "application/octet-stream")
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        return self.end_headers()

    def _send(self, data: bytes, body: bool, kind: str) -> None:
        self.send_response(200)
        told = {"Content-Type": kind, "Content-Length": str(len(data)), "X-Repo-Commit": COMMIT}
        for name, value in {**told, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.asked = []
    Hub.repositories = {
        "somebody/storybook": repository("bundled:storybook", JUNK),
        "somebody/curator": repository("bundled:storybook-curator", {"open_clip_pytorch_model.bin": b"pickle"}),
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The smallest run, with its checkpoint and its curator from the hub."""
    raw = {
        "name": "hub", "generations": 1, "images": 2, "threads": 1, "evaluation": {"images": 1},
        "prompts": [{"text": "a photograph of an astronaut riding a horse", "concepts": ["astronaut"]}],
        "generator": {
            "use": "diffusion", "checkpoint": "somebody/storybook", "revision": COMMIT, "num_inference_steps": 1,
            "block": 2,
        },
        "curate": {
            "scorer": {"use": "clip", "model": "somebody/curator", "revision": COMMIT},
            "policy": {"use": "top_k", "k": 1},
        },
        "train": {"max_train_steps": 1, "train_batch_size": 1},
        "judges": [{"use": "clip", "model": "bundled:storybook-judge"}],
    }  # fmt: skip
    path = tmp_path / "hub.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


# In a process that has no sockets: whoever opens one fails.
NO_SOCKETS = """
import socket
def refused(*_, **__):
    raise RuntimeError("a connection was tried")
socket.socket.connect = refused
socket.create_connection = refused
socket.getaddrinfo = refused
"""


def command(tmp_path: Path, *line: object, **more: str) -> subprocess.CompletedProcess[str]:
    known = {**environment(), "HF_HOME": str(tmp_path / "hf"), "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", **more}
    line = [sys.executable, "-m", "entropy_loop", *map(str, line)]
    return subprocess.run(line, cwd=tmp_path, env=known, capture_output=True, text=True, timeout=120)


def test_after_fetch_a_run_needs_no_connection(tmp_path, config, hub):
    """`fetch` gets what is needed and nothing that can carry code; then a whole run passes in a process that cannot
    connect. A second `fetch` loads nothing, and the token is written nowhere."""
    done = command(tmp_path, "fetch", config, HF_ENDPOINT=hub)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "everything is here" in done.stdout
    (snapshot,) = (tmp_path / "hf").glob(f"hub/models--somebody--storybook/snapshots/{COMMIT}")
    got = {p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if p.is_file()}
    assert got == set(Hub.repositories["somebody/storybook"]) - set(JUNK)
    Hub.asked.clear()
    assert command(tmp_path, "fetch", config, HF_ENDPOINT=hub).returncode == 0
    assert not [line for line in Hub.asked if line.startswith("GET") and "/resolve/" in line]
    (tmp_path / "offline").mkdir()
    (tmp_path / "offline" / "sitecustomize.py").write_text(NO_SOCKETS)
    run = command(tmp_path, "run", config, "--out", "out", PYTHONPATH=str(tmp_path / "offline"))
    assert run.returncode == 0, run.stderr[-2000:]
    for file in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert TOKEN.encode() not in file.read_bytes(), file
    assert TOKEN not in done.stdout + done.stderr + run.stdout + run.stderr


@pytest.mark.parametrize("lost", [None, "unet/diffusion_pytorch_model.safetensors"])
def test_what_is_missing_names_fetch(tmp_path, config, hub, lost):
    """Nothing downloaded, or a file of it lost: exit code 2, the missing thing, and the command that gets it."""
    if lost:
        assert command(tmp_path, "fetch", config, HF_ENDPOINT=hub).returncode == 0
        next((tmp_path / "hf").rglob(lost)).unlink()
    done = command(tmp_path, "run", config)
    assert (done.returncode, "`entropy-loop fetch CONFIG`" in done.stderr) == (2, True)
    assert (lost or "somebody/storybook") in done.stderr


def test_a_model_that_the_hub_does_not_have_is_told(tmp_path, config, hub):
    """Its name and commit, in one line, and exit code 1."""
    done = command(tmp_path, "fetch", config, "--set", "generator.checkpoint=somebody/else", HF_ENDPOINT=hub)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"somebody/else at {COMMIT}: cannot be fetched" in done.stderr


@pytest.mark.parametrize("revision", [None, "main", "v1.0", COMMIT[:12]])
def test_a_hub_id_is_pinned_to_a_commit(revision):
    """Branches and tags move, and a short hash may become ambiguous."""
    with pytest.raises(ConfigError, match="needs `revision`: the 40 hex digits"):
        assets.find("somebody/storybook", revision)


@pytest.mark.parametrize(("file", "text"), [("model.py", "x"), ("unet/config.json", '{"auto_map": {"A": "b.C"}}')])
def test_a_model_with_code_of_its_own_is_refused(tmp_path, file, text):
    """A Python file, or a config that asks for one."""
    (tmp_path / "unet").mkdir()
    (tmp_path / "weights.safetensors").touch()
    (tmp_path / file).write_text(text)
    with pytest.raises(ConfigError, match="never run"):
        assets.find(str(tmp_path))


def test_every_arms_models_are_wanted(config):
    """Each once, of all arms; the curator only where its scores are read."""
    names = [download.repo for download in wanted(study.load(config))]
    assert names == ["somebody/storybook", "somebody/curator"]
    assert [d.repo for d in wanted(study.load(config, ("curate.policy={use: none}",)))] == ["somebody/storybook"]
    both = wanted(study.load(config, (f"sweep.generator.revision=[{COMMIT}, {COMMIT[::-1]}]",)))
    assert len(both) == 3
    assert os.environ.get("HF_HUB_OFFLINE") is None
