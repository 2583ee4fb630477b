import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from entropy_loop.commands import experiment, results_folder
from entropy_loop.data import CHANGES, IMAGES, RATES, RUN_JUDGEMENTS
from entropy_loop.errors import ConfigError, Locked, StorageError
from entropy_loop.plan import plan
from entropy_loop.storage.store import Store
from entropy_loop.study import study


class Stopped(Exception):
    """The listener had enough."""


def silent(event, stage, share) -> None:
    """Nobody listens."""


def run(path: Path, root: Path, listen=silent, *overrides: str) -> experiment.Finished:
    return experiment.carry_out(experiment.prepare(path, overrides), root, listen)


def hashes(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file() and not p.name.startswith(".lock"))
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_run_leaves_every_table_with_its_columns(toy, tmp_path):
    """The results folder holds config, plan, provenance, log, report and the tables as the contract names them."""
    finished = run(toy(), tmp_path / "out")
    for name, columns in (("rates", RATES), ("changes", CHANGES)):
        assert list(pd.read_csv(tmp_path / "out" / f"{name}.csv").columns) == list(columns)
    for name, columns in (("images", IMAGES), ("judgements", RUN_JUDGEMENTS)):
        assert list(pd.read_parquet(tmp_path / "out" / f"{name}.parquet").columns) == list(columns)
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"config.yaml", "plan.json", "provenance.json", "events.jsonl", "report.html", "store"} <= names
    assert finished.report == tmp_path / "out" / "report.html"


def test_rates_count_what_the_images_show(toy, tmp_path):
    """Every rate equals a count made here from the stored samples themselves, with its n."""
    run(toy(), tmp_path / "out")
    rates = pd.read_csv(tmp_path / "out" / "rates.csv").query("set == 'pool'")
    for g in range(3):
        (folder,) = (tmp_path / "out" / "store").glob(f"g{g:02d}-generate-pool-*")
        shown = [set(s.split("+")) for s in pd.read_parquet(folder / "samples.parquet")["shows"]]
        for concept, wanted in (("horse", {"horse"}), ("all", {"astronaut", "horse"})):
            row = rates[(rates["generation"] == g) & (rates["concept"] == concept)].iloc[0]
            hits = sum(wanted <= s for s in shown)
            assert (row["n"], row["hits"], row["rate"]) == (8, hits, pytest.approx(hits / 8))


def test_a_finished_run_again_makes_nothing_and_changes_no_byte(toy, tmp_path):
    """The second run only opens stages, and every file is what it was."""
    run(toy(), tmp_path / "out")
    before, heard = hashes(tmp_path / "out"), []
    run(toy(), tmp_path / "out", lambda event, stage, share: heard.append(event))
    assert set(heard) == {"opened"}
    assert hashes(tmp_path / "out") == before


def test_an_interrupted_run_ends_as_if_it_was_never_interrupted(toy, tmp_path):
    """Stopped after any third stage and continued, all samples, models and tables are those of a run at one go."""
    sweep = {"curate.policy": [{"use": "none"}, {"use": "random_k", "k": 3}]}
    run(toy(sweep=sweep), tmp_path / "whole")

    def stop_after_three():
        finished = []

        def listen(event, stage, share) -> None:
            finished.extend([stage] if event == "finished" else [])
            if len(finished) == 3:
                raise Stopped

        return listen

    for _ in range(50):
        try:
            run(toy(sweep=sweep), tmp_path / "parts", stop_after_three())
            break
        except Stopped:
            continue
    whole, parts = (hashes(tmp_path / name) for name in ("whole", "parts"))
    science = [name for name in whole if name.endswith((".csv", ".parquet", "model.json", "plan.json", "config.yaml"))]
    assert len(science) > 30
    assert {name: parts[name] for name in science} == {name: whole[name] for name in science}


def test_a_longer_run_continues_a_shorter_one(toy, tmp_path):
    """Two more feedback steps make only the stages of the new generations and the last one's curation."""
    run(toy(), tmp_path / "out")
    started = []

    def listen(event, stage, share) -> None:
        started.extend([(stage.name, stage.generation)] if event == "started" else [])

    run(toy(), tmp_path / "out", listen, "generations=3")
    assert ("curate", 2) in started
    assert ("train", 3) in started
    assert {g for verb, g in started if verb != "curate"} == {3}


