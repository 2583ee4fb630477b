"""The local engine's worker processes: the same bytes as in one process, whatever happens to a worker."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from multiprocessing import spawn
from pathlib import Path
from threading import Event, Thread
from types import ModuleType

import psutil
import pytest
from test_engines import SWEEP, deadly, plugin, run, start, until  # noqa: F401 (plugin is a fixture)

from conftest import environment, science
from entropy_loop.commands import experiment
from entropy_loop.contracts import Needs
from entropy_loop.data import EVALUATION, POOL, Stage
from entropy_loop.engines import local
from entropy_loop.engines.local import Local
from entropy_loop.engines.pool import QUARANTINE, Pool, Worker, _Aside
from entropy_loop.errors import ConfigError, EntropyLoopError, TrainingDiverged
from entropy_loop.machine import resources
from entropy_loop.storage.store import Made, Store, Unit

WORKERS = ("engine.workers=2",)
ALONE = ("engine.workers=1",)


@pytest.fixture
def no_report(monkeypatch) -> None:
    """Reports take most of a toy's time, and workers make no part of them."""
    monkeypatch.setattr(experiment.page, "write", lambda planned, store, tables: store.root / "report.html")


@pytest.mark.usefixtures("no_report")
def test_workers_make_what_one_process_makes(toy, tmp_path):
    """Four chains on two workers: every stage's files and every table, byte by byte."""
    path = toy(sweep=SWEEP)
    run(path, tmp_path / "one", *ALONE)
    run(path, tmp_path / "two", *WORKERS)
    assert science(tmp_path / "two") == science(tmp_path / "one")


@pytest.mark.thorough
@pytest.mark.usefixtures("no_report")
def test_workers_of_the_bundled_checkpoint_make_what_one_process_makes(tmp_path):
    """Blocks of a pool on two workers, evaluation and check sets, judgements and measures beside the training: the same
    bytes, images and weights included, and no part is left lying about."""
    small = (
        "generations=2", "images=6", "evaluation.images=2", "check_images=1", "steady_images=1",
        "generator.num_inference_steps=2", "generator.block=2", "train.max_train_steps=2", "train.train_batch_size=2",
        "sweep={curate.policy: [{use: none}, {use: random_k, k: 3}]}",
    )  # fmt: skip
    for name, engine in (("one", ALONE), ("two", WORKERS)):
        run(Path("configs/smoke.yaml"), tmp_path / name, *small, *engine)
    assert science(tmp_path / "two") == science(tmp_path / "one")
    assert not list((tmp_path / "two").rglob("part-*"))


@pytest.mark.usefixtures("no_report", "plugin")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGSTOP"])
def test_a_worker_that_is_killed_or_hangs_is_replaced(toy, tmp_path, monkeypatch, number):
    """Two workers are killed at their work, or stop for good: the results are those of an undisturbed run."""
    monkeypatch.setattr(local, "HUNG", 3.0)
    path = deadly(toy, tmp_path, 2, number)
    run(path, tmp_path / "two", *WORKERS)
    assert (tmp_path / "deaths").read_text() == "xx"
    run(path, tmp_path / "one", *ALONE)  # nobody dies any more
    assert science(tmp_path / "two") == science(tmp_path / "one")


@pytest.mark.usefixtures("no_report", "plugin")
def test_work_that_kills_three_workers_is_put_aside(toy, tmp_path):
    """The message names stage and images; the next run refuses at once; without the line it goes on."""
    path = deadly(toy, tmp_path, 3)
    with pytest.raises(EntropyLoopError, match=r"generate-pool.*3 workers died at images p000-00-000000, "):
        run(path, tmp_path / "out", *WORKERS, "sweep={}")
    with pytest.raises(EntropyLoopError, match="put aside"):
        run(path, tmp_path / "out", *WORKERS, "sweep={}")
    (tmp_path / "out" / "store" / QUARANTINE).unlink()
    assert run(path, tmp_path / "out", *WORKERS, "sweep={}")


