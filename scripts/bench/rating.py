"""The rating page under load: 200 raters at once, each answering every three seconds."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from urllib.parse import urlsplit

import numpy as np

from scripts.bench import harness

RATERS, EVERY, SECONDS = 200, 3.0, 30.0
CONFIG = ["sweep={}", "generations=1", "images=64", "measures={}", "attributes={}", "generator.num_inference_steps=2"]


class Rater:
    """A browser: one connection that stays open, one session."""

    def __init__(self, link: str) -> None:
        place = urlsplit(link)
        self.host, self.secret, self.cookie = place.netloc, place.fragment, ""
        self.answers: list[float] = []
        self.images: list[float] = []

    async def open(self) -> None:
        name, _, port = self.host.rpartition(":")
        self.reader, self.writer = await asyncio.open_connection(name, int(port))

    async def ask(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        data = b"" if body is None else json.dumps(body).encode()
        head = [f"{method} {path} HTTP/1.1", f"host: {self.host}", f"cookie: {self.cookie}"]
        if method == "POST":
            head += [f"origin: http://{self.host}", "content-type: application/json", f"content-length: {len(data)}"]
        self.writer.write("\r\n".join([*head, "", ""]).encode() + data)
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
        if "set-cookie" in headers:
            self.cookie = headers["set-cookie"].partition(";")[0]
        return int(lines[0].split()[1]), await self.reader.readexactly(int(headers["content-length"]))

    async def rate(self, wait: float, start: float, until: float) -> None:
        await asyncio.sleep(wait)  # they do not all join at once
        await self.open()
        status, data = await self.ask("POST", "/join", {"link": self.secret})
        harness.same(f"joining ({status})", status == 200)
        state = json.loads(data)
        await asyncio.sleep(max(0.0, start - time.perf_counter()))
        while time.perf_counter() < until and state["task"] == "look":
            began = time.perf_counter()
            status, _ = await self.ask("GET", f"/image/{state['item']}")
            shown = time.perf_counter()
            self.images.append(shown - began)
            harness.same(f"images ({status})", status == 200)
            status, data = await self.ask("POST", "/answer", {"ask": state["ask"], "seen": state["concepts"][:1]})
            self.answers.append(time.perf_counter() - shown)
            harness.same(f"answers ({status})", status == 200)
            state = json.loads(data)
            await asyncio.sleep(max(0.0, EVERY - (time.perf_counter() - began)))


async def load(links: list[str]) -> list[Rater]:
    """All raters, their first answers spread over three seconds."""
    raters, now = [Rater(link) for link in links], time.perf_counter() + len(links) / 15 + 2
    await asyncio.gather(
        *(rater.rate(i / 15, now + EVERY * i / len(raters), now + SECONDS) for i, rater in enumerate(raters))
    )
    return raters


def main() -> None:
    file = harness.start()
    rows = []
    with harness.temporary_folder() as root:
        run = [sys.executable, "-m", "entropy_loop", "run", "configs/smoke.yaml", "--out", str(root / "run")]
        subprocess.run(
            [*run, *(word for override in CONFIG for word in ("--set", override))], check=True, capture_output=True
        )
        line = [sys.executable, "-m", "entropy_loop", "rate", str(root / "run"), "--links", str(RATERS)]
        line += ["--images", "64", "--raters", str(RATERS)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env={**os.environ}) as server:
            links = [server.stdout.readline().strip() for _ in range(RATERS)]
            raters = asyncio.run(load(links))
            server.terminate()
        for kind in ("answers", "images"):
            latency = np.array([seconds for rater in raters for seconds in getattr(rater, kind)]) * 1000
            p50, p99 = np.quantile(latency, [0.5, 0.99])
            note = f"median {p50:.0f} ms, largest {latency.max():.0f} ms, none refused"
            rows.append(
                harness.Row("rate", f"{kind}, {RATERS} raters, p99", p99, p99, p99, len(latency), "ms", "<= 250", note)
            )
    harness.report(rows, file)


if __name__ == "__main__":
    main()
