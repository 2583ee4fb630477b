"""`doctor`: is this machine fit, and are the bundled models whole?"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from entropy_loop import assets, device
from entropy_loop.provenance import provenance


def checkup() -> dict[str, Any]:
    """Plain values; `problems` lists what will not work and what to do about it."""
    told = provenance()
    missing = [name for name, version in told["packages"].items() if version is None]
    problems = [f"package {name} is not installed; run `pip install -e .`" for name in missing]
    for name, revision in assets.REVISIONS.items():
        folder = Path(assets.__file__).parent / name
        if not folder.is_dir() or assets.fingerprint(folder) != revision:
            problems.append(f"bundled model {name} is missing or damaged; check out or install the package again")
    try:
        device = _device()
    except (ImportError, OSError) as error:
        device = "unknown"
        problems.append(f"torch cannot be loaded ({error}); install it again")
    return {
        "python": told["python"],
        **{f"{name}": version or "missing" for name, version in told["packages"].items()},
        "processor": f"{told['processor']}, {told['cores']} cores",
        "device": device,
        "free disk here": f"{shutil.disk_usage('.').free / 1e9:.0f} GB",
        "bundled models": ", ".join(assets.REVISIONS) or "none",
        "problems": problems,
    }


def _device() -> str:
    """Raises ImportError, or an OSError of a library that torch loads, when torch is here but does not work."""
    told = device.describe(device.device())
    return f"{told['device']}: {told['name']}; native precision: {', '.join(told['native'])}"
