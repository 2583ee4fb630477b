"""`fetch`: everything that a study needs from the Hugging Face hub, the only part of the program that connects."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entropy_loop.assets import Download
from entropy_loop.errors import EntropyLoopError
from entropy_loop.study import Study


@dataclass(frozen=True)
class Fetched:
    """files, size: of the snapshot that lies here now. size: bytes."""

    download: Download
    folder: Path
    files: int
    size: int


def wanted(study: Study) -> list[Download]:
    """What the generators, curators, judges and measures of every arm need, each once."""
    found = [download for point in study.points for plugin in _plugins(point.config) for download in plugin()]
    return list(dict.fromkeys(found))


def _plugins(config: Any) -> Iterator[Callable[[], list[Download]]]:
    plugins = [config.generator_plugin(), *config.judge_plugins()]
    if config.policy_plugin().reads_scores:
        plugins.append(config.scorer_plugin())
    if config.measures.embedder:
        plugins.append(config.embedder_plugin())
    yield from (plugin.downloads for plugin in plugins if hasattr(plugin, "downloads"))


def fetch(download: Download) -> Fetched:
    """Get what is missing of one model. Raises EntropyLoopError with what the hub says."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.pop(name, None)
    from httpx2 import HTTPError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    allow, ignore = list(download.patterns), list(download.ignored)
    try:
        folder = snapshot_download(
            download.repo, revision=download.revision, allow_patterns=allow, ignore_patterns=ignore
        )
    except GatedRepoError:
        told = "its terms must be accepted on the hub first; then `hf auth login`"
        raise EntropyLoopError(f"{download.repo}: {told}.") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, HTTPError, OSError) as error:
        why = str(error).strip().splitlines()[0]
        raise EntropyLoopError(f"{download.repo} at {download.revision}: cannot be fetched ({why}).") from None
    files = [file for file in Path(folder).rglob("*") if file.is_file()]
    return Fetched(download, Path(folder), len(files), sum(file.stat().st_size for file in files))
