"""Sampling on one thread: bf16 against fp32, compiled or not, and what compiling costs, once and with torch's cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from scripts.bench import harness

N, STEPS, GUIDANCE, BLOCK, PAIRS = 64, 20, 3.0, 32, 3
FIRST = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from entropy_loop.data import Checkpoint, Request
from entropy_loop.generators.diffusion.diffusion import Diffusion
root, block, compiled = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "compiled"
generator = Diffusion("bundled:storybook", num_inference_steps=2, guidance_scale=3.0, block=block, precision="bf16",
                      compile=compiled)
requests = [Request(f"{i:05d}", "a photograph of an astronaut riding a horse", i, i) for i in range(block)]
(root / "base").mkdir(parents=True)
generator.base(root / "base", lambda share: None)
(root / "made").mkdir()
began = time.perf_counter()
generator.sample(Checkpoint(root / "base"), requests, root / "made", lambda share: None)
print(time.perf_counter() - began)
"""
"""The first block of a process: loads the models and compiles, or finds the compiled code in the cache."""


def first_block(root: Path, compiled: bool, cache: Path) -> float:
    """Seconds of the first block of a new process."""
    line = [sys.executable, "-c", FIRST, str(root), str(BLOCK), "compiled" if compiled else "eager"]
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(cache)}
    return float(subprocess.run(line, env=environment, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    file = harness.start()
    import torch
    from safetensors.torch import load_file

    from entropy_loop.data import Checkpoint, Request
    from entropy_loop.generators.diffusion.diffusion import Diffusion
    from entropy_loop.machine import device

    torch.set_num_threads(harness.THREADS)
    if "bf16" not in device.native("cpu"):
        print("precision: this processor has no bf16; nothing was measured.")
        return
    requests = [Request(f"{i:05d}", harness.ESSAY, i, i) for i in range(N)]
    count, rows = iter(range(10_000)), []
    with harness.temporary_folder() as root:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(root / "cache")
        generators = {
            name: Diffusion(
                "bundled:storybook", num_inference_steps=STEPS, guidance_scale=GUIDANCE, block=BLOCK,
                precision=name.split()[-1], compile=name.startswith("compiled"),
            )
            for name in ("fp32", "bf16", "compiled bf16")
        }  # fmt: skip
        base = root / "base"
        base.mkdir()
        generators["fp32"].base(base, harness.ignore)

        def make(name: str) -> torch.Tensor:
            out = root / f"made{next(count)}"
            out.mkdir()
            generators[name].sample(Checkpoint(base), requests, out, harness.ignore)
            return torch.cat([latent.flatten() for latent in load_file(out / "latents.safetensors").values()])

        latents = {name: make(name) for name in generators}
        for name in ("bf16", "compiled bf16"):
            apart = (latents[name] - latents["fp32"]).norm() / latents["fp32"].norm()
            harness.same("latents", bool(apart < 0.05))
        for name, demand in (("bf16", ">= 1.55"), ("compiled bf16", "report")):
            ratio = harness.pairs(lambda name=name: make(name), lambda: make("fp32"), PAIRS)
            what = f"our {name} against our fp32, {BLOCK} at a time"
            rows.append(
                harness.Row(
                    "bf16", what, *ratio, PAIRS, "x", demand, "latents equal to 5 % of their size; without compiling"
                )
            )
        eager, cold, warm = (
            first_block(root / place, place != "eager", root / "new-cache") for place in ("eager", "cold", "warm")
        )
        for what, seconds in (("first", cold - eager), ("in a later process, from torch's cache", warm - eager)):
            rows.append(harness.Row("bf16", f"compiling, {what}", *[seconds] * 3, 1, "s", "report"))
    harness.report(rows, file)


if __name__ == "__main__":
    main()
