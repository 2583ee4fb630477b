"""The live view of a run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from rooms import Client, environment, line


def test_the_page_grows_with_the_run_and_nothing_is_written(results: Path) -> None:
    """An unfinished run is shown as it is and asks to be read again; when its stages are there the page has them, and
    asks no more. Only figures and tables of the folder are handed out, to nobody else's host."""
    late = {path: results.parent / path.name for path in results.glob("store/g03-*")}
    for path, away in late.items():
        shutil.move(path, away)
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()}
    command_line = line("watch", results)
    with subprocess.Popen(command_line, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        client = Client(process.stdout.readline().strip().removeprefix("http://").rstrip("/"))
        status, data, headers = client.send("GET", "/")
        assert (status, b"Unfinished" in data, headers.get("refresh")) == (200, True, "15")
        assert "unsafe-inline" not in headers["content-security-policy"].partition("script-src")[2]
        assert client.send("GET", "/rates.csv")[1] == (results / "rates.csv").read_bytes()
        assert client.send("GET", "/figures/recognition-1.svg")[0] == 200
        for path in ("/config.yaml", "/figures/..%2fconfig.yaml", "/people.sqlite", "/store", "/other.csv"):
            assert client.send("GET", path)[0] == 404
        assert client.send("GET", "/", host="evil.example")[0] == 400
        assert {path: path.stat().st_mtime_ns for path in results.rglob("*") if path.is_file()} == before
        for path, away in late.items():
            shutil.move(away, path)
        (results / "events.jsonl").open("a").write('{"stage": "more"}\n')
        _, data, headers = client.send("GET", "/")
        assert (b"Unfinished" in data, headers.get("refresh")) == (False, None)
        process.terminate()
        assert process.wait(timeout=20) == 0
