"""`fetch` downloads what a config needs, and nothing else; afterwards nothing asks for a connection."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

from entropy_loop import assets
from entropy_loop.commands.fetch import wanted
from entropy_loop.generators.diffusion import pretrained
from entropy_loop.generators.diffusion.diffusion import Diffusion
from entropy_loop.study import study
from hub import COMMIT, Hub, serving

Done = subprocess.CompletedProcess[str]

TOKEN = "hf_secretsecretsecretsecretsecret"
CHECKPOINT, JUDGE, TAGGED = "tiny/storybook", "tiny/judge", "timm/vit_large_patch14_clip_224.openai"
NOT_NEEDED = (
    "v1-5-pruned.ckpt", "v1-5-pruned.safetensors", "notes.py", "safety_checker/config.json",
    "safety_checker/model.safetensors", "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.fp16.safetensors", "unet/diffusion_pytorch_model.non_ema.safetensors",
    "text_encoder/pytorch_model.bin", "text_encoder/model.fp16.safetensors", "vae/diffusion_flax_model.msgpack",
)  # fmt: skip

STUDY = {
    "name": "small",
    "generations": 1,
    "images": 2,
    "threads": 1,
    "evaluation": {"images": 1},
    "prompts": [{"text": "a photograph of an astronaut riding a horse", "concepts": ["horse"]}],
    "generator": {
        "use": "diffusion", "checkpoint": CHECKPOINT, "revision": COMMIT, "num_inference_steps": 1, "guidance_scale": 1,
        "block": 2,
    },
    "curate": {
        "scorer": {"use": "clip", "model": "ViT-L-14", "pretrained": "openai", "revision": COMMIT},
        "policy": {"use": "top_k", "k": 1},
    },
    "train": {"max_train_steps": 1, "train_batch_size": 1},
    "judges": [{"use": "clip", "model": JUDGE, "revision": COMMIT}],
}  # fmt: skip
UNTAGGED = {"curate": {"policy": {"use": "none"}}}  # a tag's meaning is open_clip's, which takes seconds to load

NO_SOCKETS = """
import sys

CONNECTING = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg"}

def refuse(event, arguments):
    if event in CONNECTING:
        with open(__file__ + ".tried", "a") as file:
            file.write(f"{event} {arguments}\\n")
        raise OSError("this process may not use sockets")

sys.addaudithook(refuse)
"""


@dataclass(frozen=True)
class Place:
    """A folder to work in, with a cache of the hub of its own."""

    folder: Path

    @property
    def cache(self) -> Path:
        return self.folder / "home" / "hub"

    def snapshot(self, repo: str) -> Path:
        return self.cache / f"models--{repo.replace('/', '--')}" / "snapshots" / COMMIT

    def loop(self, *arguments: str, url: str = "http://127.0.0.1:9", sockets: bool = True) -> Done:
        """`entropy-loop ...` here; without sockets every attempt to use one is an error, and fails the test."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "TRANSFORMERS_"))}
        environment |= {"HF_HOME": str(self.folder / "home"), "HF_ENDPOINT": url, "HF_TOKEN": TOKEN, "COLUMNS": "200"}
        environment["OMP_NUM_THREADS"] = "1"
        if not sockets:
            blocked = self.folder / "blocked"
            blocked.mkdir(exist_ok=True)
            (blocked / "sitecustomize.py").write_text(NO_SOCKETS)
            environment["PYTHONPATH"] = os.pathsep.join([str(blocked), os.environ.get("PYTHONPATH", "")])
        line = [sys.executable, "-m", "entropy_loop", *arguments]
        done = subprocess.run(line, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300)
        assert not (self.folder / "blocked" / "sitecustomize.py.tried").exists()
        return done

    def study(self, name: str = "small.yaml", **changes: object) -> str:
        (self.folder / name).write_text(yaml.safe_dump(STUDY | changes))
        return name


def repositories(folder: Path) -> dict[str, Path]:
    """The bundled models as repositories, with the usual files beside them that nobody here needs."""
    shutil.copytree(assets.find("bundled:storybook"), folder / "storybook")
    for name in NOT_NEEDED:
        (folder / "storybook" / name).parent.mkdir(exist_ok=True)
        (folder / "storybook" / name).write_bytes(b"not needed")
    shutil.copytree(assets.find("bundled:storybook-judge"), folder / "judge")
    shutil.copytree(assets.find("bundled:storybook-curator"), folder / "curator")
    (folder / "curator" / "open_clip_pytorch_model.bin").write_bytes(b"not needed")
    (folder / "pickled").mkdir()
    (folder / "pickled" / "open_clip_config.json").write_text("{}")
    (folder / "pickled" / "open_clip_pytorch_model.bin").write_bytes(b"not safe")
    named = {CHECKPOINT: "storybook", JUDGE: "judge", TAGGED: "curator", "tiny/pickled": "pickled"}
    return {repo: folder / name for repo, name in named.items()}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    with serving(repositories(tmp_path_factory.mktemp("hub"))) as hub:
        yield hub


