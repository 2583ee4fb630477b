"""A bit that flips, a file that is cut off: noticed before anything is made from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from entropy_loop.commands import results_folder
from entropy_loop.data import Stage, Tick
from entropy_loop.errors import StorageError
from entropy_loop.storage.store import Store
from faults import blocks, children
from faults.test_kills import SMALL

FORMATS = {
    "PNG": "g00-generate-pool-*/images/*.png",
    "Parquet": "g00-generate-pool-*/samples.parquet",
    "safetensors": "g01-train-*/unet/*.safetensors",
    "manifest": "g00-generate-pool-*/receipt.json",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the bundled checkpoint."""
    root = tmp_path_factory.mktemp("flips") / "out"
    assert children.ended(children.carry, Path("configs/smoke.yaml").resolve(), root, SMALL) == 0
    return root


def is_refused(root: Path, file: Path) -> bool:
    """Whether a stage that opens the one with this file is made from it; nothing that was read before is trusted."""
    opened = next(parent for parent in file.parents if parent.parent.name == "store")
    stage = Stage("use", 9, "next", {}, (opened.name.rpartition("-")[2],))

    def use(out: Path, tick: Tick) -> None:
        pytest.fail("something was made from a damaged file")

    with pytest.raises(StorageError, match="entropy-loop verify") as refusal:
        Store(root).once(stage, use)
    return file.name in str(refusal.value)


@pytest.mark.parametrize("form", FORMATS)
def test_every_flipped_bit_and_every_cut_is_noticed_before_use(results, form, count, rng, tell) -> None:
    """Single bits anywhere in the file, and the file cut off anywhere: the stage that would open it is refused, by
    the file's name."""
    file = sorted((results / "store").glob(FORMATS[form]))[0]
    whole, wanted, noticed = file.read_bytes(), count(20, 100, 500), 0
    try:
        for _ in range(wanted):
            damaged = bytearray(whole)
            damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
            file.write_bytes(damaged)
            noticed += is_refused(results, file)
        for length in rng.integers(len(whole), size=5):
            file.write_bytes(whole[:length])
            noticed += is_refused(results, file)
    finally:
        file.write_bytes(whole)
    tell(f"{form}: {noticed} of {wanted + 5} noticed before use ({wanted} flips, 5 cuts)")
    assert noticed == wanted + 5


def test_a_damaged_pool_is_made_again(tmp_path) -> None:
    """An image of a pool of six is damaged: `verify` names it, the same command makes the six anew and no others, and
    every byte is what it was."""
    config, root = Path("configs/smoke.yaml").resolve(), tmp_path / "out"
    assert children.ended(children.carry, config, root, SMALL) == 0
    expected = children.science(root)
    (image,) = (root / "store").glob("g00-generate-pool-*/images/*-000003.png")
    image.write_bytes(image.read_bytes()[:-9])
    (fault,) = results_folder.verify(root)
    assert "000003.png: has" in fault
    assert children.ended(blocks.sampled, config, root, SMALL, tmp_path / "sampled") == 0
    assert (tmp_path / "sampled").read_text().split() == [f"p000-00-{number:06d}" for number in range(6)]
    assert children.science(root) == expected
