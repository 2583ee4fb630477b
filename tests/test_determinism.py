"""The same bytes: run after run, in one process or several, whatever a machine says of time, language and order.

What is marked `thorough` takes minutes. Held elsewhere: two Ray workers, killed ones among them, and three shards of
the toy experiment (tests/engines/test_engines.py); killed and continued (tests/test_laws.py); schedulers against
diffusers' pipelines (tests/generators/diffusion/test_diffusion.py).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import environment, science
from entropy_loop.data import POOL, Checkpoint, Request, Samples
from entropy_loop.generators.diffusion import sampling
from entropy_loop.plan import Chain, plan
from entropy_loop.study import study

ESSAY, UMLAUTS = "a photograph of an astronaut riding a horse", "Astronaut reitet ein Pferd über die Straße"
TOY = ("generations=2", "images=16", "sweep={curate.policy: [{use: none}, {use: top_k, k: 4}], seed: [0, 1]}")
BUNDLED = (
    "configs/smoke.yaml", "generations=1", "images=8", "evaluation.images=2", "threads=1", "generator.block=4",
    "generator.num_inference_steps=2", "train.max_train_steps=2", "train.train_batch_size=2",
    "sweep={curate.policy: [{use: none}, {use: top_k, k: 3}]}",
)  # fmt: skip
HERE = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
BACKWARDS = """
import os

listed, scanned = os.listdir, os.scandir


class Backwards:
    def __init__(self, entries):
        self.entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

    def __iter__(self):
        return self.entries

    def __next__(self):
        return next(self.entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.entries = iter(())


os.listdir = lambda path=".": sorted(listed(path), reverse=True)
os.scandir = lambda path=".": Backwards(scanned(path))
"""
"""A sitecustomize.py with which every folder lists its files from Z to A."""


def begin(experiment: tuple[str, ...], root: Path, *more: str, **machine: str) -> subprocess.Popen[bytes]:
    """`entropy-loop run` in a process of its own. experiment: the config, and what is set in it."""
    overrides = [word for override in experiment[1:] for word in ("--set", override)]
    line = [sys.executable, "-m", "entropy_loop", "run", experiment[0], "--out", str(root), *overrides, *more]
    machine = environment() | HERE | machine
    return subprocess.Popen(line, env=machine, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def run_hashes(experiment: tuple[str, ...], root: Path, **machine: str) -> dict[str, str]:
    """Hashes of what that run makes: stages, tables, figures, the resolved config."""
    process = begin(experiment, root, **machine)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output.decode(errors="replace")
    return science(root) | {"config.yaml": (root / "config.yaml").read_text(encoding="utf-8")}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The toy experiment with two arms, two chains and a prompt that is not ASCII."""
    path = tmp_path_factory.mktemp("config") / "toy.yaml"
    path.write_text(Path("configs/toy.yaml").read_text(encoding="utf-8").replace(ESSAY, UMLAUTS), encoding="utf-8")
    return (str(path), *TOY)


@pytest.fixture(scope="module")
def toy_run(toy: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run of it makes."""
    return run_hashes(toy, tmp_path_factory.mktemp("toy") / "run")


@pytest.fixture(scope="module")
def bundled_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run on the bundled models makes: pools of two blocks, judged, curated, measured, trained on."""
    return run_hashes(BUNDLED, tmp_path_factory.mktemp("bundled") / "run")


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """The environment of other machines, one difference each: a clock 14 hours ahead, a locale of ASCII text, ..."""
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(BACKWARDS)
    return {
        "time zone": {"TZ": "LINT-14"},
        "locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        "hash seed": {"PYTHONHASHSEED": "7"},
        "directory order": {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])},
    }


DIFFERENT = ["time zone", "locale", "hash seed", "directory order"]


def test_the_machines_really_differ(machines: dict[str, dict[str, str]], tmp_path: Path) -> None:
    """On each one a process sees another time, encoding, hash or order of files than on this one, and nothing else."""
    for name in "abcdefgh":
        (tmp_path / name).write_text("")
    code = "import locale, os, sys, time\nprint(time.timezone, locale.getpreferredencoding(False), hash('a'), "
    code += "*os.listdir(sys.argv[1]), *(entry.name for entry in os.scandir(sys.argv[1])), sep='\\n')"

    def answers(**machine: str) -> list[str]:
        line = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(line, env=environment() | HERE | machine, capture_output=True, text=True, check=True)
        zone, encoding, hashed, *files = done.stdout.splitlines()
        return [zone, encoding, hashed, " ".join(files)]

    here = answers()
    differing = {name: [a != b for a, b in zip(here, answers(**machines[name]), strict=True)] for name in machines}
    assert differing == {name: [name == other for other in DIFFERENT] for name in DIFFERENT}


def test_three_runs_of_the_toy_experiment_make_the_same_bytes(
    toy: tuple[str, ...], toy_run: dict[str, str], tmp_path: Path
) -> None:
    """Every file of every stage, every table and figure."""
    for name in ("second", "third"):
        assert run_hashes(toy, tmp_path / name) == toy_run


@pytest.mark.parametrize("name", DIFFERENT)
def test_another_machine_makes_the_same_bytes(
    name: str, machines: dict[str, dict[str, str]], toy: tuple[str, ...], toy_run: dict[str, str], tmp_path: Path
) -> None:
    """Time zone, locale, hash seed and directory order are in no result."""
    assert run_hashes(toy, tmp_path / "run", **machines[name]) == toy_run


