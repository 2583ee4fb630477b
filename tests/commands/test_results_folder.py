"""A results folder before and after a run."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from conftest import Command, Toy


def stage(root: Path, verb: str) -> Path:
    """The first stage of a kind."""
    return sorted((root / "store").glob(f"*-{verb}-*"))[0]


def flip(path: Path, rng: np.random.Generator) -> None:
    """One bit of a file, anywhere."""
    data = bytearray(path.read_bytes())
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(bytes(data))


@pytest.fixture
def run(toy: Toy, command: Command, tmp_path: Path) -> Path:
    """A finished run."""
    assert command("run", toy(), "--out", "out").returncode == 0
    return tmp_path / "out"


def test_verify_finds_a_whole_folder_whole(run: Path, command: Command) -> None:
    """Nothing is wrong, and nothing changes."""
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    done = command("verify", run)
    assert (done.returncode, "every stage is as it was written" in done.stdout) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before


def test_damage_is_named_and_only_damaged_stages_are_made_again(run: Path, toy: Toy, command: Command) -> None:
    """A changed, a lost and an added file: each is named with exit 3; the next run makes these three stages and no
    other, and the folder is whole again, byte for byte."""
    samples, model, curated = (stage(run, verb) for verb in ("generate-pool", "train", "curate"))
    before = {path: path.read_bytes() for path in run.rglob("*.parquet")}
    flip(samples / "samples.parquet", np.random.default_rng(0))
    (model / "model.json").unlink()
    (curated / "more.txt").write_text("more")
    done = command("verify", run)
    assert done.returncode == 3
    for name in (samples / "samples.parquet", model / "model.json", curated / "more.txt"):
        assert f"{name}: " in done.stdout
    events = len((run / "events.jsonl").read_text().splitlines())
    assert command("run", toy(), "--out", "out").returncode == 0
    new_events = (run / "events.jsonl").read_text().splitlines()[events:]
    assert sorted(json.loads(line)["stage"] for line in new_events) == sorted(p.name for p in (samples, model, curated))
    assert command("verify", run).returncode == 0
    assert {path: path.read_bytes() for path in run.rglob("*.parquet")} == before


def test_a_file_managers_own_file_stops_no_run(run: Path, toy: Toy, command: Command) -> None:
    """A file that a stage does not know is named by `verify`; a run that opens the stage goes on."""
    (stage(run, "generate-pool") / ".DS_Store").write_text("")
    shutil.rmtree(stage(run, "curate"))
    assert command("run", toy(), "--out", "out").returncode == 0
    done = command("verify", run)
    assert (done.returncode, ".DS_Store: was not there" in done.stdout) == (3, True)


@pytest.mark.parametrize("name", ["samples.parquet", "receipt.json"])
def test_every_flipped_bit_is_detected_before_use(run: Path, toy: Toy, command: Command, name: str) -> None:
    """100 single-bit flips of a table and of a receipt: verify names each; a run that would open the stage refuses,
    with exit 74 and what to do."""
    from entropy_loop.storage import receipts

    folder, rng = stage(run, "generate-pool"), np.random.default_rng(1)
    whole = (folder / name).read_bytes()
    detected = 0
    for _ in range(100):
        flip(folder / name, rng)
        detected += bool(receipts.faults(folder))
        (folder / name).write_bytes(whole)
    print(f"{detected} of 100 flips of {name} detected")
    assert detected == 100
    flip(folder / name, rng)
    shutil.rmtree(stage(run, "curate"))
    done = command("run", toy(), "--out", "out")
    assert done.returncode == 74
    assert f"out/store/{folder.name}/{name}: " in done.stderr
    assert "entropy-loop verify" in done.stderr


def test_a_config_with_a_plugin_that_is_not_installed_is_not_only_called_damaged(run: Path, command: Command) -> None:
    """`report` exits 74 and names the plug-in; deleting the file is not the first advice, and it stays as it is."""
    config = run / "config.yaml"
    text = config.read_text().replace("use: exact", "use: colour")
    config.write_text(text)
    done = command("report", "out")
    assert done.returncode == 74
    assert "written with a plug-in or version of entropy-loop that is not installed here" in done.stderr
    assert "'colour'" in done.stderr
    assert config.read_text() == text


def test_a_changed_config_is_refused_with_its_keys_and_forked(run: Path, toy: Toy, command: Command) -> None:
    """What would take chains away from the tables exits 2 and names the keys; --fork makes a folder of its own, which
    shares the stages that are the same, and the old one keeps every byte."""
    changed = toy(train={"max_train_steps": 7}, evaluation={"images": 3})
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    refused = command("run", changed, "--out", "out")
    assert refused.returncode == 2
    assert "train.max_train_steps: 100 there, 7 here" in refused.stderr
    assert "evaluation.images: 2 there, 3 here" in refused.stderr
    forked = command("run", changed, "--out", "out", "--fork")
    assert forked.returncode == 0, forked.stderr
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    new = run.with_name("out-2")
    assert (stage(new, "generate-pool") / "samples.parquet").samefile(stage(run, "generate-pool") / "samples.parquet")
    new_stages = {json.loads(line)["stage"] for line in (new / "events.jsonl").read_text().splitlines()}
    assert not any(name.startswith("g00-generate-pool") for name in new_stages)


def test_more_chains_and_generations_go_on_in_the_same_folder(run: Path, toy: Toy, command: Command) -> None:
    """What only adds to the tables is no other experiment; fewer generations are."""
    more = toy(generations=3, sweep={"seed": [0, 1], "curate.policy": [{"use": "none"}, {"use": "random_k", "k": 2}]})
    assert command("run", more, "--out", "out").returncode == 0
    done = command("run", toy(generations=1), "--out", "out")
    assert done.returncode == 2
    assert "random_k-2-seed0: left out" in done.stderr


def test_a_run_that_cannot_fit_is_not_begun(command: Command, tmp_path: Path) -> None:
    """Before anything is made, what is needed is held against what is free: exit 74 with both numbers."""
    huge = {"generator.height": 2048, "generator.width": 2048, "images": 20_000, "generations": 30}
    overrides = [word for name, value in huge.items() for word in ("--set", f"{name}={value}")]
    done = command("run", Path("configs/smoke.yaml").resolve(), *overrides, "--out", "out")
    assert done.returncode == 74, done.stderr
    assert re.search(r"out: what is still to be made needs about [\d,]{17,} bytes, and [\d,]+ are free", done.stderr)
    assert not list(tmp_path.glob("out/store/g*"))


def test_clean_lists_what_goes_with_its_size_and_removes_only_that(run: Path, toy: Toy, command: Command) -> None:
    """Stages that the config does not name any more and what was left unfinished go, after they were listed with their
    sizes; a no leaves everything; the run is still finished."""
    old = run / "store" / "g07-generate-pool-0123456789abcdef"
    shutil.copytree(stage(run, "generate-pool"), old)
    (run / "store" / ".scratch" / "g09-train-0").mkdir(parents=True)
    done = command("clean", run, "--json")
    assert [Path(entry["path"]).name for entry in json.loads(done.stdout)] == [".scratch", old.name]
    assert json.loads(done.stdout)[1]["size"] == sum(p.stat().st_size for p in old.iterdir())
    assert old.is_dir()
    assert command("clean", run, "--yes").returncode == 0
    assert not old.exists()
    before = len((run / "events.jsonl").read_text().splitlines())
    assert command("run", toy(), "--out", "out").returncode == 0
    assert len((run / "events.jsonl").read_text().splitlines()) == before


def test_a_cleaned_store_is_made_again_as_it_was(run: Path, toy: Toy, command: Command) -> None:
    """With --store all stages go; tables and report stay, and a run makes the very same tables anew."""
    tables = {path: path.read_bytes() for path in (*run.glob("*.csv"), *run.glob("*.parquet"))}
    assert command("clean", run, "--store", "--yes").returncode == 0
    assert not list((run / "store").glob("g*"))
    assert {path: path.read_bytes() for path in tables} == tables
    assert command("run", toy(), "--out", "out").returncode == 0
    assert {path: path.read_bytes() for path in tables} == tables
