import sys
from dataclasses import dataclass
from typing import ClassVar, Protocol

import pytest

from entropy_loop import registry
from entropy_loop.assets import Download
from entropy_loop.commands import fetch
from entropy_loop.curation import TopK
from entropy_loop.errors import ConfigError
from entropy_loop.study import checks, study
from entropy_loop.study.config import Config, Plugin

BUNDLED = {"use": "diffusion", "checkpoint": "bundled:storybook"}


def test_a_spec_becomes_its_plugin():
    """`use` picks the class, every other key is one of its options."""
    assert registry.build(registry.POLICY, {"use": "top_k", "k": 3}) == TopK(3)


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("policy", {"use": "topk"}, "spot.use: no policy 'topk'.*Did you mean 'top_k'"),
        ("policy", {"k": 3}, "spot.use: missing; known: .*none, .*top_k"),
        ("policy", {"use": "top_k", "kk": 3}, "spot.kk: unknown key; known: k. Did you mean 'k'"),
        ("policy", {"use": "top_k"}, "spot.k: missing"),
        ("policy", {"use": "top_k", "k": 0}, "spot.k: .*greater than or equal to 1.*got 0"),
        ("policy", {"use": "top_k", "k": "many"}, "spot.k: .*integer.*got 'many'"),
        ("policy", {"use": "top_k", "k": 1, 3: 4}, "spot.3: unknown key"),
        ("generator", {**BUNDLED, "block": True}, "spot.block: should be of type int .got True."),
        ("generator", {**BUNDLED, "guidance_scale": "7"}, "spot.guidance_scale: should be of type float .got '7'."),
        ("generator", {"use": "categorical", "rates": {"horse": "0.5"}}, "spot.rates.horse: .*float .got '0.5'."),
        ("generator", {"use": "categorical", "rates": {"horse": 1.5}}, "spot.rates.horse: .*less than or equal to 1"),
        ("generator", {"use": "diffusion", "checkpoint": "x/y", "guidance_scale": float("inf")}, "spot: .*JSON form"),
        ("generator", {"use": "diffusion", "checkpoint": "bundled:storybok"}, "spot: no bundled model 'storybok'"),
    ],
)
def test_a_mistake_names_its_place(kind, spec, message):
    """A wrong spec is refused with the place in the config, what is wrong, and the nearest right name."""
    with pytest.raises(ConfigError, match=message):
        registry.build(registry.KINDS[kind], spec, "spot")


def test_all_mistakes_of_a_spec_come_at_once():
    """An unknown option and a wrong value stand in one error, a line each."""
    with pytest.raises(ConfigError) as error:
        registry.build(registry.POLICY, {"use": "top_k", "k": -1, "kk": 3}, "spot")
    assert {line.partition(":")[0] for line in str(error.value).splitlines()} == {"spot.kk", "spot.k"}


def test_identity_holds_kind_name_version_and_options():
    """What enters a key is what a plug-in is called, its version and every option; where its code lies is not in it."""
    expected = {"kind": "policy", "plugin": "top_k", "version": TopK.version, "options": {"k": 3}}
    assert registry.identity(TopK(3)) == expected


def test_a_class_without_a_name_has_no_identity():
    """A key cannot name what nobody can build from a config."""

    @dataclass(frozen=True)
    class Mine(TopK):
        version: ClassVar[int] = 1

    with pytest.raises(ConfigError, match=r"Mine is registered under no name"):
        registry.identity(Mine(3))


def test_every_bundled_plugin_keeps_its_contract_and_has_its_own_version():
    """All of them load; none inherits the version that enters its keys."""
    loaded = [registry.load(kind, name) for kind in registry.KINDS.values() for name in kind.bundled]
    assert len(loaded) > 30
    assert all("version" in vars(cls) for cls in loaded)


def test_every_plugin_says_what_it_is():
    """Each registered name can be imported and has a first sentence."""
    kinds = registry.catalogue()
    assert {"generator", "scorer", "judge", "real", "policy", "regime"} <= set(kinds)
    assert all(text.endswith((".", ":")) or len(text) > 20 for plugins in kinds.values() for text in plugins.values())
    assert sum(map(len, kinds.values())) >= 11


