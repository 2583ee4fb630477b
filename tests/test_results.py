"""The public Python surface: what a notebook imports, runs and reads."""

from __future__ import annotations

import csv
import os
import pydoc
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import entropy_loop as el
from conftest import TOY, Command, Toy, environment, science
from entropy_loop import assets, data
from entropy_loop.commands import experiment
from entropy_loop.dictionary import DTYPES, PARQUET, TABLES
from entropy_loop.errors import ConfigError, StorageError

REFERENCE = Path("results/reference")


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment variables that a run sets for its libraries are restored."""
    for name in assets.SILENT | assets.OFFLINE:
        monkeypatch.setenv(name, os.environ.get(name, ""))


def read(results: el.Results, name: str) -> pd.DataFrame:
    """A table by its name."""
    return results.images() if name == "images" else getattr(results, name)


@pytest.fixture(scope="module")
def toy_run(tmp_path_factory: pytest.TempPathFactory) -> el.Results:
    """The toy experiment with two arms, run by way of the public surface."""
    sweep = {"curate.policy": [{"use": "none"}, {"use": "top_k", "k": 4}]}
    config = deepcopy(TOY) | {"curate": {"scorer": {"use": "exact"}}, "sweep": sweep}
    return el.run(config, out=tmp_path_factory.mktemp("made") / "out", progress=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The main job's folder as it is committed, without its store, to be damaged."""
    folder = tmp_path / "astronaut"
    shutil.copytree(REFERENCE / "astronaut", folder, ignore=shutil.ignore_patterns("figures", "report.html"))
    return folder


# ---- the names ---------------------------------------------------------------------------------------


