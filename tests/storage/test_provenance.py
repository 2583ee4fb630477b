import json
import platform
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from entropy_loop.storage import provenance


@pytest.fixture
def installed_elsewhere(tmp_path):
    """The module as a copy in tmp_path, outside this checkout."""
    copy = shutil.copy(provenance.__file__, tmp_path / "copied_provenance.py")
    spec = spec_from_file_location("copied_provenance", copy)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def git(folder: Path, *arguments: str) -> str:
    line = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_provenance_is_plain_values():
    """It can be written as JSON and read again unchanged, and names the Python that runs."""
    record = provenance.provenance()
    assert json.loads(json.dumps(record)) == record
    assert record["python"] == platform.python_version()
    assert set(record) == {"revision", "python", "packages", "platform", "processor", "cores"}


def test_versions_are_read_without_loading_the_packages():
    """Asking for torch's version does not import torch; a package that is missing has none."""
    code = (
        "import sys; from entropy_loop.storage import provenance as p; p.PACKAGES = (*p.PACKAGES, 'no-such-package')\n"
        "packages = p.provenance()['packages']; "
        "print('torch' in sys.modules, packages['no-such-package'], packages['torch'])"
    )
    loaded, missing, torch = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert (loaded, missing) == ("False", "None")
    assert torch[0].isdigit()


def test_outside_a_checkout_there_is_no_revision(installed_elsewhere):
    """An installed package has no commit, and says so instead of failing."""
    assert installed_elsewhere.provenance()["revision"] is None


def test_another_projects_checkout_is_not_ours(installed_elsewhere, tmp_path):
    """Installed inside somebody else's repository, the revision is not their commit."""
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "theirs")
    assert installed_elsewhere.provenance()["revision"] is None


def test_a_checkout_has_its_commit_and_whether_it_was_changed(installed_elsewhere, tmp_path):
    """In a checkout that holds the code, the revision is the commit, marked once a file differs from it."""
    git(tmp_path, "init")
    git(tmp_path, "add", "copied_provenance.py")
    git(tmp_path, "commit", "-m", "ours")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert installed_elsewhere.provenance()["revision"] == commit
    with open(tmp_path / "copied_provenance.py", "a") as file:
        file.write("# changed\n")
    assert installed_elsewhere.provenance()["revision"] == f"{commit}-dirty"