@pytest.fixture
def third_party(tmp_path, monkeypatch):
    """Installs a distribution with a policy of its own under a given name, as pip would write it down."""

    def install(name: str, code: str = "from entropy_loop.curation import KeepAll as Theirs") -> None:
        monkeypatch.delitem(sys.modules, "their_policies", raising=False)
        (tmp_path / "their_policies.py").write_text(code)
        folder = tmp_path / "theirs-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[entropy_loop.policy]\n{name} = their_policies:Theirs\n")
        monkeypatch.syspath_prepend(tmp_path)
        registry.known.cache_clear()

    yield install
    monkeypatch.undo()
    registry.known.cache_clear()


def test_a_third_party_registers_with_an_entry_point(third_party):
    """A policy of another distribution is built by its name like one of our own."""
    third_party("their_policy")
    assert registry.build(registry.POLICY, {"use": "their_policy"}).reads_scores is False


def test_a_third_party_cannot_take_a_name(third_party):
    """An entry point with a name of ours is an error that names both, not a silent replacement."""
    third_party("top_k")
    with pytest.raises(ConfigError, match=r"their_policies:Theirs takes a name that entropy_loop.curation:TopK has"):
        registry.known(registry.POLICY)


HEAD = """
from dataclasses import dataclass
from typing import ClassVar
from entropy_loop.contracts import Policy
@dataclass(frozen=True)
"""
INHERITS = f"{HEAD}class Ours(Policy):\n version: ClassVar[int] = 1\n{HEAD}class Theirs(Ours): pass"
LACKS = f"{HEAD}class Theirs(Policy):\n version: ClassVar[int] = 1"
APART = f"{HEAD}class Theirs:\n version: ClassVar[int] = 1"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_module", "cannot be loaded .ModuleNotFoundError: .*no_such_module"),
        ("Others = 1", "cannot be loaded .AttributeError"),
        ("class Theirs: version = 1", "no dataclass with a `version`"),
        ("from dataclasses import dataclass\n@dataclass\nclass Theirs: k: int = 1", "no dataclass with a `version`"),
        (INHERITS, "no dataclass with a `version` of its own"),
        (LACKS, "lacks `__call__`; the contract of a policy is entropy_loop.contracts.Policy"),
        (APART, "lacks `__call__`, `asks_people`, `check`, .*`size_known`"),
    ],
)
def test_a_broken_third_party_is_an_error_that_names_its_place(third_party, code, message):
    """What cannot be loaded, or lacks what keys are made of, is an error with its place; `list` lives on."""
    third_party("broken", code)
    with pytest.raises(ConfigError, match=f"spot.use: policy 'broken': their_policies:Theirs .*{message}"):
        registry.build(registry.POLICY, {"use": "broken"}, "spot")
    assert "their_policies:Theirs" in registry.catalogue()["policy"]["broken"]


class Probe(Protocol):
    """A kind of plug-in that the package does not have."""

    version: ClassVar[int]

    def downloads(self) -> list[Download]: ...

    def look(self) -> int: ...


@dataclass(frozen=True)
class Deep:
    """Looks deep."""

    version: ClassVar[int] = 1
    depth: int = 1

    def downloads(self) -> list[Download]:
        return [Download("some/probe", "a" * 40, ("*.json",))]

    def look(self) -> int:
        return self.depth


def test_a_new_kind_is_one_row_of_the_table(monkeypatch, toy):
    """Where it stands in a config, what is wrong with it there, what it downloads, what it is in a key, and what `list`
    says of it follow from its row in KINDS."""
    probe = registry.Kind("probe", Probe, ("probes",), {"deep": f"{__name__}:Deep"})
    monkeypatch.setitem(registry.KINDS, "probe", probe)

    class WithProbes(Config):
        probes: tuple[Plugin, ...] = ()

    raw = study.load(toy()).raw
    assert checks.plugin_mistakes(raw | {"probes": [{"use": "deep", "dept": 2}, {"use": "dep"}]}) == [
        "probes.0.dept: unknown key; known: depth. Did you mean 'depth'?",
        "probes.1.use: no probe 'dep'; known: deep. Did you mean 'deep'?",
    ]
    config = WithProbes.model_validate(raw | {"probes": [{"use": "deep", "depth": 2}]})
    assert [entry.place for entry in registry.plugins_in(config.model_dump()) if entry.kind is probe] == ["probes.0"]
    wanted = fetch.wanted(study.Study(raw, config, (study.Point("none", config),)))
    assert [entry.repo for entry in wanted] == ["some/probe"]
    assert registry.identity(Deep(2)) == {"kind": "probe", "plugin": "deep", "version": 1, "options": {"depth": 2}}
    assert registry.catalogue()["probe"] == {"deep": "Looks deep."}
