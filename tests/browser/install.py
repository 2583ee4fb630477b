"""Sees to it that there is a Chromium for the tests: finds it, else installs it, else says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from conftest import chromium

APT = ("apt-get update", "apt-get install --yes --no-install-recommends chromium")  # as root on Debian
PLAYWRIGHT = (sys.executable, "-m", "playwright", "install", "chromium")
TOLD = "No Chromium for the tests of pages: install one (chromium, google-chrome), or CHROMIUM=/its/path make test"


def main() -> None:
    """Try one way after the other, the cheapest first."""
    if chromium() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        for step in APT:
            subprocess.run(step.split(), check=False)
    if chromium() is None and subprocess.run(PLAYWRIGHT, check=False).returncode:
        sys.exit(TOLD)


if __name__ == "__main__":
    main()
