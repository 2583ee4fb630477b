"""`fetch`: download what a study needs from the Hugging Face hub. Nothing else in the package connects to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from entropy_loop import assets, registry
from entropy_loop.assets import Download
from entropy_loop.errors import ConfigError, EntropyLoopError, as_storage_error
from entropy_loop.study.study import Study


@dataclass(frozen=True)
class Fetched:
    """A model that is complete here now: its number of files and bytes, and how many of them are new."""

    repo: str
    revision: str
    files: int
    size: int
    new_files: int
    new_size: int


def wanted(study: Study) -> list[Download]:
    """What the plug-ins of every arm need, each once; a scorer only where the policy reads scores."""
    return list(
        dict.fromkeys(
            download
            for point in study.points
            for plugin in registry.plugins_in(point.config.model_dump())
            if plugin.kind is not registry.SCORER or point.config.policy_plugin().reads_scores
            for download in registry.build(plugin.kind, plugin.spec, plugin.place).downloads()
        )
    )


def check_pinned(downloads: list[Download]) -> None:
    """Raises ConfigError with a line per model that is not pinned to a commit, and the commit to pin it to."""
    from huggingface_hub import HfApi

    lines = []
    for download in downloads:
        if not download.pinned:
            with _hub_errors(download.repo):
                at = HfApi().model_info(download.repo, revision=download.revision).sha
            name = download.revision or "main"
            lines.append(f"{download.repo}: branches and tags move; {name} is now `revision: {at}`, write that.")
    if lines:
        raise ConfigError("\n".join(lines))


def fetch(download: Download) -> Fetched:
    """Download the missing files of one model. The token comes from HF_TOKEN or `hf auth login`.

    Raises ConfigError when the hub lacks the model, denies access or has no safetensors of it, EntropyLoopError when
    the connection fails, StorageError when the disk is full.
    """
    from huggingface_hub import snapshot_download

    before = download.local_files()
    with _hub_errors(download.repo):
        snapshot_download(download.repo, revision=download.revision, allow_patterns=list(download.patterns))
    here = download.local_files()
    if not any(name.endswith(".safetensors") for name in here):
        raise ConfigError(
            f"{download.repo}: has no such weights as safetensors at this commit; other formats can carry code and "
            "are never downloaded. Take another model."
        )
    assets.find(download.repo, download.revision)
    new = [size for name, size in here.items() if name not in before]
    return Fetched(download.repo, str(download.revision), len(here), sum(here.values()), len(new), sum(new))


@contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """Turn errors of the hub into our own, without their messages: these may hold signed addresses."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.utils import httpx  # type: ignore[attr-defined]

    login = "log in with `hf auth login`, or set HF_TOKEN"
    try:
        with as_storage_error(Path(constants.HF_HUB_CACHE)):
            yield
    except GatedRepoError:
        raise ConfigError(f"{repo}: its terms must be accepted on its page of the hub first; then {login}.") from None
    except RepositoryNotFoundError:
        raise ConfigError(f"{repo}: the hub has no such model; if it is a private one, {login}.") from None
    except RevisionNotFoundError:
        raise ConfigError(
            f"{repo}: has no such revision; leave it out, and `fetch` names the current one of its main branch."
        ) from None
    except (httpx.HTTPError, OSError, RuntimeError) as error:
        if constants.HF_HUB_OFFLINE:
            raise ConfigError(f"{repo}: HF_HUB_OFFLINE forbids every download; unset it for this command.") from None
        raise EntropyLoopError(
            f"{repo}: the hub cannot be reached, or broke off ({type(error).__name__}). What was downloaded is kept; "
            "run the same command again."
        ) from None
