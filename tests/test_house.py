"""The rules of the house, read from the source: what no linter of ours holds."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import entropy_loop
from entropy_loop.study import strict_yaml

SRC = Path(entropy_loop.__file__).parent
REPOSITORY = SRC.parent.parent
FILES = sorted(SRC.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def nodes(*kinds: type) -> list[tuple[str, ast.AST]]:
    """(file:line, node) of every node of these kinds in the package."""
    pairs = [(path, node) for path, tree in TREES.items() for node in ast.walk(tree) if isinstance(node, kinds)]
    return [(f"{path.relative_to(SRC)}:{node.lineno}", node) for path, node in pairs]


def test_the_source_is_found():
    """The rules below look at the whole package, not at an empty list."""
    assert {"studies.py", "loop.py", "finetune.py", "scene.py", "page.py"} <= {path.name for path in FILES}
    assert len(nodes(ast.FunctionDef)) > 150


def test_no_assert_guards_what_a_user_can_get_wrong():
    """`assert` vanishes under -O: the package has none."""
    assert [where for where, _ in nodes(ast.Assert)] == []


GLOBAL_STATE = re.compile(
    r"(np|numpy)\.random\.(?!default_rng|Generator|SeedSequence)\w+"
    r"|torch\.(cuda\.)?(manual_seed(_all)?|seed)|torch\.(set_rng_state|random\.manual_seed)"
    r"|random\.(seed|random|randint|choice|choices|shuffle|sample|uniform|gauss)"
)
UNSAFE = re.compile(
    r"(pickle|dill|joblib|shelve|marshal)\.\w+|torch\.(load|save)|(pd|pandas)\.read_pickle|eval|exec|os\.system"
)


def calls() -> list[tuple[str, str, ast.Call]]:
    """(file:line, dotted name, call) of every call in the package."""
    return [(where, ast.unparse(node.func), node) for where, node in nodes(ast.Call)]


@pytest.mark.parametrize(
    ("text", "pattern", "caught"),
    [
        ("np.random.seed", GLOBAL_STATE, True),
        ("np.random.default_rng", GLOBAL_STATE, False),
        ("torch.manual_seed", GLOBAL_STATE, True),
        ("random.random", GLOBAL_STATE, True),
        ("torch.Generator().manual_seed", GLOBAL_STATE, False),
        ("rng.random", GLOBAL_STATE, False),
        ("pickle.load", UNSAFE, True),
        ("torch.load", UNSAFE, True),
        ("safetensors.torch.load_file", UNSAFE, False),
    ],
)
def test_the_patterns_catch_what_they_should(text, pattern, caught):
    """The two lists below can fail: they catch the forbidden calls and let the allowed ones through."""
    assert bool(pattern.fullmatch(text)) == caught


def test_no_global_random_state():
    """Nothing draws from, or seeds, a generator that it does not own."""
    assert [(where, name) for where, name, _ in calls() if GLOBAL_STATE.fullmatch(name)] == []
    imported = [alias.name for _, node in nodes(ast.Import) for alias in node.names]
    imported += [str(node.module) for _, node in nodes(ast.ImportFrom)]
    assert "random" not in imported


def test_nothing_that_can_carry_code_is_read():
    """No pickle, no torch.load, no eval; no model is loaded with its own code."""
    assert [(where, name) for where, name, _ in calls() if UNSAFE.fullmatch(name)] == []
    trusting = [
        where
        for where, _, call in calls()
        for keyword in call.keywords
        if keyword.arg == "trust_remote_code" and ast.unparse(keyword.value) != "False"
    ]
    assert trusting == []


def test_yaml_is_read_with_a_safe_loader():
    """Nothing calls a yaml load that can build objects, and the one loader of our own is a SafeLoader."""
    assert {n for _, n, _ in calls() if re.fullmatch(r"yaml\.(\w+_)?load(_all)?", n)} <= {"yaml.safe_load"}
    assert issubclass(strict_yaml._Loader, yaml.SafeLoader)


def test_a_function_fits_on_a_screen():
    """No function is longer than 60 lines."""
    functions = nodes(ast.FunctionDef, ast.AsyncFunctionDef)
    assert [(where, f.name) for where, f in functions if f.end_lineno - f.lineno >= 60] == []


def public(tree: ast.Module) -> list[ast.FunctionDef | ast.ClassDef]:
    """Functions and classes of a module whose name has no underscore in front."""
    kinds = ast.FunctionDef | ast.ClassDef
    return [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def test_what_is_public_says_what_it_does():
    """Every module, and every public function and class of it, has a docstring."""
    silent = [str(path.relative_to(SRC)) for path, tree in TREES.items() if not ast.get_docstring(tree)]
    for path, tree in TREES.items():
        silent += [f"{path.relative_to(SRC)}: {n.name}" for n in public(tree) if not ast.get_docstring(n)]
    assert sum(len(public(tree)) for tree in TREES.values()) > 100
    assert silent == []


def test_only_the_door_prints_and_exits():
    """Only the commands print and exit; the library raises."""
    doors = [where for where, name, _ in calls() if name in ("print", "sys.exit", "exit", "os._exit")]
    assert {str(Path(where).parent) for where in doors} == {"cli"}


def test_layers_hold():
    """The import contracts of pyproject.toml (layers, independent packages, no heavy library elsewhere) are kept."""
    line = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken", result.stdout)
