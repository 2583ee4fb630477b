"""Engines make the same bytes: Ray with two real workers, killed ones among them, and shards beside each other."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from conftest import environment, science
from entropy_loop import registry
from entropy_loop.commands import experiment
from entropy_loop.data import Request
from entropy_loop.engines.pool import QUARANTINE
from entropy_loop.engines.ray import Ray, _pool
from entropy_loop.errors import ConfigError, EntropyLoopError, TrainingDiverged
from entropy_loop.storage.store import Store

SWEEP = {"curate.policy": [{"use": "none"}, {"use": "random_k", "k": 3}], "seed": [0, 1]}


def silent(event, stage, share) -> None:
    """Nobody listens."""


def run(path: Path, root: Path, *overrides: str) -> experiment.Finished | None:
    return experiment.carry_out(experiment.prepare(path, overrides), root, silent)


RAY = ("engine.use=ray", "engine.workers=2")


def test_ray_makes_what_local_makes(toy, tmp_path):
    """Four chains on two workers: every stage's files and every table, byte by byte."""
    path = toy(sweep=SWEEP)
    run(path, tmp_path / "local")
    run(path, tmp_path / "ray", *RAY)
    assert science(tmp_path / "ray") == science(tmp_path / "local")


@pytest.mark.thorough
def test_blocks_of_one_pool_on_two_workers_are_the_pool(tmp_path):
    """The bundled checkpoint, five blocks of images spread over two workers, trained on and judged: the same bytes,
    images and latents included, and no part is left lying about."""
    small = (
        "sweep={}", "generations=1", "images=9", "evaluation.images=3", "measures={}", "attributes={}", "threads=1",
        "generator.num_inference_steps=2", "generator.block=2", "train.max_train_steps=2", "train.train_batch_size=2",
    )  # fmt: skip
    for name, engine in (("local", ()), ("ray", RAY)):
        run(Path("configs/smoke.yaml"), tmp_path / name, *small, *engine)
    assert science(tmp_path / "ray") == science(tmp_path / "local")
    assert not list((tmp_path / "ray").rglob(".part-*"))


@pytest.fixture
def plugin(monkeypatch, tmp_path):
    """The unruly generators as a package that registers them, for this process and for its workers."""
    about = tmp_path / "site" / "unruly-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: unruly\nVersion: 1.0\n")
    lines = [f"{name} = unruly:{name.title()}" for name in ("deadly", "diverging", "failing")]
    (about / "entry_points.txt").write_text("\n".join(["[entropy_loop.generator]", *lines, ""]))
    monkeypatch.syspath_prepend(about.parent)
    monkeypatch.setenv("PYTHONPATH", f"{about.parent}{os.pathsep}{Path(__file__).parent}")
    registry.known.cache_clear()
    yield
    registry.known.cache_clear()


def deadly(toy, tmp_path, lives: int, signal: str = "SIGKILL") -> Path:
    (tmp_path / "deaths").write_text("")
    rates = {"astronaut": 0.9, "horse": 0.7}
    options = {"use": "deadly", "rates": rates, "lives": lives, "count": str(tmp_path / "deaths"), "signal": signal}
    return toy(generator=options, sweep={"seed": [0, 1]})


def test_a_killed_worker_is_replaced(toy, tmp_path, plugin):
    """Two workers are killed with SIGKILL at their work: what comes out is what comes out undisturbed."""
    path = deadly(toy, tmp_path, 2)
    run(path, tmp_path / "ray", *RAY)
    assert (tmp_path / "deaths").read_text() == "xx"
    run(path, tmp_path / "local")  # nobody dies any more
    assert science(tmp_path / "ray") == science(tmp_path / "local")


