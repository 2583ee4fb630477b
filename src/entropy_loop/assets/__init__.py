"""The models that ship with the package, and how the name of any model becomes a folder.

bundled:storybook      a model of this package
some/folder            a folder on this disk
owner/name             a model of the Hugging Face hub at a pinned commit; `fetch` downloads it, `find` never connects
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from entropy_loop.assets import inspection
from entropy_loop.errors import ConfigError, nearest

COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = re.compile(r"(?!.*(--|\.\.))\w[\w.-]*/\w[\w.-]*", re.ASCII)

# Name -> revision: the first 16 hex digits of a hash over the files (`fingerprint`). It enters every key, so
# results of retrained assets never mix with those of the old ones; a test holds it to the files.
REVISIONS: dict[str, str] = {
    "storybook": "31231e91f193ffb3",
    "storybook-attributes": "812edd51e5fb67ed",
    "storybook-curator": "6f3c136c67fbc706",
    "storybook-judge": "ea8508d8b2d27966",
}

PREFIX = "bundled:"
FETCH = "`entropy-loop fetch CONFIG` downloads it"

SILENT = {"HF_HUB_DISABLE_TELEMETRY": "1", "DIFFUSERS_DISABLE_REMOTE_CODE": "1"}
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


def settle(offline: bool = True) -> None:
    """What the libraries of this process, and of those that it starts, may do: no telemetry, no code of a model's, and
    `offline` no question to the hub, whatever asks one. For that none of them may be loaded yet."""
    os.environ.update(SILENT | (OFFLINE if offline else {}))


@dataclass(frozen=True)
class Download:
    """What of a model on the hub is needed: files by pattern, never any that can carry code. revision: a commit.

    patterns: as in `fnmatch`, so `*` matches `/`, too.
    """

    repo: str
    revision: str | None
    patterns: tuple[str, ...]

    @property
    def pinned(self) -> bool:
        """Whether the revision cannot move."""
        return bool(COMMIT.fullmatch(self.revision or ""))

    def needs(self, file: str) -> bool:
        """Whether a file of the repository, by its path in it, is one of those that are needed."""
        return any(fnmatchcase(file, pattern) for pattern in self.patterns)

    def here(self) -> dict[str, int]:
        """The needed files that are here, and their bytes."""
        folder = _snapshot(self.repo, str(self.revision))
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        return {name: path.stat().st_size for name, path in files.items() if self.needs(name)}

    def refuse_missing(self) -> None:
        """Raises ConfigError when it is not pinned, not here, or not whole. Of what another tool downloaded the hub's
        listing may not have been kept: then nothing is known to be missing."""
        from huggingface_hub import get_cached_repo_tree
        from huggingface_hub.errors import CachedRepoTreeNotFoundError

        _downloaded(self.repo, self.revision)
        try:
            listed = [file.path for file in get_cached_repo_tree(self.repo, revision=self.revision)]
        except CachedRepoTreeNotFoundError:
            return
        here = self.here()
        if lost := [name for name in listed if self.needs(name) and name not in here]:
            more = f" and {len(lost) - 3} more files" if len(lost) > 3 else ""
            raise ConfigError(f"{self.repo}: lacks {', '.join(lost[:3])}{more}; {FETCH}.")


def download(model: str, commit: str | None, patterns: Iterable[str]) -> list[Download]:
    """What `fetch` has to get for a model: nothing for a bundled one or a folder. Raises ConfigError where that is not
    here, which is cheaper to find than to load any other model first."""
    if HUB_ID.fullmatch(model) and not Path(model).is_dir():
        return [Download(model, commit, tuple(patterns))]
    find(model)
    return []


def revision(model: str) -> str | None:
    """The revision of a bundled model; None for any other. Raises ConfigError for an unknown bundled name."""
    if not model.startswith(PREFIX):
        return None
    name = model.removeprefix(PREFIX)
    if name not in REVISIONS:
        raise ConfigError(f"no bundled model {name!r}; {nearest(name, list(REVISIONS))}")
    return REVISIONS[name]


def pinned(model: str, wanted: str | None) -> str | None:
    """The revision that enters keys: a bundled model's own, else the one that is wanted. Raises ConfigError when
    another one of a bundled model is wanted."""
    own = revision(model)
    if own and wanted not in (None, own):
        raise ConfigError(f"revision: {model} is {own} in this version of the package, not {wanted!r}; leave it out.")
    return own or wanted


def find(model: str, hub_revision: str | None = None) -> Path:
    """The folder of a model. Raises ConfigError when there is none, or when its weights are not safetensors."""
    folder = _folder(model, hub_revision)
    inspection.refuse(folder)
    unsafe = sorted({p.name for p in folder.rglob("*") if p.suffix in (".bin", ".ckpt", ".pt", ".pth", ".pkl")})
    if not any(folder.rglob("*.safetensors")):
        found = f"only {', '.join(unsafe)}, which can carry code" if unsafe else "no weights"
        hint = f" If it was downloaded: {FETCH}." if HUB_ID.fullmatch(model) else ""
        raise ConfigError(f"{model}: {folder} holds {found}; weights must be safetensors.{hint}")
    return folder


def _folder(model: str, hub_revision: str | None) -> Path:
    if model.startswith(PREFIX):
        revision(model)
        return Path(__file__).parent / model.removeprefix(PREFIX)
    if Path(model).is_dir():
        return Path(model)
    if HUB_ID.fullmatch(model):
        return _downloaded(model, hub_revision)
    raise ConfigError(
        f"{model}: no such folder; name a model folder, a hub id, or one of {PREFIX}{{{','.join(REVISIONS)}}}."
    )


def _downloaded(model: str, commit: str | None) -> Path:
    """Where `fetch` put a model. Raises ConfigError when it is not there; asks nobody."""
    if not COMMIT.fullmatch(commit or ""):
        raise ConfigError(
            f"{model}: no folder here, and as a hub id it needs `revision`: the 40 hex digits of a commit, since "
            "branches and tags move. `entropy-loop fetch CONFIG` tells where they are now."
        )
    if not (folder := _snapshot(model, str(commit))).is_dir():
        raise ConfigError(f"{model}: neither a folder here nor downloaded before; {FETCH}.")
    return folder


def _snapshot(repo: str, commit: str) -> Path:
    """Where the hub's own cache keeps the files of a commit."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model") / "snapshots" / commit


def weights(folder: Path, name: str = "diffusion_pytorch_model") -> list[Path]:
    """The safetensors files that diffusers (or transformers: name `model`) loads from a model's folder, whatever
    else lies there: the parts that its index names, else the one file. They need not exist."""
    index = folder / f"{name}.safetensors.index.json"
    if not index.is_file():
        return [folder / f"{name}.safetensors"]
    parts = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return [folder / part for part in sorted(set(parts))]


def fingerprint(folder: Path, files: Iterable[Path] | None = None) -> str:
    """16 hex digits over the names and bytes of some files of a model; of all but its card if none are named."""
    import hashlib

    digest = hashlib.sha256()
    every = (path for path in folder.rglob("*") if path.is_file() and path.name != "README.md")
    for path in sorted(every if files is None else files):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()[:16]
