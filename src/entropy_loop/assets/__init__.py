"""The models that ship with the package, and how the name of any model becomes a folder.

bundled:storybook      a model of this package
some/folder            a folder on this disk
owner/name             a model of the Hugging Face hub that was downloaded before; nothing is fetched here
"""

from __future__ import annotations

from pathlib import Path

from entropy_loop.errors import ConfigError, nearest

# Name -> revision: the first 16 hex digits of a hash over the files (`fingerprint`). It enters every key, so
# results of retrained assets never mix with those of the old ones; a test holds it to the files.
REVISIONS: dict[str, str] = {
    "storybook": "ddf52c9dfaad2cab",
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
    if model.count("/") == 1 and not model.startswith((".", "/", "~")):
        return _downloaded(model, hub_revision)
    raise ConfigError(
        f"{model}: no such folder; name a model folder, a hub id, or one of {PREFIX}{{{','.join(REVISIONS)}}}."
    )


def _downloaded(model: str, hub_revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, revision=hub_revision, local_files_only=True))
    except LocalEntryNotFoundError:
        at = f" --revision {hub_revision}" if hub_revision else ""
        raise ConfigError(
            f"{model}: neither a folder here nor downloaded before; fetch it with `hf download {model}{at}`."
        ) from None


def fingerprint(folder: Path) -> str:
    """16 hex digits over the names and bytes of all files of a model but its card."""
    import hashlib

    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "README.md"):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