def test_a_stage_that_kills_three_workers_is_put_aside(toy, tmp_path, plugin):
    """The message and quarantine.jsonl name stage and images; the next run refuses at once; without the line it
    goes on."""
    path = deadly(toy, tmp_path, 3)
    with pytest.raises(EntropyLoopError, match=r"generate-pool.*3 workers died at images p000-00-000000, "):
        run(path, tmp_path / "out", *RAY, "sweep={}")
    lines = (tmp_path / "out" / "store" / QUARANTINE).read_text().splitlines()
    assert [len(json.loads(line)["ids"]) for line in lines] == [8]
    (tmp_path / "deaths").write_text("")
    with pytest.raises(EntropyLoopError, match="put aside"):
        run(path, tmp_path / "out", *RAY, "sweep={}")
    assert (tmp_path / "deaths").read_text() == ""
    (tmp_path / "deaths").write_text("xxx")
    (tmp_path / "out" / "store" / QUARANTINE).unlink()
    assert run(path, tmp_path / "out", *RAY, "sweep={}")


def test_a_workers_error_is_the_makers_own(toy, tmp_path, plugin):
    """A training that diverges on a worker is that error, with its exit code; the other chains' work is kept."""
    path = toy(generator={"use": "diverging", "rates": {"astronaut": 0.9, "horse": 0.7}}, sweep={"seed": [0, 1]})
    with pytest.raises(TrainingDiverged, match="step 3: loss nan"):
        run(path, tmp_path / "out", *RAY)
    assert len(list((tmp_path / "out" / "store").glob("g00-curate-*"))) == 2


def start(path: Path, root: Path, *more: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "entropy_loop", "run", str(path), "--out", str(root), *more]
    return subprocess.Popen(line, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(there) -> None:
    for _ in range(600):
        if there():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -9), pytest.param(signal.SIGINT, 130, marks=pytest.mark.thorough)]
)
def test_a_driver_that_is_killed_leaves_what_is_finished(toy, tmp_path, number, code):
    """SIGKILL or Ctrl-C in the middle: its workers go, and the same command ends as if nothing had been."""
    path = toy(sweep={"seed": list(range(8))}, generations=3)
    driver = start(path, tmp_path / "ray", "--engine", "ray", "--workers", "2")
    until(lambda: len(list((tmp_path / "ray" / "store").glob("g01-*"))) > 3)
    family = psutil.Process(driver.pid).children(recursive=True)
    workers = [process for process in family if process.name().startswith("ray::_Actor")]
    assert workers
    driver.send_signal(number)
    assert driver.wait(timeout=60) == code, driver.stdout.read()
    until(lambda: not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers))
    done = start(path, tmp_path / "ray", "--engine", "ray", "--workers", "2")
    assert done.wait(timeout=120) == 0, done.stdout.read()
    run(path, tmp_path / "local")
    assert science(tmp_path / "ray") == science(tmp_path / "local")