def test_an_unfinished_run_has_the_tables_of_what_is_done(toy, tmp_path):
    """After generation 0 alone, `report` writes its rates, no changes, and no error."""

    def stop(event, stage, share) -> None:
        if stage.name == "train":
            raise Stopped

    with pytest.raises(Stopped):
        run(toy(), tmp_path / "out", stop)
    finished = experiment.report(tmp_path / "out")
    assert set(finished.tables.rates["generation"]) == {0}
    assert len(finished.tables.changes) == 0
    assert finished.report.is_file()


def test_a_report_written_again_is_the_same(toy, tmp_path):
    """`report` on a finished folder needs nothing but the folder, and changes no byte."""
    run(toy(), tmp_path / "out", silent, "images=9")
    before = hashes(tmp_path / "out")
    experiment.report(tmp_path / "out")
    assert hashes(tmp_path / "out") == before


def test_the_plan_on_disk_names_the_folders_in_the_store(toy, tmp_path):
    """plan.json lists, run by run, exactly the stage folders that lie in store/."""
    run(toy(sweep={"seed": [0, 1]}), tmp_path / "out")
    runs = json.loads((tmp_path / "out" / "plan.json").read_text())["runs"]
    assert list(runs) == ["none-seed0", "none-seed1"]
    listed = {folder for generations in runs.values() for g in generations for folder in g["stages"]}
    assert listed == {p.name for p in (tmp_path / "out" / "store").iterdir() if p.is_dir() and p.name[0] != "."}


def test_the_outlook_counts_stages_images_and_what_is_done(toy, tmp_path):
    """`plan` counts every stage once, its images, and how many lie in the folder; it changes nothing there."""
    path = toy()
    before = experiment.forecast(experiment.prepare(path), tmp_path / "out").stages
    assert not (tmp_path / "out").exists()
    expected = {"stages": 3, "done": 0, "images": 24, "evaluations": 24.0, "tflop": 0.0, "unknown": False, "disk": 0}
    assert before["generate-pool"] == expected
    run(path, tmp_path / "out")
    after = experiment.forecast(experiment.prepare(path), tmp_path / "out").stages
    assert {verb: row["done"] for verb, row in after.items()} == {verb: row["stages"] for verb, row in before.items()}


