import json

import pytest

from entropy_loop import assets
from entropy_loop.errors import ConfigError

EMPTY = (2).to_bytes(8, "little") + b"{}"
"""A safetensors file without tensors."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model" / "unet").mkdir(parents=True)
    return tmp_path / "model"


def test_a_folder_with_safetensors_is_a_model(folder):
    """A local folder is found as it is, wherever in it the weights lie."""
    (folder / "unet" / "weights.safetensors").write_bytes(EMPTY)
    assert assets.find(str(folder)) == folder


@pytest.mark.parametrize("name", ["model.bin", "model.ckpt", "model.pt", "model.pth", "model.pkl"])
def test_weights_that_can_carry_code_are_refused(folder, name):
    """A folder with pickled weights alone is refused by the file's name."""
    (folder / "unet" / name).write_bytes(b"w")
    with pytest.raises(ConfigError, match=f"only {name}, which can carry code.*safetensors"):
        assets.find(str(folder))


def test_a_folder_without_weights_is_refused(folder):
    """An empty folder is no model."""
    with pytest.raises(ConfigError, match="no weights"):
        assets.find(str(folder))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("bundled:no-such", "no bundled model 'no-such'"),
        ("./nowhere", "no such folder"),
        ("nowhere", "no such folder"),
        ("/nowhere/at/all", "no such folder"),
        ("sd15/", "no such folder"),
        ("models/my model", "no such folder"),
        ("a/b:c", "no such folder"),
        ("nobody/no-such-model", "nobody/no-such-model: no folder here, and as a hub id it needs `revision`"),
    ],
)
def test_a_model_that_is_not_here_is_named_with_what_to_do(tmp_path, monkeypatch, name, message):
    """A missing model is an error that says how to get it; nothing is fetched."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        assets.find(name)


@pytest.mark.parametrize("revision", [None, "main", "v1.0", "a" * 12])
def test_a_hub_id_is_pinned_to_a_commit(revision):
    """Branches and tags move, and a short hash may become ambiguous."""
    with pytest.raises(ConfigError, match="needs `revision`: the 40 hex digits"):
        assets.find("nobody/no-such-model", revision)


def test_an_error_for_a_missing_pinned_model_names_the_command():
    """Who pinned a revision has only to download it."""
    with pytest.raises(ConfigError, match=r"no-such-model: .*`entropy-loop fetch CONFIG` downloads it"):
        assets.find("nobody/no-such-model", "a" * 40)


def test_a_folder_that_brings_code_is_refused(folder):
    """Python beside the weights is never run, so a model that needs it would be another one."""
    (folder / "a.safetensors").write_bytes(EMPTY)
    (folder / "unet" / "pipeline.py").write_text("")
    with pytest.raises(ConfigError, match=r"holds code .pipeline\.py."):
        assets.find(str(folder))


@pytest.mark.parametrize(
    ("file", "config", "key"),
    [
        ("config.json", {"auto_map": {"AutoModel": "a--b"}}, "auto_map"),
        ("unet/tokenizer_config.json", {"auto_map": {}}, "auto_map"),
        ("open_clip_config.json", {"model_cfg": {"kwargs": [{"trust_remote_code": True}]}}, "trust_remote_code"),
    ],
)
def test_a_config_that_asks_to_run_code_is_refused(folder, file, config, key):
    """At whatever depth; an ordinary config is none of that."""
    (folder / "a.safetensors").write_bytes(EMPTY)
    (folder / "config.json").write_text(json.dumps({"architectures": ["CLIPModel"]}))
    assert assets.find(str(folder)) == folder
    (folder / file).write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=rf'{file}: asks for code of its own \("{key}"\)'):
        assets.find(str(folder))


def test_only_bundled_models_have_a_revision_of_their_own():
    """A folder or a hub id has no revision that we know."""
    assert assets.revision("some/folder") is None


def test_a_folder_may_be_named_with_a_slash_at_its_end(folder):
    """A name as the shell completes it is the same folder."""
    (folder / "a.safetensors").write_bytes(EMPTY)
    assert assets.find(f"{folder}/") == folder


def test_a_fingerprint_may_be_over_named_files_alone(folder):
    """What lies beside the files that a model is loaded from does not change it."""
    file = folder / "a.safetensors"
    file.write_bytes(b"12")
    alone = assets.fingerprint(folder)
    (folder / "another-variant.safetensors").write_bytes(b"34")
    assert assets.fingerprint(folder, [file]) == alone != assets.fingerprint(folder)


def test_a_fingerprint_is_over_names_and_bytes(folder):
    """Another byte, another name and another place change the fingerprint; the model card does not."""
    file = folder / "a.safetensors"
    file.write_bytes(b"12")
    first = assets.fingerprint(folder)
    (folder / "README.md").write_text("a card")
    assert assets.fingerprint(folder) == first
    others = []
    file.write_bytes(b"13")
    others.append(assets.fingerprint(folder))
    file.write_bytes(b"12")
    file = file.rename(folder / "b.safetensors")
    others.append(assets.fingerprint(folder))
    file.rename(folder / "unet" / "a.safetensors")
    others.append(assets.fingerprint(folder))
    assert len({first, *others}) == 4
    assert all(len(print_) == 16 and int(print_, 16) >= 0 for print_ in others)