@pytest.mark.usefixtures("no_report", "plugin")
def test_a_workers_error_is_the_makers_own(toy, tmp_path):
    """A training that diverges on a worker is that error, with its exit code; the other chains' work is kept."""
    path = toy(generator={"use": "diverging", "rates": {"astronaut": 0.9, "horse": 0.7}}, sweep={"seed": [0, 1]})
    with pytest.raises(TrainingDiverged, match="step 3: loss nan"):
        run(path, tmp_path / "out", *WORKERS)
    assert len(list((tmp_path / "out" / "store").glob("g00-curate-*"))) == 2


@pytest.mark.usefixtures("no_report", "plugin")
def test_an_error_that_cannot_be_sent_arrives_with_its_message(toy, tmp_path):
    """Whatever a plug-in raises, its kind and message are in the error."""
    path = toy(generator={"use": "failing", "rates": {"astronaut": 0.9, "horse": 0.7}})
    with pytest.raises(RuntimeError, match="Unsendable: no paint left"):
        run(path, tmp_path / "out", *WORKERS)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.thorough)],
)
@pytest.mark.usefixtures("no_report")
def test_a_run_that_is_stopped_takes_its_workers_along(toy, tmp_path, number, code):
    """SIGKILL, Ctrl-C or SIGTERM in the middle: the workers go, too, and the same command ends as if nothing had
    been."""
    path = toy(sweep={"seed": list(range(6))}, generations=3)
    first = start(path, tmp_path / "two", "--workers", "2")
    until(lambda: len(list((tmp_path / "two" / "store").glob("g01-*"))) > 3)
    workers = [child for child in psutil.Process(first.pid).children() if "spawn_main" in " ".join(child.cmdline())]
    assert len(workers) == 2
    first.send_signal(number)
    assert first.wait(timeout=60) == code, first.stdout.read()
    until(lambda: not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers))
    run(path, tmp_path / "two", *WORKERS)
    run(path, tmp_path / "one", *ALONE)
    assert science(tmp_path / "two") == science(tmp_path / "one")


def test_a_worker_ignores_ctrl_c_from_its_first_moment(toy, tmp_path):
    """It reaches all processes of a terminal. Whoever started the workers ends them; none prints a traceback."""
    first = start(toy(sweep={"seed": [0, 1]}), tmp_path / "two", "--workers", "2")
    own = psutil.Process(first.pid)
    until(lambda: any("spawn_main" in " ".join(child.cmdline()) for child in own.children()))
    for child in own.children():
        if "spawn_main" in " ".join(child.cmdline()):
            child.send_signal(signal.SIGINT)
    assert first.wait(timeout=120) == 0
    assert "Traceback" not in first.stdout.read()


