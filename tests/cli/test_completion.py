"""What the shell offers while a command is typed."""

import subprocess
import sys

import pytest

from conftest import environment

TYPED = {
    "a command": ("entropy-loop ru", 1, {"run"}),
    "a config": ("entropy-loop run to", 2, {"toy.yaml"}),
    "a key": ("entropy-loop run toy.yaml --set train.learning", 4, {"train.learning_rate="}),
    "an engine": ("entropy-loop run toy.yaml --engine r", 4, {"ray"}),
}


@pytest.mark.parametrize(("typed", "word", "offered"), TYPED.values(), ids=TYPED)
def test_the_shell_completes(toy, tmp_path, typed, word, offered):
    """Commands, YAML files, keys of a config and names of engines that begin as what was typed, in bash."""
    toy()
    asked = {"_ENTROPY_LOOP_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(word)}
    code = "import sys; from entropy_loop import cli; sys.argv = ['entropy-loop']; cli.main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment() | asked,
        capture_output=True,
        text=True,
        check=False,
    )
    assert set(done.stdout.split()) == offered
