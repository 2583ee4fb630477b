import pytest

from entropy_loop import assets
from entropy_loop.errors import ConfigError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model" / "unet").mkdir(parents=True)
    return tmp_path / "model"


def test_a_folder_with_safetensors_is_a_model(folder):
    """A local folder is found as it is, wherever in it the weights lie."""
    (folder / "unet" / "weights.safetensors").write_bytes(b"w")
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
    ("name", "told"),
    [
        ("bundled:no-such", "no bundled model 'no-such'"),
        ("./nowhere", "no such folder"),
        ("nowhere", "no such folder"),
        ("/nowhere/at/all", "no such folder"),
        ("sd15/", "no such folder"),
        ("models/my model", "no such folder"),
        ("a/b:c", "no such folder"),
        ("nobody/no-such-model", "hf download nobody/no-such-model"),
    ],
)
def test_a_model_that_is_not_here_is_named_with_what_to_do(tmp_path, monkeypatch, name, told):
    """A missing model is an error that says how to get it; nothing is fetched."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=told):
        assets.find(name)


def test_the_command_to_fetch_names_the_revision():
    """Who pinned a revision is told to fetch that one."""
    with pytest.raises(ConfigError, match="hf download nobody/no-such-model --revision abc"):
        assets.find("nobody/no-such-model", "abc")


def test_only_bundled_models_have_a_revision_of_their_own():
    """A folder or a hub id has no revision that we know."""
    assert assets.revision("some/folder") is None


def test_a_folder_may_be_named_with_a_slash_at_its_end(folder):
    """A name as the shell completes it is the same folder."""
    (folder / "a.safetensors").write_bytes(b"w")
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