def test_a_script_without_a_main_guard_runs_once(toy, tmp_path):
    """Workers do not run the user's script again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, entropy_loop as el\n"
        "print('begins')\n"
        "r = el.run(sys.argv[1], sys.argv[2], overrides={'engine.workers': 2}, progress=False)\n"
        "print(r.rates['generation'].max())\n"
    )
    line = [sys.executable, str(script), str(toy()), str(tmp_path / "out")]
    completed = subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=120)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.split() == ["begins", "2"]


def test_workers_that_cannot_start_stop_the_run_before_the_first_image(toy, tmp_path, monkeypatch):
    """The error says how to go on without workers."""
    monkeypatch.setattr(spawn, "_python_exe", b"/bin/false")
    with pytest.raises(EntropyLoopError, match=r"worker processes did not start.*`--workers 1`"):
        run(toy(), tmp_path / "out", *WORKERS)
    assert not list((tmp_path / "out" / "store").glob("g*"))


def fill(out: Path, tick) -> None:
    """A maker that workers can import."""
    (out / "made").write_text("")


@pytest.mark.parametrize(
    ("maker", "error", "message"),
    [
        (lambda out, tick: None, EntropyLoopError, r"a plug-in cannot be sent to a worker.*`--workers 1`"),
        ("of a module that only this process has", ModuleNotFoundError, "ghost"),
    ],
)
def test_a_plugin_that_no_worker_can_load_is_an_error_and_kills_none(tmp_path, monkeypatch, maker, error, message):
    """The worker goes on and makes the next unit."""
    if isinstance(maker, str):
        ghost = ModuleType("ghost")
        exec("def maker(out, tick): pass", ghost.__dict__)
        monkeypatch.setitem(sys.modules, "ghost", ghost)
        maker = ghost.maker
    worker = local._Process(1)
    try:
        with pytest.raises(error, match=message):
            worker.make(Unit(maker, tmp_path / "first"), 1, lambda share: None)
        made = worker.make(Unit(fill, tmp_path / "second"), 1, lambda share: None)
        assert (made.out / "made").exists()
    finally:
        worker.dismiss()


def test_a_start_that_fails_keeps_nobody_waiting(tmp_path):
    """Every unit that waits for a worker gets the error, with what to do."""

    def start() -> Worker:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    stage = Stage("generate", 0, "a", {"threads": 1}, set=POOL)
    units = [Unit(lambda out, tick: None, tmp_path / str(number)) for number in range(4)]
    with (
        pytest.raises(EntropyLoopError, match=r"no worker process could be started \(Resource.*`--workers 1`"),
        Pool(Store(tmp_path), 2, start) as pool,
    ):
        list(pool.perform(stage, units, lambda share: None))
    assert not pool.waiting


@pytest.mark.usefixtures("no_report")
def test_a_judge_that_fails_beside_the_training_ends_the_run(toy, tmp_path):
    """With its own message; what was made before is kept."""
    judges = [{"use": "exact"}, {"use": "command", "name": "broken", "command": ["false"]}]
    with pytest.raises(EntropyLoopError, match="broken"):
        run(toy(judges=judges), tmp_path / "out", *WORKERS)
    assert list((tmp_path / "out" / "store").glob("g00-generate-pool-*"))


# ---- how many ------------------------------------------------------------------------------------------

GB = 10**9


@pytest.mark.parametrize(
    ("cores", "free", "threads", "size"),
    [(8, 64, 1, 8), (8, 64, 2, 4), (8, 64, 3, 2), (8, 5, 1, 2), (8, 1, 1, 1), (1, 64, 1, 1), (2, 64, 4, 1)],
)
def test_auto_starts_as_many_workers_as_cores_and_memory_allow(monkeypatch, cores, free, threads, size):
    """At least one, which is this process."""
    monkeypatch.setattr(resources, "cores", lambda: cores)
    monkeypatch.setattr(resources, "memory", lambda: free * GB)
    assert Local()._size(Needs(threads, 2 * GB, 100.0)) == size


def test_seconds_of_work_start_no_worker(monkeypatch):
    """A worker would take longer to start."""
    monkeypatch.setattr(resources, "cores", lambda: 8)
    assert Local()._size(Needs(1, GB, 0.1)) == 1
    assert Local(workers=3)._size(Needs(1, GB, 0.1)) == 3


def test_accelerates_processes_start_no_workers(monkeypatch):
    """They train together already."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Local()._size(Needs(1, GB, 100.0)) == 1
    with pytest.raises(ConfigError, match=r"engine\.workers: .*`accelerate launch`"):
        Local(workers=2).ready(Needs(1, GB, 100.0))


def test_more_workers_than_memory_holds_are_refused_before_the_first_image(toy, tmp_path):
    """The error says how many would fit."""
    with pytest.raises(ConfigError, match=r"engine\.workers: 9999 workers take about .* GB.*give \d+ at most, or auto"):
        run(toy(), tmp_path / "out", "engine.workers=9999")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("workers", ["0", "-1", "1.5", "many"])
def test_a_number_of_workers_that_is_none_is_refused(toy, workers):
    """Where, what, and what to do."""
    with pytest.raises(ConfigError, match=r"engine\.workers"):
        experiment.prepare(toy(), (f"engine.workers={workers}",))


def test_a_config_may_name_workers_alone(toy):
    """`engine: {workers: 3}` is the local engine's."""
    assert experiment.prepare(toy(engine={"workers": 3})).study.config.engine_plugin() == Local(workers=3)


def test_results_of_two_threads_do_not_continue_under_one(toy, tmp_path):
    """The message names `threads`, and the folder stays as it is."""
    run(toy(), tmp_path / "out", "threads=2")
    before = science(tmp_path / "out")
    with pytest.raises(ConfigError, match="threads: 2 there, 1 here"):
        run(toy(threads=None), tmp_path / "out")
    assert science(tmp_path / "out") == before


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", 4), ("200000 100000", 2), ("50000 100000", 1)])
def test_a_containers_quota_limits_the_cores(tmp_path, monkeypatch, quota, cores):
    """Of four cores that the affinity allows."""
    control_groups(tmp_path, monkeypatch, "0::/job/step", {"job/cpu.max": quota, "job/step/cpu.max": "max 100000"})
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda self: [0, 1, 2, 3])
    assert resources.cores() == cores