@pytest.fixture
def place(tmp_path) -> Place:
    return Place(tmp_path)


@dataclass(frozen=True)
class Fetched:
    """What two `fetch`es in a row printed, and what they asked the hub for."""

    place: Place
    first: Done
    second: Done
    hub: Hub
    asked_first: list
    asked_second: list


@pytest.fixture(scope="module")
def fetched(hub, tmp_path_factory) -> Fetched:
    place = Place(tmp_path_factory.mktemp("place"))
    study = place.study()
    hub.asked.clear()
    first = place.loop("fetch", study, url=hub.url)
    asked, hub.asked = hub.asked, []
    second = place.loop("fetch", study, "--json", url=hub.url)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    return Fetched(place, first, second, hub, asked, hub.asked.copy())


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_fetch_downloads_what_is_needed_and_nothing_else(fetched):
    """Of a checkpoint the parts of its pipeline, of a judge what open_clip reads; of both no pickle and no variant."""
    for repo, name in ((CHECKPOINT, "storybook"), (JUDGE, "storybook-judge"), (TAGGED, "storybook-curator")):
        assert files(fetched.place.snapshot(repo)) == files(assets.find(f"bundled:{name}")) - {"README.md"}
    sent = Hub({}, asked=fetched.asked_first).names()
    assert "unet/diffusion_pytorch_model.safetensors" in sent
    assert not sent & {*NOT_NEEDED, "open_clip_pytorch_model.bin", "README.md"}


def test_fetch_lists_the_models_and_their_new_files(fetched):
    """Every model with its commit and how many of its files were downloaded: all, and then none."""
    for repo in (CHECKPOINT, JUDGE, TAGGED):
        assert f"{repo} at {COMMIT}" in fetched.first.stdout
    again = pd.DataFrame(json.loads(fetched.second.stdout)).set_index("repo")
    assert again.loc[CHECKPOINT, "files"] == len(files(assets.find("bundled:storybook"))) - 1
    assert (again["new_files"] == 0).all()
    assert (again["size"] > 1e6).all()


def test_a_second_fetch_asks_for_nothing(fetched):
    """What a commit holds cannot change, so not even a question is asked."""
    assert fetched.asked_first
    assert fetched.asked_second == []


def test_a_run_after_fetch_opens_no_connection(fetched):
    """A whole run on what was fetched, with a tag of open_clip's as its curator, in a process without sockets."""
    done = fetched.place.loop("run", "small.yaml", sockets=False)
    assert done.returncode == 0, done.stderr
    rates = pd.read_csv(fetched.place.folder / "results" / "small" / "rates.csv")
    assert rates["generation"].max() == 1


def test_a_token_is_kept_out_of_every_file_and_of_the_output(fetched):
    """It is sent to the hub, and written down nowhere: neither in the cache nor in results."""
    assert all(token for _, path, token in fetched.asked_first if "/resolve/" in path)
    assert TOKEN not in fetched.first.stdout + fetched.first.stderr + fetched.second.stdout + fetched.second.stderr
    every = [path for path in fetched.place.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".safetensors" for path in every)
    assert [path for path in every if TOKEN.encode() in path.read_bytes()] == []


def test_the_guard_catches_a_command_that_connects(place):
    """The guard of these tests can fail: a command that connects is caught."""
    with pytest.raises(AssertionError):
        place.loop("fetch", place.study(generator={**STUDY["generator"], "revision": None}, **UNTAGGED), sockets=False)


@pytest.mark.parametrize(
    "lost", ["unet/diffusion_pytorch_model.safetensors", "tokenizer/merges.txt", "model_index.json"]
)
def test_a_missing_file_is_named_with_the_command_that_fetches_it(fetched, place, lost):
    """A snapshot that is here in part is refused before anything is loaded, without a question to the hub."""
    shutil.copytree(fetched.place.cache, place.cache, symlinks=True)
    (place.snapshot(CHECKPOINT) / lost).unlink()
    done = place.loop("run", place.study(), sockets=False)
    assert done.returncode == 2
    assert f"{CHECKPOINT}: lacks {lost}; `entropy-loop fetch CONFIG` downloads it" in done.stderr