def knocking(address: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Another process that joins the cluster."""
    code = f"import ray; ray.init(address={address!r}, logging_level='ERROR'); print(len(ray.nodes()))"
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


@pytest.mark.thorough
def test_a_cluster_of_our_own_listens_to_this_machine_alone(tmp_path):
    """Every socket on which a process of the cluster listens is on loopback, there is no dashboard, who comes without
    its token is sent away, and the object store has its 200 MB and no more."""
    with _pool(Ray(workers=1), Store(tmp_path), 1) as pool:
        assert pool.size == 1
        assert os.environ["RAY_AUTH_MODE"] == "token"
        family = psutil.Process().children(recursive=True)
        listening = {
            connection.laddr.ip
            for process in family
            for connection in process.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
        lines = [process.cmdline() for process in family]
        import ray

        capped = ray.cluster_resources()["object_store_memory"]
        address = ray.get_runtime_context().gcs_address
        stranger = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
        refused, known = (knocking(address, env) for env in (stranger, dict(os.environ)))
    assert capped <= 200_000_000
    assert known.returncode == 0, known.stderr
    assert refused.returncode != 0
    assert "token" in refused.stderr.lower()
    assert listening
    assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    boards = [line for line in lines if any(word.endswith("dashboard.py") for word in line)]
    assert all("--disable-frontend" in line for line in boards)  # what is left of it reports to Ray alone


@pytest.fixture
def cluster(monkeypatch):
    """A cluster that somebody else started on this machine, where `auto` finds it: loopback, no dashboard."""
    for name in [name for name in os.environ if name.startswith("RAY_AUTH")]:
        monkeypatch.delenv(name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free.getsockname()[1]}")
    line = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"]
    line += [f"--port={os.environ['RAY_ADDRESS'].partition(':')[2]}", "--node-ip-address=127.0.0.1"]
    line += ["--include-dashboard=false", "--object-store-memory=100000000", "--disable-usage-stats"]
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:  # short: sockets lie there
        log_file = Path(folder, "ray.log")
        with log_file.open("w") as log:
            head = subprocess.Popen([*line, f"--temp-dir={folder}"], env=environment(), stdout=log, stderr=log)
        until(lambda: "Ray runtime started" in log_file.read_text())
        family = psutil.Process(head.pid).children(recursive=True)
        yield head
        head.terminate()
        head.wait(timeout=60)
        for process in (process for process in family if process.is_running()):
            process.kill()


def test_a_cluster_that_is_here_is_joined_and_left(toy, tmp_path, cluster):
    """`--address auto`: the same bytes, and the cluster goes on when the study is done."""
    path = toy(sweep={"seed": [0, 1]})
    for _ in range(2):
        done = start(path, tmp_path / "ray", "--engine", "ray", "--address", "auto", "--workers", "2")
        assert done.wait(timeout=120) == 0, done.stdout.read()
        assert cluster.poll() is None
    run(path, tmp_path / "local")
    assert science(tmp_path / "ray") == science(tmp_path / "local")


def test_shards_beside_each_other_make_what_one_run_makes(toy, tmp_path):
    """Three processes at once in one folder: no stage is made twice, and the last one writes the tables."""
    path = toy(sweep=SWEEP)
    shards = [start(path, tmp_path / "shards", "--shard", f"{i}/3") for i in (1, 2, 3)]
    assert [shard.wait(timeout=120) for shard in shards] == [0, 0, 0]
    outputs = [shard.stdout.read() for shard in shards]
    assert 1 <= sum("report: " in text for text in outputs) <= 3
    run(path, tmp_path / "one")
    assert science(tmp_path / "shards") == science(tmp_path / "one")
    stages = [json.loads(line)["stage"] for line in (tmp_path / "shards" / "events.jsonl").read_text().splitlines()]
    assert len(stages) == len(set(stages))


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0"])
def test_a_shard_that_is_none_is_refused(text):
    """Numbers from 1 to n, and nothing else."""
    with pytest.raises(ConfigError, match=r"form i/n"):
        experiment.Shard.parse(text)


def test_a_shard_takes_no_workers(toy, tmp_path):
    """A job of an array works in one process; an option that would be ignored is refused."""
    job = start(toy(), tmp_path / "out", "--shard", "1/2", "--workers", "2")
    assert job.wait(timeout=60) == 2
    assert "leave out --engine, --address and --workers" in job.stdout.read()
    assert not (tmp_path / "out").exists()


def test_an_arm_cannot_have_an_engine_of_its_own(toy):
    """Where a run is carried is no part of the experiment."""
    with pytest.raises(ConfigError, match=r"engine.use is no part of the experiment"):
        experiment.prepare(toy(sweep={"engine.use": ["local", "ray"]}))


def test_requests_are_split_at_blocks(tmp_path):
    """Seven images in blocks of 2: four makers, in their order, however many workers there are."""
    from entropy_loop.generators.diffusion.diffusion import Diffusion
    from entropy_loop.loop import Sampling

    asked = [Request(f"i{i}", "a horse", i, i) for i in range(7)]
    parts = Sampling(Diffusion("bundled:storybook", block=2), None, asked).parts()
    assert [[request.index for request in part.requests] for part in parts] == [[0, 1], [2, 3], [4, 5], [6]]