def test_importing_the_package_loads_nothing_heavy() -> None:
    """Neither torch nor pandas, nor anything else that is not Python's own."""
    code = (
        "import sys; before = set(sys.modules); import entropy_loop as el; el.__version__; dir(el);"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    line = [sys.executable, "-c", code]
    result = subprocess.run(line, env=environment(), capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["entropy_loop"]


def test_opening_results_loads_no_torch() -> None:
    """Tables are read with pandas alone."""
    code = (
        f"import sys, entropy_loop as el; el.open_results({str(REFERENCE / 'astronaut')!r}).rates; print(*sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    loaded = result.stdout.split()
    assert "pandas" in loaded
    assert "torch" not in loaded


def test_the_public_names_are_shown() -> None:
    """By `dir`, by `help` and to a star import; a name that is none of them is an AttributeError."""
    assert set(dir(el)) == {"Results", "__version__", "open_results", "run"}
    page = pydoc.plain(pydoc.render_doc(el))
    for shown in ("class Results", "open_results(path", "run(config", "judgements"):
        assert shown in page
    with pytest.raises(AttributeError, match="opn_results"):
        el.opn_results  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.thorough
def test_a_type_checker_sees_the_public_names(tmp_path: Path) -> None:
    """mypy --strict knows what each returns, and finds a name that does not exist."""
    source = tmp_path / "notebook.py"
    source.write_text(
        "import entropy_loop as el\n"
        "r = el.open_results('x')\n"
        "reveal_type(r.rates)\n"
        "reveal_type(r.images(generation=3))\n"
        "reveal_type(el.run({}, out='y'))\n"
        "el.opn_results\n"
    )
    line = [sys.executable, "-m", "mypy", "--strict", str(source)]
    result = subprocess.run(line, env=environment() | {"MYPYPATH": "src"}, capture_output=True, text=True, check=False)
    assert result.stdout.count('"pandas.core.frame.DataFrame"') == 2
    assert '"entropy_loop.results.Results"' in result.stdout
    assert "notebook.py:6: error: Module has no attribute" in result.stdout
    assert "Found 1 error" in result.stdout


# ---- the dictionary ----------------------------------------------------------------------------------


def test_every_table_of_a_results_folder_is_an_attribute() -> None:
    """Each of the dictionary's."""
    assert all(hasattr(el.Results, name) for name in TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_described(name: str) -> None:
    """Each has a kind and a sentence."""
    for column in TABLES[name].values():
        assert column.kind in DTYPES
        assert column.text.endswith(".")


# ---- tables ------------------------------------------------------------------------------------------


def test_what_a_run_returns_is_what_it_wrote(toy_run: el.Results) -> None:
    """Every table has its columns and dtypes, and the numbers of the stages, to six significant digits."""
    assert toy_run.tables == tuple(TABLES)
    _, tables = experiment.read(toy_run.folder)
    for name, columns in TABLES.items():
        frame = read(toy_run, name)[list(columns)]
        assert [str(dtype) for dtype in frame.dtypes] == [column.dtype for column in columns.values()]
        expected = getattr(tables, name)
        assert len(frame) == len(expected)
        for column in columns:
            actual, wanted = frame[column], expected[column].replace("", np.nan)
            assert (actual.isna().to_numpy() == wanted.isna().to_numpy()).all(), (name, column)
            if frame[column].dtype == "float64":
                assert actual.dropna().to_numpy() == pytest.approx(wanted.dropna().to_numpy(float), rel=1e-5)
            else:
                assert actual.dropna().tolist() == wanted.dropna().tolist(), (name, column)
    assert len(toy_run.rates) > 10


@pytest.mark.parametrize("folder", sorted(path.name for path in REFERENCE.iterdir()))
def test_a_folder_without_a_store_is_read(folder: str) -> None:
    """Each of the committed results: the tables that it has, none of them empty, with their dtypes."""
    results = el.open_results(REFERENCE / folder)
    assert {"rates", "diversity", "noise", "tails"} <= set(results.tables)
    for name in results.tables:
        frame = read(results, name)
        assert len(frame) > 0
        dtypes = {str(key): str(dtype) for key, dtype in frame.dtypes.items()}
        assert {key: column.dtype for key, column in TABLES[name].items()}.items() <= dtypes.items()


def test_missing_values_stay_missing() -> None:
    """As many NaN as there are empty cells in the file, column by column; c is one where V1 is 0."""
    with open(REFERENCE / "astronaut" / "changes.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    changes = el.open_results(REFERENCE / "astronaut").changes
    empty = {name: sum(row[name] == "" for row in rows) for name in data.CHANGES}
    assert changes.isna().sum().to_dict() == empty
    lost = changes["v1"] == 0
    assert lost.any()
    assert changes.loc[lost, "change_rate"].isna().all()


def test_an_arm_called_none_is_no_missing_arm() -> None:
    """`none`, `nan` and the like are words."""
    assert set(el.open_results(REFERENCE / "astronaut").rates["arm"]) == {"none", "top_k-32", "random_k-32"}


def test_a_column_of_a_later_version_is_missing_throughout() -> None:
    """Results of an older version have the columns of this one."""
    images = el.open_results(REFERENCE / "controls").images()
    assert "brightest" not in pd.read_parquet(REFERENCE / "controls" / "images.parquet")
    assert images["brightest"].isna().all()


def test_a_changed_frame_is_not_changed_the_next_time(toy_run: el.Results) -> None:
    """What is done to it does not come back the next time."""
    rates = toy_run.rates
    rates["rate"] = 0.0
    assert toy_run.rates["rate"].max() > 0


def test_a_table_that_is_not_there_is_an_error(toy_run: el.Results, tmp_path: Path) -> None:
    """Without a store only a run makes it; with one `report` writes it. Never an empty frame."""
    with pytest.raises(
        ConfigError, match=r"guidance/changes.csv: not there; `entropy-loop run` makes it anew"
    ) as error:
        el.open_results(REFERENCE / "guidance").changes  # noqa: B018
    assert "no store/" in str(error.value)
    with pytest.raises(ConfigError, match=r"guidance/images.parquet: not there"):
        el.open_results(REFERENCE / "guidance").images()
    shutil.copytree(toy_run.folder, tmp_path / "out")
    (tmp_path / "out" / "ledger.csv").unlink()
    results = el.open_results(tmp_path / "out")
    assert "ledger" not in results.tables
    with pytest.raises(ConfigError, match=rf"`entropy-loop report {tmp_path}/out` writes it anew"):
        results.ledger  # noqa: B018
    experiment.report(tmp_path / "out")
    assert "ledger" in results.tables


DAMAGE: dict[str, tuple[str, Any]] = {
    "cut short": ("rates", lambda old: old[: len(old) // 2]),
    "cut in its last number": ("rates", lambda old: old[:-3]),
    "a word for a number": ("rates", lambda old: old.replace(b",128,128,1,", b",128,128,one,", 1)),
    "a name gone": ("rates", lambda old: old.replace(b",horse,", b",,", 1)),
    "a count gone": ("rates", lambda old: old.replace(b",128,128,", b",,128,", 1)),
    "another table": ("rates", lambda old: b"a,b\n1,2\n"),
    "only a stray line": ("rates", lambda old: b"hello\n"),
    "empty": ("rates", lambda old: b""),
    "bytes": ("rates", lambda old: bytes(range(256)) + b"\n"),
    "no Parquet": ("images", lambda old: b"PAR1 or so"),
    "Parquet cut short": ("judgements", lambda old: old[: len(old) // 2]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_table_is_named(damage: str, copy: Path) -> None:
    """By its path, with what to do; the other tables can be read."""
    name, change = DAMAGE[damage]
    path = copy / f"{name}.{'parquet' if name in PARQUET else 'csv'}"
    path.write_bytes(change(path.read_bytes()))
    results = el.open_results(copy)
    with pytest.raises(StorageError, match=rf"{path}: damaged \(.+\); `entropy-loop run`"):
        read(results, name)
    assert len(results.changes) > 0


@pytest.mark.parametrize("path", ["nowhere", "results/reference", "README.md"])
def test_what_is_no_results_folder_is_refused(path: str) -> None:
    """A place that does not exist, a folder of other things, a file."""
    with pytest.raises(ConfigError, match=rf"^{path}: no results folder \(it has no config.yaml\)"):
        el.open_results(path)


# ---- images ------------------------------------------------------------------------------------------


def test_images_have_their_answers_beside_them() -> None:
    """Each answer is the one of judgements.parquet, in a column named after judge and concept."""
    results = el.open_results(REFERENCE / "astronaut")
    images = results.images(generation=8, set="pool")
    judgements = results.judgements
    keys = ["run", "generation", "set", "id"]
    assert len(images) == 3 * 128
    assert list(images)[len(data.IMAGES) :] == [f"storybook-judge:{name}" for name in ("astronaut", "horse", "riding")]
    for concept in ("astronaut", "horse", "riding"):
        answers = judgements[judgements["concept"] == concept].set_index(keys)["answer"]
        expected = answers.loc[images.set_index(keys).index]
        assert images[f"storybook-judge:{concept}"].tolist() == expected.tolist()
    assert 0 < images["storybook-judge:horse"].mean() < 1


def test_v_is_the_mean_over_the_images(toy_run: el.Results) -> None:
    """The columns of answers and rates.csv agree."""
    rates = toy_run.rates.set_index(["arm", "generation", "set", "concept"])["rate"]
    for (arm, generation), images in toy_run.images(set="pool").groupby(["arm", "generation"]):
        mean = images["exact:horse"].mean()
        assert mean == pytest.approx(rates[arm, generation, "pool", "horse"], rel=1e-5)


def test_images_are_kept_by_arm_generation_seed_set_and_prompt(toy_run: el.Results) -> None:
    """Alone and together they keep the very rows."""
    every = toy_run.images()
    wanted = {"arm": "top_k-4", "generation": 2, "seed": 0, "set": "evaluation", "prompt": "an astronaut on a horse"}
    for name, value in wanted.items():
        assert (toy_run.images(**{name: value})["id"].tolist()) == every.loc[every[name] == value, "id"].tolist()
    assert len(toy_run.images(**wanted)) == 2


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"arm": "nome"}, "none has arm 'nome'; known: none, top_k-4. Did you mean 'none'?"),
        ({"generation": 12}, "none has generation 12; known: 0, 1, 2."),
        ({"arm": "none", "set": "real"}, "none has set 'real'; known: evaluation, pool."),
    ],
)
def test_images_that_are_not_there_are_an_error(toy_run: el.Results, wanted: dict[str, Any], message: str) -> None:
    """What is known is named; nobody plots an empty frame because of a misspelt arm."""
    with pytest.raises(ConfigError) as error:
        toy_run.images(**wanted)
    assert str(error.value).endswith(message)


def test_an_answer_that_no_judge_gave_is_missing(copy: Path) -> None:
    """An image that a judge did not answer has no answer, neither yes nor no."""
    judgements = pd.read_parquet(copy / "judgements.parquet")
    judgements = judgements[(judgements["generation"] != 3) | (judgements["concept"] != "horse")]
    judgements.to_parquet(copy / "judgements.parquet", index=False)
    results = el.open_results(copy)
    assert results.images(generation=3)["storybook-judge:horse"].isna().all()
    assert results.images(generation=3)["storybook-judge:riding"].notna().all()
    judgements.head(0).to_parquet(copy / "judgements.parquet", index=False)
    assert list(results.images(generation=3)) == list(data.IMAGES)  # no judge has answered


def test_a_picture_is_opened_from_the_store(copy: Path) -> None:
    """Its pixels are those of the file; a damaged one and one that is gone are named."""
    results = el.open_results(copy)
    here, damaged, gone = results.images(generation=3, arm="none", set="pool")["file"].iloc[:3]
    pixels = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    (copy / here).parent.mkdir(parents=True)
    Image.fromarray(pixels).save(copy / here)
    assert (np.asarray(results.picture(here)) == pixels).all()
    (copy / damaged).write_bytes((copy / here).read_bytes()[:5000])
    for file in (damaged, gone):
        with pytest.raises(StorageError, match=rf"{copy / file}: damaged or gone .*`entropy-loop verify {copy}`"):
            results.picture(file)


def test_a_picture_without_a_store_is_an_error(toy_run: el.Results) -> None:
    """Results that were passed on without it say so, and a toy says that it draws none."""
    results = el.open_results(REFERENCE / "astronaut")
    with pytest.raises(ConfigError, match=r"results/reference/astronaut: has no store/"):
        results.picture(results.images(generation=3)["file"].iloc[0])
    with pytest.raises(ConfigError, match="this image has no picture"):
        toy_run.picture(toy_run.images()["file"].iloc[0])


# ---- running -----------------------------------------------------------------------------------------


def test_run_makes_the_same_bytes_as_the_command_line(toy: Toy, command: Command, tmp_path: Path) -> None:
    """A file, a mapping and the command make the same bytes, and each goes on where another was."""
    assert command("run", toy(), "--out", "command", "--set", "images=6").returncode == 0
    by_file = el.run(toy(), out=tmp_path / "file", overrides={"images": 6}, progress=False)
    by_mapping = el.run(TOY | {"images": 6}, out=tmp_path / "mapping", progress=False)
    assert science(by_file.folder) == science(by_mapping.folder) == science(tmp_path / "command")
    written = (tmp_path / "command" / "rates.csv").stat().st_mtime_ns
    el.run(toy(), out=tmp_path / "command", overrides={"images": 6}, progress=False)
    assert (tmp_path / "command" / "rates.csv").stat().st_mtime_ns == written


def test_run_writes_to_results_by_name_and_leaves_the_mapping_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without `out` the folder is the command's; without `progress` nothing is printed."""
    monkeypatch.chdir(tmp_path)
    config = deepcopy(TOY) | {"generations": 1}
    before = deepcopy(config)
    results = el.run(config, overrides={"generator.rates": {"astronaut": 1, "horse": 0.5}}, progress=False)
    assert results.folder == Path("results/toy")
    assert results.rates.query("concept == 'astronaut'")["rate"].eq(1).all()
    assert config == before
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("config", "overrides", "message"),
    [
        (TOY | {"imags": 4}, {}, "config: imags: unknown key; did you mean 'images'?"),
        (TOY | {"images": np.int64(4)}, {}, "config: Object of type int64 is not JSON serializable; a config holds"),
        (TOY | {"images": float("nan")}, {}, "config: Out of range float values"),
        (TOY | {"name": "\x07"}, {}, "config: control character"),
        (TOY, {"images": Path("x")}, "images: Object of type PosixPath"),
        (TOY, {"imags": 4}, "imags: unknown key"),
        ("configs/nothing.yaml", {}, "configs/nothing.yaml: no such file"),
    ],
)
def test_a_wrong_config_is_refused(config: Any, overrides: dict[str, Any], message: str, tmp_path: Path) -> None:
    """With the library's error, before anything is made."""
    with pytest.raises(ConfigError) as error:
        el.run(config, out=tmp_path / "out", overrides=overrides, progress=False)
    assert message in str(error.value)
    assert not (tmp_path / "out").exists()


def test_another_experiment_in_the_folder_is_refused(toy_run: el.Results) -> None:
    """Its tables would be lost."""
    with pytest.raises(ConfigError, match="holds the experiment 'toy', not 'other'"):
        el.run(TOY | {"name": "other"}, out=toy_run.folder, progress=False)


def test_a_model_that_is_not_here_is_refused_before_any_work(tmp_path: Path) -> None:
    """As by the command line."""
    with pytest.raises(ConfigError, match="no/such/model"):
        el.run(TOY | {"judges": [{"use": "clip", "model": "./no/such/model"}]}, out=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_warnings_of_the_command_are_warnings_of_python(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sentence that the command prints as a warning is one of Python's, also of a run that was finished before."""
    monkeypatch.setattr("entropy_loop.analysis.tables.Tables.warnings", ["The judge tires."])
    for _ in range(2):
        with pytest.warns(UserWarning, match="The judge tires."):
            el.run(toy(), out=tmp_path / "out", progress=False)
