"""The command line as a real process: what it prints, and the exit code of everything that can go wrong."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from conftest import environment
from entropy_loop import __version__, assets, cli
from entropy_loop.cli.app import ORDER
from entropy_loop.commands import doctor
from entropy_loop.commands.init import Answers
from entropy_loop.machine import resources
from entropy_loop.regimes import Replace
from entropy_loop.storage.store import Store


def test_a_run_ends_with_its_rates_and_its_report(toy, command, tmp_path):
    """`run` exits 0, prints V and c of every generation, and says where the report is; by default in results/."""
    done = command("run", toy())
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "results" / "toy" / "report.html").is_file()
    assert "report: results/toy/report.html" in done.stdout
    for text in ("an astronaut on a horse", "V all", "c all", "c > 0: recognition fell"):
        assert text in done.stdout


def test_a_finished_run_says_the_same_again_and_makes_what_is_gone(toy, command, tmp_path):
    """Nothing is written the second time. A table that was deleted since comes back, byte by byte."""
    first = command("run", toy(), "--out", "out")

    def written() -> dict:
        return {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*") if path.is_file()}

    files = written()
    again = command("run", toy(), "--out", "out")
    assert again.returncode == 0
    assert again.stdout.strip() == first.stdout[first.stdout.index("an astronaut") :].strip()
    assert written() == files
    rates = (tmp_path / "out" / "rates.csv").read_bytes()
    (tmp_path / "out" / "rates.csv").unlink()
    assert command("run", toy(), "--out", "out").returncode == 0
    assert (tmp_path / "out" / "rates.csv").read_bytes() == rates


def test_report_prints_what_run_printed(toy, command):
    """`report` on the folder of a run exits 0 and prints the same rates."""
    path = toy(generations=1)
    assert command("run", path, "--out", "out").stdout == command("report", "out").stdout


def test_plan_changes_nothing(toy, command, tmp_path):
    """`plan` exits 0, counts the stages, and leaves no file."""
    path = toy()
    before = sorted(tmp_path.iterdir())
    done = command("plan", path, "--json", "--set", "sweep={seed: [0, 1]}")
    outlook = json.loads(done.stdout)
    assert (done.returncode, outlook["runs"]) == (0, ["none-seed0", "none-seed1"])
    counted = {"stages": 6, "done": 0, "images": 48, "evaluations": 48.0, "tflop": 0.0, "unknown": False, "disk": 0}
    assert outlook["stages"]["generate-pool"] == counted
    assert sorted(tmp_path.iterdir()) == before
    assert "none-seed0" in command("plan", path).stdout


@pytest.mark.parametrize("line", [["--help"], ["run", "--help"], ["--version"], ["list"], ["list", "--json"]])
def test_help_version_and_list_exit_0(command, line):
    """Help, version and the list of plug-ins exit 0 and print to stdout alone."""
    done = command(*line)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_the_help_lists_the_commands_in_the_order_of_a_study(command):
    """From the config to the results, every command once, whatever module it stands in."""
    lines = command("--help").stdout.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "] == list(ORDER)
    assert ORDER[:5] == ("init", "doctor", "fetch", "plan", "run")


def test_the_help_of_init_names_its_defaults(command):
    """They are those of its answers."""
    text, usual = " ".join(command("init", "--help").stdout.split()), Answers()
    for default in (usual.prompt, ", ".join(usual.concepts), usual.keep, usual.generations, usual.images, usual.seeds):
        assert f"Default: {default}." in text
    assert f"{usual.model} (default)" in text


def test_a_plan_shows_times_as_people_write_them(command, tmp_path):
    """The table has seconds and minutes, the JSON hours as numbers."""
    command("init", "mine.yaml")
    table = command("plan", "mine.yaml").stdout
    (cores,) = (line for line in table.splitlines() if line.strip().startswith("2 CPU cores"))
    assert " min " in cores
    estimates = json.loads(command("plan", "mine.yaml", "--json").stdout)["estimates"]
    assert 0 < estimates[-1]["hours"] < 1


def test_bundled_models_are_listed(command):
    """`list` names every model that ships with the package, and its revision."""
    plug_ins = json.loads(command("list", "--json").stdout)
    assert {f"bundled:{name}" for name in assets.REVISIONS} == set(plug_ins["model"])
    assert assets.REVISIONS["storybook"] in plug_ins["model"]["bundled:storybook"]


def test_an_experiment_never_replaces_another(toy, command, tmp_path):
    """A config with another name in the folder of a first one exits 2 and changes no file there."""
    command("run", toy(generations=1), "--out", "out")
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    done = command("run", toy(name="other"), "--out", "out")
    assert (done.returncode, "holds the experiment 'toy'" in done.stderr) == (2, True)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_the_version_is_that_of_the_package(command):
    """`--version` prints name and version."""
    assert command("--version").stdout == f"entropy-loop {__version__}\n"


def test_a_world_is_drawn(command, tmp_path):
    """`world storybook` exits 0 and leaves the scenes, their metadata and a contact sheet."""
    done = command("world", "storybook", "--n", 3, "--out", "world")
    assert done.returncode == 0
    assert len(list((tmp_path / "world" / "images").glob("*.png"))) == 3
    assert (tmp_path / "world" / "contact_sheet.png").is_file()


def test_a_damaged_model_is_a_problem_for_the_doctor():
    """`doctor` exits 1 and names a bundled model whose files are not what they were."""
    code = (
        "import sys; from entropy_loop import assets, cli; from entropy_loop.commands import doctor\n"
        "assets.REVISIONS['broken'] = 'x'\n"
        "doctor._device = lambda: 'not asked: that would load torch'\n"
        "sys.argv = ['entropy-loop', 'doctor', '--json']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert any("model broken is missing or damaged" in problem for problem in json.loads(done.stdout)["problems"])


def test_the_doctor_names_what_is_too_old(monkeypatch):
    """Packages that are needed, Ray included; neither those of developers nor those that are not here."""
    lines = ["pillow>=99", 'ray>=99; extra == "ray"', 'ruff>=99; extra == "dev"', "nowhere>=99", "packaging>=24"]
    monkeypatch.setattr(doctor, "requires", lambda name: lines)
    old = list(doctor._outdated())
    assert [line.split()[1] for line in old] == ["pillow", "ray"]
    assert old[0].endswith("is too old and may have known faults; `pip install 'pillow>=99'`")


def test_the_doctor_survives_a_torch_that_cannot_be_loaded():
    """`doctor` exits 1 and lists it as one of the problems, a line each, without a traceback."""
    code = (
        "import sys; sys.modules['torch'] = None; from entropy_loop import cli\n"
        "sys.argv = ['entropy-loop', 'doctor']; cli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert any(line.strip().startswith("problems  torch cannot be loaded") for line in done.stdout.splitlines())


def test_the_doctor_counts_idle_cores_and_names_busy_ones(monkeypatch):
    """As many as may be used, how many are idle now, and a note when other processes are at work."""
    monkeypatch.setattr(doctor, "_device", lambda: "not asked: that would load torch")
    monkeypatch.setattr(resources, "cores", lambda: 4)
    for idle, notes in ((3.9, 0), (1.2, 1)):
        monkeypatch.setattr(resources, "idle_cores", lambda idle=idle: idle)
        checkup = doctor.checkup()
        assert checkup.facts["cores to use"] == f"4, of which {idle} are idle now"
        assert len([note for note in checkup.notes if "gets about 1.2 of 4 cores" in note]) == notes


WRONG = {
    "an unknown command": ["rum"],
    "no config": ["run"],
    "an unknown option": ["run", "toy.yaml", "--outt", "x"],
    "an option without its value": ["run", "toy.yaml", "--out"],
    "a number out of range": ["world", "storybook", "--n", "0"],
    "a word for a number": ["world", "storybook", "--n", "many"],
    "an unknown world": ["world", "storybok"],
    "a config that is missing": ["run", "missing.yaml"],
    "a folder for a config": ["run", "."],
    "a file that is no YAML": ["run", "broken.yaml"],
    "an empty file": ["plan", "empty.yaml"],
    "an unknown key": ["run", "toy.yaml", "--set", "imags=3"],
    "a --set of a missing place": ["run", "toy.yaml", "--set", "name.x=3"],
    "an unknown plug-in": ["run", "toy.yaml", "--set", "feedback.use=replce"],
    "a value out of range": ["plan", "toy.yaml", "--set", "train.learning_rate=.inf"],
    "k beyond the pool": ["run", "toy.yaml", "--set", "curate.policy={use: random_k, k: 9}"],
    "a model that is not here": ["run", "toy.yaml", "--set", "judges.0={use: clip, model: ./nowhere}"],
    "a folder that is no result": ["report", "."],
    "a result that is missing": ["report", "nowhere"],
}


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_a_wrong_config_or_command_line_exits_2(toy, command, tmp_path, line):
    """What the user got wrong exits 2 with a message on stderr, no traceback, and no results folder."""
    toy()
    (tmp_path / "broken.yaml").write_text("name: [")
    (tmp_path / "empty.yaml").write_text("")
    done = command(*line)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("entropy-loop: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("line", [["run", "toy.yaml"], ["world", "storybook", "--n", "1"]], ids=["run", "world"])
@pytest.mark.parametrize("out", ["file", "file/child"])
def test_a_folder_that_cannot_be_written_exits_74(toy, command, tmp_path, line, out):
    """A results folder in the place of a regular file, or below one, exits 74 and names it, without a traceback."""
    toy()
    (tmp_path / "file").write_text("")
    done = command(*line, "--out", out)
    assert done.returncode == 74
    assert done.stderr.startswith(f"entropy-loop: {out}")
    assert "Traceback" not in done.stderr


def test_a_folder_that_another_process_holds_exits_75(toy, command, tmp_path):
    """While this process holds the folder, `run` and `report` exit 75 at once; afterwards they do their work."""
    path = toy(generations=1)
    command("run", path, "--out", "out")
    with Store(tmp_path / "out").lock():
        for line in (["run", path, "--out", "out"], ["report", "out"]):
            done = command(*line)
            assert (done.returncode, f"process {os.getpid()} on" in done.stderr) == (75, True)
    assert command("run", path, "--out", "out").returncode == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_a_signal_stops_a_run_and_the_same_command_continues_it(toy, command, tmp_path, number, code):
    """Stopped in the middle of a real run it exits 128 + the signal, says so, and leaves a folder in which the
    same command goes on to the end and makes no finished stage again."""
    path, log = toy(generations=6, images=3000), tmp_path / "out" / "events.jsonl"
    line = [sys.executable, "-m", "entropy_loop", "run", str(path), "--out", "out"]
    with subprocess.Popen(line, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True) as running:
        while running.poll() is None and not log.exists():
            time.sleep(0.02)
        running.send_signal(number)
        _, message = running.communicate(timeout=60)
    assert (running.returncode, message.count("\n")) == (code, 1)
    assert f"stopped by {number.name}" in message
    assert not (tmp_path / "out" / "report.html").exists()
    made_before = log.read_text()
    assert command("run", path, "--out", "out").returncode == 0
    stages = [json.loads(row)["stage"] for row in log.read_text().splitlines()]
    assert log.read_text().startswith(made_before)
    assert len(stages) == len(set(stages)) == 7 + 4 * 7 + 6


def test_no_command_at_all_shows_the_commands(command):
    """Without a command the help appears, on stderr, and the exit code says that nothing was done."""
    done = command()
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage:" in done.stderr
    assert "doctor" in done.stderr


@pytest.fixture
def two_laws(monkeypatch):
    """The self-check, cut to two quick laws."""
    from entropy_loop.commands.selfcheck import LAWS

    chosen = {name: LAWS[name] for name in ("E1 replace", "E11 missed concepts")}
    monkeypatch.setattr("entropy_loop.commands.selfcheck.LAWS", chosen)
    return CliRunner()


def test_the_self_check_prints_every_statistic_and_passes(two_laws):
    """A line per statistic with its whole name, and exit code 0."""
    result = two_laws.invoke(cli.app, ["selfcheck"])
    assert result.exit_code == 0
    assert "E[mu²]" in result.stdout
    assert "P(V = 0)" in result.stdout
    assert "passed" in result.stdout


def test_the_self_check_of_a_broken_loop_exits_3(two_laws, monkeypatch):
    """A regime that never leaves its first pool fails, in JSON too."""
    monkeypatch.setattr(Replace, "eats", lambda regime, history: history[:1])
    result = two_laws.invoke(cli.app, ["selfcheck", "--json"])
    assert result.exit_code == 3
    assert json.loads(result.stdout)["passed"] is False


def test_power_solves_for_what_is_left_out(command):
    """An example like that of docs/commands.md gives a number of images; leaving out two things exits 2."""
    line = ["power", "--rate", 0.8, "--change", 0.3, "--keep", "0.5", "--chains", 3]
    done = command(*line, "--power", 0.8, "--json")
    assert done.returncode == 0
    design = json.loads(done.stdout)
    assert design["power"] >= 0.8
    assert design["images"] > 2
    assert command(*line).returncode == 2


def test_compare_shows_every_arm_of_every_folder(toy, command, tmp_path):
    """Two results side by side, as a table and as JSON; a folder without results exits 2."""
    for name in ("one", "two"):
        command("run", toy(name=name), "--out", tmp_path / name)
    done = command("compare", tmp_path / "one", tmp_path / "two")
    assert done.returncode == 0
    assert [word for word in done.stdout.split() if word in ("one", "two")] == ["one", "two"]
    assert len(json.loads(command("compare", tmp_path / "one", "--json").stdout)) == 1
    assert command("compare", tmp_path / "none").returncode == 2


@pytest.mark.parametrize("form", ["md", "json"])
def test_a_printed_report_changes_nothing(toy, command, tmp_path, form):
    """`report --format md|json` prints the rates of the run, and no file of the folder appears or changes."""
    command("run", toy(), "--out", "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    done = command("report", "out", "--format", form)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    if form == "json":
        assert (
            len(json.loads(done.stdout)["rates"]) == len((tmp_path / "out" / "rates.csv").read_text().splitlines()) - 1
        )
    else:
        assert done.stdout.startswith("# toy\n")


def test_an_unknown_format_is_refused(command):
    """It is refused with those that there are, exit code 2."""
    done = command("report", "out", "--format", "pdf")
    assert done.returncode == 2
    assert "'html', 'md', 'json'" in done.stderr