@pytest.mark.thorough
def test_three_runs_on_the_bundled_models_make_the_same_bytes(bundled_run: dict[str, str], tmp_path: Path) -> None:
    """Latents, pictures, judgements, measures, weights and tables."""
    for name in ("second", "third"):
        assert run_hashes(BUNDLED, tmp_path / name) == bundled_run


@pytest.mark.thorough
def test_all_that_differs_at_once_changes_no_byte_of_the_bundled_models(
    machines: dict[str, dict[str, str]], bundled_run: dict[str, str], tmp_path: Path
) -> None:
    """Time zone, locale, hash seed and directory order together, with torch, diffusers and open_clip."""
    together = {key: value for machine in machines.values() for key, value in machine.items()}
    assert run_hashes(BUNDLED, tmp_path / "run", **together) == bundled_run


@pytest.mark.thorough
def test_two_shards_on_the_bundled_models_make_what_one_process_makes(
    bundled_run: dict[str, str], tmp_path: Path
) -> None:
    """1/2 and 2/2 at once in one folder, an arm each."""
    shards = [begin(BUNDLED, tmp_path, "--shard", f"{i}/2") for i in (1, 2)]
    outputs = [shard.communicate(timeout=400)[0].decode() for shard in shards]
    assert [shard.returncode for shard in shards] == [0, 0], outputs
    assert science(tmp_path).items() <= bundled_run.items()
    assert len(science(tmp_path)) == len(bundled_run) - 1  # all but the config


def silent(share: float) -> None:
    """Progress that nobody watches."""


def planned(images: int, *overrides: str) -> Chain:
    """A chain of the smoke config in two steps of the sampler, with the default block."""
    small = ("sweep={}", "generations=1", "threads=1", "generator.num_inference_steps=2", "generator.block=32")
    return plan(study.load(Path("configs/smoke.yaml"), (*small, f"images={images}", *overrides))).chains[0]


def sampled(run: Chain, out: Path, requests: list[Request]) -> Samples:
    """Some images of its generation 0."""
    generator = run.config.generator_plugin()
    out.mkdir()
    generator.base(out, silent)
    generator.sample(Checkpoint(out), requests, out, silent)
    return Samples(out)


def images(samples: Samples) -> dict[str, tuple[str, bytes]]:
    """Hash of the latents and bytes of the picture, by id."""
    rows = samples.table.itertuples()
    return {str(row.id): (str(row.latent_sha256), (samples.folder / str(row.file)).read_bytes()) for row in rows}


@pytest.mark.thorough
@pytest.mark.parametrize("name", sampling.SCHEDULERS)
def test_an_image_is_the_same_in_a_run_of_8_and_of_64_and_on_another_worker(name: str, tmp_path: Path) -> None:
    """With every scheduler, also those that draw noise in each step: 8 images are the first of 64, and the second
    block of the 64 made alone, as a worker would make it, is the second half."""
    few, many = (planned(n, f"generator.scheduler={name}") for n in (8, 64))
    whole = images(sampled(many, tmp_path / "many", many.requests(0, POOL)))
    apart = images(sampled(few, tmp_path / "few", few.requests(0, POOL)))
    second = many.config.generator_plugin().split(many.requests(0, POOL))[1]
    apart |= images(sampled(many, tmp_path / "second", second))
    assert len(set(whole.values())) == 64
    assert len(apart) == 8 + 32
    assert apart.items() <= whole.items()


def test_block_size_is_part_of_the_key_and_not_of_the_initial_latents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three images one by one and in a block of 32: the same noise to start from, bit by bit; stages of other names."""
    import torch

    starts, keys, noise = [], [], sampling.noise
    for block in (1, 32):
        run = planned(3, f"generator.block={block}", "generator.num_inference_steps=1")
        drawn: list[torch.Tensor] = []
        monkeypatch.setattr(
            sampling, "noise", lambda *arguments, drawn=drawn: drawn.append(noise(*arguments)) or drawn[-1]
        )
        sampled(run, tmp_path / str(block), run.requests(0, POOL))
        starts.append(torch.cat(drawn))
        keys.append(run.generations[0].sets[POOL].key)
    assert [len(start) for start in starts] == [3, 32]
    assert torch.equal(starts[0], starts[1][:3])
    assert keys[0] != keys[1]


def test_a_generator_of_torch_reads_only_32_bits_of_its_seed() -> None:
    """Why seeds are a permutation of 32 bits and no hash of 64: what differs above them draws the same noise."""
    import torch

    noise = [torch.randn(8, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5 + 2**32, 6)]
    assert torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], noise[2])


@pytest.mark.thorough
def test_two_million_planned_images_have_seeds_of_their_own() -> None:
    """Ten generations of 200,000 images of one chain: 2,000,000 seeds of 32 bits, no two the same. Hashed to 32 bits,
    some 465 pairs of them would share one."""
    run = plan(study.load(Path("configs/toy.yaml"), ("sweep={}", "generations=9", "images=200000"))).chains[0]
    seeds = {request.seed for g in range(10) for request in run.requests(g, POOL)}
    assert len(seeds) == 2_000_000
    assert max(seeds) < 2**32