def test_a_snapshot_of_other_tools_is_looked_at_too(fetched, place):
    """Where the hub's own listing was not kept, what the pipeline loads is looked for, and the command named."""
    shutil.copytree(fetched.place.cache, place.cache, symlinks=True)
    shutil.rmtree(place.snapshot(CHECKPOINT).parent.parent / "trees")
    (place.snapshot(CHECKPOINT) / "vae" / "config.json").unlink()
    done = place.loop("run", place.study(**UNTAGGED), sockets=False)
    assert done.returncode == 2
    assert "lacks vae/config.json. If it was downloaded: `entropy-loop fetch CONFIG`" in done.stderr


def test_a_missing_model_is_named_with_the_command_that_fetches_it(place):
    """Without a fetch a run is refused, without a question to the hub."""
    done = place.loop("run", place.study(), sockets=False)
    assert done.returncode == 2
    assert f"{CHECKPOINT}: neither a folder here nor downloaded before; `entropy-loop fetch CONFIG`" in done.stderr


@pytest.mark.parametrize("revision", [None, "main", COMMIT[:12]])
def test_a_model_of_the_hub_is_pinned_to_a_commit(hub, place, revision):
    """Branches, tags and short names can move: a run is refused, and fetch says which commit to write."""
    study = place.study(generator={**STUDY["generator"], "revision": revision}, **UNTAGGED)
    done = place.loop("run", study, sockets=False)
    assert done.returncode == 2
    assert f"{CHECKPOINT}: no folder here, and as a hub id it needs `revision`" in done.stderr
    hub.asked.clear()
    done = place.loop("fetch", study, url=hub.url)
    assert done.returncode == 2
    message = f"{CHECKPOINT}: branches and tags move; {revision or 'main'} is now `revision: {COMMIT}`"
    assert (message if revision != COMMIT[:12] else "has no such revision") in done.stderr
    assert not [path for _, path, _ in hub.asked if "/resolve/" in path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": "tiny/no-such"}, "tiny/no-such: the hub has no such model"),
        ({"revision": "f" * 40}, f"{CHECKPOINT}: has no such revision"),
        ({"checkpoint": "tiny/pickled"}, "tiny/pickled: has no such weights as safetensors"),
    ],
)
def test_what_cannot_be_fetched_is_named(hub, place, changes, message):
    """A name, a commit, or weights that are not there: exit code 2 and no pickle downloaded."""
    done = place.loop("fetch", place.study(generator=STUDY["generator"] | changes, **UNTAGGED), url=hub.url)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert TOKEN not in done.stderr
    assert not list(place.cache.rglob("*.bin"))


def test_a_hub_that_cannot_be_reached_is_an_error(place):
    """Nobody listens: an error in words, which is not the config's."""
    done = place.loop("fetch", place.study(generator={**STUDY["generator"], "revision": None}, **UNTAGGED))
    assert done.returncode == 1
    assert "the hub cannot be reached" in done.stderr


def test_a_config_without_the_hub_needs_no_fetch(place):
    """Bundled models are here already."""
    done = place.loop("fetch", str(Path("configs/smoke.yaml").resolve()), sockets=False)
    assert done.returncode == 0, done.stderr
    assert "nothing to download" in done.stdout


def test_every_arms_models_are_wanted(place):
    """Each once, of all arms; the curator only where its scores are read."""
    path = place.folder / place.study()
    assert [model.repo for model in wanted(study.load(path))] == [CHECKPOINT, TAGGED, JUDGE]
    assert [model.repo for model in wanted(study.load(path, ("curate.policy={use: none}",)))] == [CHECKPOINT, JUDGE]
    assert len(list(wanted(study.load(path, (f"sweep.generator.revision=[{COMMIT}, {COMMIT[::-1]}]",))))) == 4


def test_weights_in_parts_are_needed_and_variants_are_not():
    """A large UNet comes in numbered parts with an index."""
    whole = assets.Download("a/b", COMMIT, tuple(pretrained.patterns(safety_checker=False)))
    assert whole.needs("unet/diffusion_pytorch_model-00001-of-00002.safetensors")
    assert whole.needs("unet/diffusion_pytorch_model.safetensors.index.json")
    assert whole.needs("text_encoder_2/model.safetensors")
    assert not whole.needs("unet/diffusion_pytorch_model-00001-of-00002.fp16.safetensors")
    assert not whole.needs("unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors")
    assert not whole.needs("diffusion_pytorch_model.safetensors")


def test_the_safety_checker_is_fetched_where_it_is_asked():
    """`flag` and `keep` need it and its image processor; `off` does not."""
    (off,), (flag,) = (Diffusion("a/b", COMMIT, safety_checker=kind).downloads() for kind in ("off", "flag"))
    for name in ("safety_checker/model.safetensors", "feature_extractor/preprocessor_config.json"):
        assert (off.needs(name), flag.needs(name)) == (False, True)
