"""Model folders from strangers: what is refused before any model is loaded."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from entropy_loop import assets
from entropy_loop.errors import ConfigError

BUNDLED = assets.find("bundled:storybook")
UNET = "unet/diffusion_pytorch_model.safetensors"


class Canary:
    """Unpickled, it makes a file."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("canary", "w")


def safetensors(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def tensor(start: int, end: int, count: int = 1, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": [count], "data_offsets": [start, end]}


def pickled_alone(name: str) -> Callable[[Path], object]:
    """All weights of the folder in a format that can carry code."""

    def make(folder: Path) -> None:
        for file in folder.rglob("*.safetensors"):
            file.unlink()
        (folder / "unet" / name).write_bytes(pickle.dumps(Canary()))

    return make


def holding(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


def with_keys(name: str, **keys: object) -> Callable[[Path], object]:
    """A config of the folder, with these keys added."""

    def make(folder: Path) -> None:
        config = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(config | keys))

    return make


def linked(name: str, target: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return make


CODE = b"open('canary', 'w')\n"
INDEX = "unet/diffusion_pytorch_model.safetensors.index.json"
HOSTILE: dict[str, Callable[[Path], object]] = {
    "pickle as .bin": pickled_alone("diffusion_pytorch_model.bin"),
    "pickle as .pt": pickled_alone("model.pt"),
    "pickle as .ckpt": pickled_alone("model.ckpt"),
    "pickle called safetensors": holding(UNET, pickle.dumps(Canary())),
    "a header of 5 GB": holding(UNET, safetensors({}, length=5 << 30)),
    "a header of 2^64 bytes": holding(UNET, b"\xff" * 8 + b"{}"),
    "a header that is no JSON": holding(UNET, struct.pack("<Q", 4) + b"!!!!"),
    "a header of lists in lists": holding(UNET, struct.pack("<Q", 1 << 20) + b"[" * (1 << 20)),
    "a tensor beyond the file": holding(UNET, safetensors({"a": tensor(0, 4000, 1000)}, b"1234")),
    "tensors that overlap": holding(UNET, safetensors({"a": tensor(0, 8, 2), "b": tensor(4, 8)}, bytes(8))),
    "tensors with a gap": holding(UNET, safetensors({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12))),
    "an unknown type of numbers": holding(UNET, safetensors({"a": tensor(0, 4, dtype="F33")}, bytes(4))),
    "an empty file": holding(UNET, b""),
    "a shape that does not fit": holding(UNET, safetensors({"a": tensor(0, 4, 1 << 60)}, bytes(4))),
    "something after the tensors": holding(UNET, safetensors({"a": tensor(0, 4)}, bytes(4) + pickle.dumps(Canary()))),
    "code beside the weights": holding("unet/pipeline.py", CODE),
    "code with capitals": holding("unet/MODEL.PY", CODE),
    "a compiled library": holding("unet/kernel.so", CODE),
    "auto_map": with_keys("unet/config.json", auto_map={"AutoModel": "evil--Model"}),
    "trust_remote_code": with_keys("text_encoder/config.json", inner=[{"trust_remote_code": True}]),
    "custom_pipeline": with_keys("model_index.json", custom_pipeline="evil/pipeline"),
    "a kernel from the hub": with_keys("text_encoder/config.json", _attn_implementation_internal="evil/kernel"),
    "a pipeline of its own": with_keys("model_index.json", _class_name="EvilPipeline"),
    "a pipeline by its file": with_keys("model_index.json", _class_name=["pipeline", "EvilPipeline"]),
    "a part of its own": with_keys("model_index.json", unet=["evil", "EvilModel"]),
    "a part from the standard library": with_keys("model_index.json", vae=["subprocess", "Popen"]),
    "weights elsewhere": holding(INDEX, json.dumps({"weight_map": {"a": "../../elsewhere.safetensors"}}).encode()),
    "weights by a whole path": holding(INDEX, json.dumps({"weight_map": {"a": "/elsewhere.safetensors"}}).encode()),
    "a config that leads out": linked("unet/config.json", "/etc/passwd"),
    "a folder that leads out": linked("tokenizer_2", "/etc"),
    "a config that is no JSON": holding("vae/config.json", b"\x80\x04"),
    "a config of lists in lists": holding("vae/config.json", b"[" * 1_000_000),
}

READER = """
import sys
from entropy_loop.data import TrainSettings
from entropy_loop.errors import ConfigError
from entropy_loop.generators.diffusion.diffusion import Diffusion
for folder in sys.argv[1:]:
    try:
        Diffusion(checkpoint=folder).ready(("a horse",), TrainSettings())
        print("accepted")
    except ConfigError as error:
        print(str(error).replace(chr(10), " "))
print(sorted({"torch", "diffusers", "transformers", "open_clip"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def readiness(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """What the readiness check of one process says of every folder, and which heavy libraries it loaded."""
    root = tmp_path_factory.mktemp("models")
    folders = []
    for number, make in enumerate(HOSTILE.values()):
        folders.append(root / f"model{number}")
        shutil.copytree(BUNDLED, folders[-1])
        make(folders[-1])
    line = [sys.executable, "-c", READER, *map(str, folders)]
    done = subprocess.run(line, cwd=root, capture_output=True, text=True, check=True)
    return root, done.stdout.splitlines()


def test_every_hostile_folder_is_refused(readiness: tuple[Path, list[str]]):
    """Each by name, and nothing that they hold was run: the canary was never made."""
    root, lines = readiness
    assert len(HOSTILE) >= 20
    assert [name for name, line in zip(HOSTILE, lines, strict=False) if "model" not in line or line == "accepted"] == []
    assert list(root.rglob("canary")) == []


def test_no_library_saw_a_hostile_folder(readiness: tuple[Path, list[str]]):
    """All of it is decided before torch and its kin are loaded."""
    assert readiness[1][len(HOSTILE) :] == ["[]"]


def test_the_canary_would_sing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Unpickling what the corpus holds does make the file."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Canary())).close()
    assert (tmp_path / "canary").is_file()


def test_links_within_the_hub_cache_are_a_model(tmp_path: Path):
    """A snapshot is links to the blobs beside it; a link beyond them is refused."""
    repository = tmp_path / "models--owner--name"
    snapshot = repository / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "b").write_bytes(safetensors({"a": tensor(0, 4)}, bytes(4)))
    (snapshot / "model.safetensors").symlink_to("../../blobs/b")
    assert assets.find(str(snapshot)) == snapshot
    (snapshot / "config.json").symlink_to("../../../elsewhere.json")
    with pytest.raises(ConfigError, match=r"config\.json: leads out of the model's folder"):
        assets.find(str(snapshot))
