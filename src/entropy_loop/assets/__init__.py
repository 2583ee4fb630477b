"""Models by name: finds the folder of a model.

bundled:storybook      a model that ships with this package
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

# Name -> revision: the first 16 hex digits of a hash over the files (`fingerprint`). It enters every key, so results of
# retrained models never mix with older ones. A test compares it with the files.
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


def restrict_libraries(offline: bool = True) -> None:
    """Forbid the hub's libraries telemetry, code from models and, if `offline`, any connection to the hub. Holds for
    this process and those that it starts. Call it before the libraries are imported."""
    os.environ.update(SILENT | (OFFLINE if offline else {}))


@dataclass(frozen=True)
class Download:
    """The files of a hub model that are needed.

    revision: a commit. patterns: of the files, as in `fnmatch`, so `*` matches `/`, too; none may match code.
    """

    repo: str
    revision: str | None
    patterns: tuple[str, ...]

    @property
    def pinned(self) -> bool:
        """Whether the revision is a commit, not a branch or tag."""
        return bool(COMMIT.fullmatch(self.revision or ""))

    def needs(self, file: str) -> bool:
        """Whether a file is needed. file: its path in the repository."""
        return any(fnmatchcase(file, pattern) for pattern in self.patterns)

    def local_files(self) -> dict[str, int]:
        """Needed files in the local cache -> bytes."""
        folder = _snapshot(self.repo, str(self.revision))
        files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        return {name: path.stat().st_size for name, path in files.items() if self.needs(name)}

    def check_downloaded(self) -> None:
        """Raises ConfigError if the revision is no commit or files are missing. If another tool downloaded the model,
        the hub's listing may be absent; then files are not checked."""
        from huggingface_hub import get_cached_repo_tree
        from huggingface_hub.errors import CachedRepoTreeNotFoundError

        _downloaded(self.repo, self.revision)
        try:
            listing = [file.path for file in get_cached_repo_tree(self.repo, revision=self.revision)]
        except CachedRepoTreeNotFoundError:
            return
        local = self.local_files()
        if missing := [name for name in listing if self.needs(name) and name not in local]:
            more = f" and {len(missing) - 3} more files" if len(missing) > 3 else ""
            raise ConfigError(f"{self.repo}: lacks {', '.join(missing[:3])}{more}; {FETCH}.")


def download(model: str, commit: str | None, patterns: Iterable[str]) -> list[Download]:
    """What `fetch` has to download for a model; nothing for a bundled model or a folder. Raises ConfigError if these do
    not exist, so the mistake is found before any model is loaded."""
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
    """The revision that enters keys. Raises ConfigError if `wanted` is not the one of a bundled model."""
    own = revision(model)
    if own and wanted not in (None, own):
        raise ConfigError(f"revision: {model} is {own} in this version of the package, not {wanted!r}; leave it out.")
    return own or wanted


def find(model: str, hub_revision: str | None = None) -> Path:
    """The folder of a model. Raises ConfigError if there is none or if it has no safetensors weights."""
    folder = _folder(model, hub_revision)
    inspection.check_folder(folder)
    unsafe = sorted({p.name for p in folder.rglob("*") if p.suffix in (".bin", ".ckpt", ".pt", ".pth", ".pkl")})
    if not any(folder.rglob("*.safetensors")):
        content = f"only {', '.join(unsafe)}, which can carry code" if unsafe else "no weights"
        hint = f" If it was downloaded: {FETCH}." if HUB_ID.fullmatch(model) else ""
        raise ConfigError(f"{model}: {folder} holds {content}; weights must be safetensors.{hint}")
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
    """The local folder of a hub model. Never connects. Raises ConfigError if the model was not downloaded."""
    if not COMMIT.fullmatch(commit or ""):
        raise ConfigError(
            f"{model}: no folder here, and as a hub id it needs `revision`: the 40 hex digits of a commit, since "
            "branches and tags move. `entropy-loop fetch CONFIG` prints their current commit."
        )
    if not (folder := _snapshot(model, str(commit))).is_dir():
        raise ConfigError(f"{model}: neither a folder here nor downloaded before; {FETCH}.")
    return folder


def _snapshot(repo: str, commit: str) -> Path:
    """The folder of a commit in the hub's cache."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model") / "snapshots" / commit


def weights(folder: Path, name: str = "diffusion_pytorch_model") -> list[Path]:
    """The safetensors files that diffusers (or transformers: name `model`) loads from a model's folder: the parts that
    its index names, else the single file. They need not exist."""
    index = folder / f"{name}.safetensors.index.json"
    if not index.is_file():
        return [folder / f"{name}.safetensors"]
    parts = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return [folder / part for part in sorted(set(parts))]


def fingerprint(folder: Path, files: Iterable[Path] | None = None) -> str:
    """16 hex digits of a hash over names and bytes of a model's files; by default all except its card."""
    import hashlib

    digest = hashlib.sha256()
    content = (path for path in folder.rglob("*") if path.is_file() and path.name != "README.md")
    for path in sorted(content if files is None else files):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()[:16]