def test_a_missing_model_is_found_before_another_is_loaded():
    """A judge's folder that is not here is reported before the generator, which is here, has loaded torch."""
    code = (
        "import sys; from pathlib import Path; from entropy_loop import errors\n"
        "from entropy_loop.commands import experiment\n"
        "try: experiment.prepare(Path('configs/smoke.yaml'), ('judges=[{use: clip, model: ./no/such/model}]',))\n"
        "except errors.ConfigError as error: print(error, 'torch' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "./no/such/model: no such folder" in output
    assert output.endswith("False\n")


def test_a_missing_model_is_found_before_anything_is_made(toy):
    """`prepare` refuses a config whose model is not here; the plan alone needs no model."""
    path = toy(judges=[{"use": "clip", "model": "./no/such/model"}])
    with pytest.raises(ConfigError, match="no such folder"):
        experiment.prepare(path)
    assert len(experiment.prepare(path, check_models=False).chains) == 1


def test_a_folder_that_is_no_result_is_refused(tmp_path):
    """`report` on a folder without config.yaml says what is missing, and writes nothing into it."""
    with pytest.raises(ConfigError, match=r"no results folder .*config\.yaml"):
        experiment.report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_its_store_keeps_its_tables(toy, tmp_path):
    """`report` on results that were passed on without store/ is refused, and no file changes or appears."""
    run(toy(generations=1), tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "store")
    before = hashes(tmp_path / "out")
    with pytest.raises(ConfigError, match="no stage of its config"):
        experiment.report(tmp_path / "out")
    assert hashes(tmp_path / "out") == before
    assert not (tmp_path / "out" / "store").exists()


@pytest.mark.parametrize("command", ["run", "report", "fork", "clean"])
def test_a_folder_with_keys_of_another_form_is_left_as_it_is(toy, tmp_path, command):
    """Version 0.1 first made other keys (plan.json does not name their form): no command touches or shares such
    results, and one line says why, and how to read them."""
    root, path = tmp_path / "out", toy(generations=1)
    run(path, root)
    plan_file = root / "plan.json"
    plan_file.write_text(json.dumps(json.loads(plan_file.read_text())["runs"]))
    before = hashes(root)
    with pytest.raises(
        ConfigError, match=r"keys of form 1, and this version .* `entropy_loop.open_results` reads"
    ) as refusal:
        {
            "run": lambda: run(path, root),
            "report": lambda: experiment.report(root),
            "fork": lambda: results_folder.fork(experiment.prepare(path), root),
            "clean": lambda: results_folder.spare(root),
        }[command]()
    assert "\n" not in str(refusal.value)
    assert hashes(root) == before


def test_stages_of_another_version_keep_their_tables(toy, tmp_path):
    """Where plan.json names stages that are there but that no config plans any more, `report` is refused."""
    root = tmp_path / "out"
    run(toy(generations=1), root)
    written_plan = json.loads((root / "plan.json").read_text())
    old = written_plan["runs"]["none-seed0"][1]["stages"][0]
    (root / "store" / old).rename(root / "store" / f"{old}-old")
    written_plan["runs"]["none-seed0"][1]["stages"][0] = f"{old}-old"
    (root / "plan.json").write_text(json.dumps(written_plan))
    before = hashes(root)
    with pytest.raises(ConfigError, match="made by another version"):
        experiment.report(root)
    assert hashes(root) == before


def test_another_experiment_is_kept_out_of_the_folder(toy, tmp_path):
    """A config with another name is refused before it replaces anything; one with the same name goes on."""
    run(toy(generations=1), tmp_path / "out")
    before = hashes(tmp_path / "out")
    with pytest.raises(ConfigError, match="holds the experiment 'toy', not 'other'"):
        run(toy(name="other"), tmp_path / "out")
    assert hashes(tmp_path / "out") == before


def test_an_unfinished_run_is_reported_between_its_chains(toy, tmp_path, monkeypatch):
    """When a chain has taken its time, the tables of the chains before lie there when the next one starts."""
    monkeypatch.setattr(experiment, "REPORT_EVERY", 0.0)
    monkeypatch.setattr(experiment, "WORK", 0.0)
    rows = []

    def listen(event, stage, share) -> None:
        if event == "started" and stage.name == "train" and stage.generation == 1:
            rows.append(set(pd.read_csv(tmp_path / "out" / "rates.csv")["run"]))

    run(toy(sweep={"seed": [0, 1]}), tmp_path / "out", listen)
    assert rows == [set(), {"none-seed0"}]


def test_a_folder_in_use_is_refused(toy, tmp_path):
    """While the folder is held, neither run nor report touches it."""
    run(toy(), tmp_path / "out")
    with Store(tmp_path / "out").lock():
        with pytest.raises(Locked):
            run(toy(), tmp_path / "out")
        with pytest.raises(Locked):
            experiment.report(tmp_path / "out")


def test_a_table_that_cannot_be_written_is_a_storage_error(toy, tmp_path):
    """A folder in the place of rates.csv is reported as a storage error with the path, not as a traceback."""
    (tmp_path / "out" / "rates.csv").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"rates\.csv"):
        run(toy(), tmp_path / "out")


def test_config_on_disk_is_the_experiment(toy, tmp_path):
    """config.yaml holds the resolved experiment, overrides included: it plans the very stages that were made."""
    path = toy()
    run(path, tmp_path / "out", silent, "images=9")
    stages = plan(study.load(tmp_path / "out" / "config.yaml")).stages()
    assert list(stages) == list(plan(study.load(path, ("images=9",))).stages())
    assert all(Store(tmp_path / "out").finished(stage) for stage in stages.values())


def test_taught_images_reach_the_model_and_the_tables(toy, tmp_path):
    """The taught images stand in images.parquet and in the diet, and the ledger still splits every step."""
    real = {"use": "categorical", "rates": {"astronaut": 0.5, "horse": 0.5}}
    tables = run(toy(real=real, reteach={"every": 2, "concepts": ["horse"], "images": 3}), tmp_path / "out").tables
    assert tables.images[tables.images["set"] == "taught"]["generation"].tolist() == [2, 2, 2]
    diets = [pd.read_parquet(path) for path in sorted((tmp_path / "out/store").glob("*-train-*/diet.parquet"))]
    assert [len(diet) for diet in diets] == [8, 8 + 3]
    assert tables.ledger["v_diet"].notna().all()