def test_a_containers_limit_is_the_free_memory(tmp_path, monkeypatch):
    """What its limit leaves, if that is less than what the machine has."""
    files = {"job/memory.max": "3000000", "job/memory.current": "1500000", "job/memory.stat": "inactive_file 500000"}
    control_groups(tmp_path, monkeypatch, "0::/job/step", files)
    assert resources.memory() == 2_000_000


def test_a_limit_of_version_1_counts_too(tmp_path, monkeypatch):
    """Older systems have one tree of groups per controller."""
    files = {"memory/job/memory.limit_in_bytes": "3000000", "memory/job/memory.usage_in_bytes": "1000000"}
    control_groups(tmp_path, monkeypatch, "4:memory:/job", files)
    assert resources.memory() == 2_000_000


def control_groups(tmp_path, monkeypatch, own: str, files: dict[str, str]) -> None:
    """Control groups of Linux as files of a folder. own: the line of this process's group."""
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    (tmp_path / "own").write_text(f"{own}\n")
    monkeypatch.setattr(resources, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(resources, "OWN_CGROUPS", tmp_path / "own")


@pytest.mark.parametrize("chosen", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}])
def test_waiting_threads_sleep_unless_the_user_chose_otherwise(chosen):
    """Set before any OpenMP runtime is loaded."""
    code = (
        "import os, sys; from entropy_loop.machine import threads; threads.wait_passively();"
        "print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    )
    env = {name: value for name, value in environment().items() if name != "OMP_WAIT_POLICY"} | chosen
    completed = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert completed.stdout.split() == ["False", chosen.get("OMP_WAIT_POLICY", "PASSIVE")]


# ---- in which order ------------------------------------------------------------------------------------


@dataclass(eq=False)
class Slow(Worker):
    """A worker in this process that waits for a signal before its first unit, and notes what it makes."""

    go: Event
    made: list[str] = field(default_factory=list)

    def make(self, unit: Unit, cores: int, tick) -> Made:
        self.go.wait()
        unit.make(unit.out, tick)
        return Made(unit.out, 0.0, None)

    def kill(self) -> None:
        """Nothing to end."""

    def dismiss(self) -> None:
        """Nothing to end."""


def test_what_the_next_generation_waits_for_comes_first(tmp_path):
    """Of stages that wait for the only worker: first those that are trained on, by generation; then those that only
    measure."""
    go, order = Event(), []
    stages = [
        Stage("recognise", 0, "a", {"threads": 1}, set=POOL),
        Stage("generate", 1, "b", {"threads": 1}, set=EVALUATION),
        Stage("train", 2, "c", {"threads": 1}),
        Stage("generate", 1, "d", {"threads": 1}, set=POOL),
    ]
    with Pool(Store(tmp_path), 1, lambda: Slow(go)) as pool:

        def perform(stage: Stage) -> None:
            unit = Unit(lambda out, tick: order.append(stage.key), tmp_path / stage.key)
            list(pool.perform(stage, [unit], lambda share: None))

        first = Thread(target=perform, args=(Stage("base", 0, "first", {"threads": 1}),))
        first.start()
        until(lambda: pool.workers and not pool.idle)
        others = [Thread(target=perform, args=(stage,)) for stage in stages]
        for thread in others:
            thread.start()
        until(lambda: len(pool.waiting) == len(stages))
        go.set()
        for thread in (first, *others):
            thread.join()
    assert order == ["first", "d", "c", "a", "b"]


def test_after_a_task_that_fails_beside_a_chain_none_is_done():
    """Its error ends the chain."""
    done = []

    def fail() -> None:
        raise EntropyLoopError("the judge failed")

    aside = _Aside()
    for task in (lambda: done.append(1), fail):
        aside(task)
    until(lambda: aside.error)
    with pytest.raises(EntropyLoopError, match="the judge failed"):
        aside(lambda: done.append(2))
    with pytest.raises(EntropyLoopError, match="the judge failed"):
        aside.__exit__(None)
    assert done == [1]
