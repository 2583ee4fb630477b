"""Config files from strangers: what is refused before it is built, and how little that takes."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from entropy_loop.study import strict_yaml

OWN = "name: toy\n"

HOSTILE: dict[str, bytes] = {
    name: text.encode() if isinstance(text, str) else text
    for name, text in {
        "a billion laughs": "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(30)),
        "an anchor alone": OWN + "seed: &s 3\n",
        "an alias alone": OWN + "seed: *s\n",
        "a value in itself": "name: &n [*n]\n",
        "a merge key": OWN + "train:\n  <<: {max_train_steps: 3}\n",
        "many merge keys": OWN + "train: {" + "<<: {a: 1}, " * 2000 + "b: 2}\n",
        "code by a tag": "name: !!python/object/apply:os.system ['touch canary']\n",
        "code by a new object": "name: !!python/object/new:os.system ['touch canary']\n",
        "a module by a tag": "name: !!python/module:os\n",
        "a tag of its own": "name: !include /etc/passwd\n",
        "a tag with a prefix": "%TAG ! tag:yaml.org,2002:python/\n---\nname: !name:os.system x\n",
        "a harmless tag": 'images: !!int "7"\n',
        "bytes by a tag": "name: !!binary aGVsbG8=\n",
        "a set": "name: !!set {a, b}\n",
        "a key twice": OWN + "images: 1\nimages: 2\n",
        "a key twice, far below": OWN + "train:\n  a: {b: [{c: 1, c: 2}]}\n",
        "a list as a key": OWN + "[a, b]: 1\n",
        "a mapping as a key": OWN + "{a: b}: 1\n",
        "lists in lists": "name: " + "[" * 100_000,
        "mappings in mappings": "{a: " * 50_000,
        "lists in lists, in blocks": "- " * 50_000 + "x\n",
        "keys in keys": "? " * 50_000 + "x\n",
        "too many values": "images: [" + "1, " * 80_000 + "1]\n",
        "too many keys": "".join(f"k{i}: 1\n" for i in range(20_000)),
        "a number with too many digits": OWN + "seed: " + "9" * 200_000 + "\n",
        "one enormous word": OWN + "device: " + "x" * 200_000 + "\n  : y\n",
        "two documents": "name: a\n---\nname: b\n",
        "no UTF-8": b"name: toy\nseed: \xff\xfe\n",
        "a zero byte": "name: toy\nseed: \x00\n",
        "an escape sequence": "name: \x1b[2J\n",
        "an escape sequence, escaped": 'name: "\\e[2J"\n',
        "an open quote": 'name: "toy\n' + "x\n" * 50_000,
        "a tab as indent": "train:\n\tmax_train_steps: 3\n",
    }.items()
}

HELD = (
    "import resource, sys;"
    "resource.setrlimit(resource.RLIMIT_CPU, (1 + int(sum(resource.getrusage(0)[:2])) + 1,) * 2);"
    "held = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + 100 * (1 << 20);"
    "resource.setrlimit(resource.RLIMIT_AS, (held, held));"
)
"""From here on a process has one to two seconds of the processor and 100 MB more than it holds."""
READER = (
    f"from pathlib import Path; from entropy_loop import errors; from entropy_loop.study import study; {HELD}"
    + """
try:
    study.load(Path(sys.argv[1]))
except errors.ConfigError as error:
    print(error)
    sys.exit(2)
"""
)


def test_the_corpus_is_large_enough():
    """At least thirty files, and the one that is too long."""
    assert len(HOSTILE) >= 30


def refused(config: Path) -> str:
    """The error message for a file, from a process of its own under HELD. Nothing else may be left beside it."""
    line = [sys.executable, "-c", READER, str(config)]
    result = subprocess.run(line, cwd=config.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 2, result.stderr
    assert str(config) in result.stdout
    assert "\x1b" not in result.stdout
    assert [path.name for path in config.parent.iterdir()] == [config.name]
    return result.stdout


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_refused_at_once(name: str, tmp_path: Path):
    """Within limits on time and memory that the kernel holds, with the file, the line and what to do."""
    config = tmp_path / "hostile.yaml"
    config.write_bytes(HOSTILE[name])
    assert re.search(r"line \d+", refused(config))


def test_a_gigabyte_is_not_read(tmp_path: Path):
    """What is too long for a config is refused by its length."""
    config = tmp_path / "hostile.yaml"
    with config.open("wb") as file:
        file.truncate(1 << 30)
    assert "too long for a config; split" in refused(config)


def test_the_limits_of_the_test_bite(tmp_path: Path):
    """Who builds 200 MB, or counts for ever, under them is stopped."""
    for greedy in ("bytearray(200 << 20)", "[None for _ in iter(int, 1)]"):
        result = subprocess.run([sys.executable, "-c", HELD + greedy], capture_output=True, check=False)
        assert result.returncode != 0
    assert resource.getrlimit(resource.RLIMIT_CPU)[0] == resource.RLIM_INFINITY


def test_what_is_large_but_allowed_is_read():
    """The limits are far from what a config needs: a thousand prompts are read."""
    prompts = "".join(f"- {{text: prompt {i}, concepts: [horse]}}\n" for i in range(1000))
    assert len(strict_yaml.parse(prompts)) == 1000
