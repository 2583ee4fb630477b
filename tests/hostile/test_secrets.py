"""Secrets stay where they are, and a run asks nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from conftest import Toy, environment

CONFIGS = Path(__file__).parents[2] / "configs"
CANARY = "c4n4ryC4N4RYc4n4ryC4N4RY"
SECRETS = {
    "HF_TOKEN": f"hf_{CANARY}", "HUGGING_FACE_HUB_TOKEN": f"hf_{CANARY}", "WANDB_API_KEY": CANARY,
    "AWS_ACCESS_KEY_ID": CANARY, "AWS_SECRET_ACCESS_KEY": CANARY, "GITHUB_TOKEN": f"ghp_{CANARY}",
    "OPENAI_API_KEY": f"sk-{CANARY}", "HTTPS_PROXY": f"http://user:{CANARY}@localhost:9",
}  # fmt: skip
WATCH = """
import os, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        with open(os.environ["SEEN"], "a") as file:
            file.write(f"{event} {arguments[1:] if event.startswith('socket.c') else arguments}\\n")
sys.addaudithook(watch)
"""
"""What Python runs at the start of every process here: it writes down who is asked for or connected to."""


def started(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line with secrets in its environment, and watched."""
    watch = tmp_path / "watch"
    watch.mkdir(exist_ok=True)
    (watch / "sitecustomize.py").write_text(WATCH)
    paths = os.pathsep.join(filter(None, (str(watch), os.environ.get("PYTHONPATH"))))
    variables = environment() | SECRETS | {"PYTHONPATH": paths, "SEEN": str(tmp_path / "seen")}
    line = [sys.executable, *map(str, arguments)]
    return subprocess.run(line, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)


def leaks(tmp_path: Path) -> list[str]:
    """Files that hold the canary, but for the config that the test wrote."""
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "secret.yaml"]
    return [path.name for path in files if CANARY.encode() in path.read_bytes()]


def test_the_watch_sees_who_is_asked(tmp_path: Path):
    """A connection is written down."""
    started(tmp_path, "-c", "import socket; socket.socket().connect_ex(('127.0.0.1', 9))")
    assert "127.0.0.1" in (tmp_path / "seen").read_text()


@pytest.fixture(params=["toy", pytest.param("bundled", marks=pytest.mark.thorough)])
def config(request: pytest.FixtureRequest, toy: Toy, tmp_path: Path) -> Path:
    """An experiment without models, and one with all the libraries that could ask a hub for something."""
    if request.param == "toy":
        return toy()
    smallest = {"generations": 1, "images": 4, "evaluation": {"images": 2}}
    raw = yaml.safe_load((CONFIGS / "smoke.yaml").read_text(encoding="utf-8")) | smallest
    del raw["sweep"]
    raw["train"] |= {"max_train_steps": 1}
    (tmp_path / "bundled.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    return tmp_path / "bundled.yaml"


def test_a_run_keeps_secrets_and_asks_nobody(config: Path, tmp_path: Path):
    """Run, plan and report: no canary in any file or word of theirs, and no name or address is asked for."""
    every = [("run", config, "--out", "results"), ("plan", config, "--json"), ("report", "results", "--format", "json")]
    for line in every:
        result = started(tmp_path, "-m", "entropy_loop", *line)
        assert result.returncode == 0, result.stderr
        assert CANARY not in result.stdout + result.stderr
    assert leaks(tmp_path) == []
    assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize(
    "secret",
    [f"hf_{CANARY}", f"ghp_{CANARY}", f"sk-{CANARY}", "AKIA" + "C4N4" * 4, f"https://user:{CANARY}@example.org/model"],
)
def test_a_secret_in_a_config_is_refused_and_not_repeated(secret: str, toy: Toy, tmp_path: Path):
    """In a file with its line, or on the command line; neither message repeats it."""
    file = toy("secret.yaml", judges=[{"use": "clip", "model": secret}])
    for line in (("plan", file), ("run", toy(), "--set", f"judges.0.model={secret}")):
        result = started(tmp_path, "-m", "entropy_loop", *line)
        assert result.returncode == 2
        assert "looks like a password or token" in result.stderr
        assert secret not in result.stdout + result.stderr
    assert leaks(tmp_path) == []
