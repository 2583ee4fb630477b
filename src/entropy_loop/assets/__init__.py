"""The models that ship with the package, and how the name of any model becomes a folder.

bundled:storybook      a model of this package
some/folder            a folder on this disk
owner/name             a model of the Hugging Face hub that was downloaded before; nothing is fetched here
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from entropy_loop.errors import ConfigError, nearest

# Name -> revision: the first 16 hex digits of a hash over the files (`fingerprint`). It enters every key, so
# results of retrained assets never mix with those of the old ones; a test holds it to the files.
REVISIONS: dict[str, str] = {
    "storybook": "31231e91f193ffb3",
    "storybook-attributes": "812edd51e5fb67ed",
    "storybook-curator": "eedc64192389fe56",
    "storybook-judge": "a984dfa6383fc49e",
}

PREFIX = "bundled:"


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
    unsafe = sorted({p.name for p in folder.rglob("*") if p.suffix in (".bin", ".ckpt", ".pt", ".pth", ".pkl")})
    if not any(folder.rglob("*.safetensors")):
        found = f"only {', '.join(unsafe)}, which can carry code" if unsafe else "no weights"
        raise ConfigError(f"{model}: {folder} holds {found}; weights must be safetensors.")
    return folder


def _folder(model: str, hub_revision: str | None) -> Path:
    if model.startswith(PREFIX):
        revision(model)
        return Path(__file__).parent / model.removeprefix(PREFIX)
    if Path(model).is_dir():
        return Path(model)
    if model.count("/") == 1 and (folder := _downloaded(model, hub_revision)):
        return folder
    raise ConfigError(
        f"{model}: no such folder; name a model folder, a hub id, or one of {PREFIX}{{{','.join(REVISIONS)}}}."
    )


def _downloaded(model: str, hub_revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, revision=hub_revision, local_files_only=True))
    except HFValidationError:
        return None  # no name that the hub could have
    except LocalEntryNotFoundError:
        at = f" --revision {hub_revision}" if hub_revision else ""
        raise ConfigError(
            f"{model}: neither a folder here nor downloaded before; fetch it with `hf download {model}{at}`."
        ) from None


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
