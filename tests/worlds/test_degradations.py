import numpy as np
import pytest
from PIL import Image

from entropy_loop.worlds.degraded import DEGRADATIONS, blurred, coarsened, copies, jpeg, junk, noisy
from entropy_loop.worlds.storybook import scene

SCENES = [scene.render(scene.sample(60_011, i)) for i in range(12)]
LARGE = np.asarray(Image.fromarray(SCENES[0]).resize((150, 203)))  # of no round size, higher than wide


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


KINDS = tuple(dict.fromkeys(degradation.kind for degradation in DEGRADATIONS))


def test_noise_blur_and_loss_of_detail_are_among_the_kinds():
    """Four kinds, each in three levels or more, none twice."""
    assert len(KINDS) == 4
    assert len({(degradation.kind, degradation.level) for degradation in DEGRADATIONS}) == len(DEGRADATIONS) >= 12


@pytest.mark.parametrize("kind", KINDS)
def test_levels_go_from_mild_to_severe(kind):
    """Each level moves the pixels of drawn scenes further from what they were than the one before, at the same size."""
    moved = []
    for degrade in (degradation for degradation in DEGRADATIONS if degradation.kind == kind):
        worse = [degrade(image, rng()) for image in SCENES]
        assert all(image.shape == (64, 64, 3) and image.dtype == np.uint8 for image in worse)
        moved.append(np.mean([np.abs(a.astype(int) - b).mean() for a, b in zip(SCENES, worse, strict=True)]))
    assert len(moved) >= 3
    assert moved[0] > 0
    assert (np.diff(moved) > 0).all()


def test_noise_has_its_sigma_and_its_own_generator():
    """On mid grey, .1 of the range is 25.5; the same generator gives the same bytes, another one others."""
    grey = np.full((200, 200, 3), 128, np.uint8)
    assert noisy(grey, 0.1, rng()).std() == pytest.approx(25.5, rel=0.02)
    assert np.array_equal(noisy(grey, 0.1, rng(1)), noisy(grey, 0.1, rng(1)))
    assert not np.array_equal(noisy(grey, 0.1, rng(1)), noisy(grey, 0.1, rng(2)))


def test_a_blur_is_as_wide_as_it_says_at_every_size():
    """A dot becomes a bell whose variance is that of the level, a share of the shorter side."""
    for side in (100, 200):
        dot = np.zeros((side, 2 * side, 3), np.uint8)
        dot[side // 2, side] = 255
        bell = blurred(np.clip(dot.astype(int) * 255, 0, 255).astype(np.uint8), 0.01, rng())[..., 0].astype(float)
        rows = np.arange(side) - side // 2
        assert (bell.sum(axis=1) * rows**2).sum() / bell.sum() == pytest.approx((0.01 * side) ** 2, rel=0.25)


def test_coarsening_leaves_the_means_of_blocks():
    """Factor 4 of stripes one pixel wide: one grey, the same on average."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.ptp(coarsened(stripes, 4, rng())) <= 2
    assert coarsened(stripes, 4, rng()).mean() == pytest.approx(100, abs=1)


@pytest.mark.parametrize("change", [noisy, blurred, jpeg, coarsened])
def test_images_of_any_size_keep_it(change):
    """Nothing is tied to the drawn world's 64 x 64."""
    assert change(LARGE, 3.0, rng()).shape == LARGE.shape


def test_junk_shows_nothing_but_is_of_three_kinds():
    """Noise that fills the range, one colour, and the image's own patches elsewhere: all three come up."""
    images = [junk(SCENES[0], rng(seed)) for seed in range(30)]
    spread = [image.std() for image in images]
    blank = [image for image in images if np.ptp(image.reshape(-1, 3), axis=0).max() == 0]
    noise = [image for image, s in zip(images, spread, strict=True) if s == pytest.approx(73.9, abs=2)]
    own = np.sort(SCENES[0].reshape(-1, 3), axis=0)
    shuffled = [image for image in images if np.array_equal(np.sort(image.reshape(-1, 3), axis=0), own)]
    assert min(len(blank), len(noise), len(shuffled)) >= 3
    assert len(blank) + len(noise) + len(shuffled) == 30
    assert not any(np.array_equal(image, SCENES[0]) for image in shuffled)


def test_junk_can_be_made_of_any_size():
    """Patches of an image whose sides are no multiples of eight."""
    assert {junk(LARGE, rng(seed)).ndim for seed in range(12)} == {3}


def test_copies_differ_in_what_was_changed_alone(tmp_path):
    """PNG copies of files with the change applied, each from a generator of its own seed."""
    files = [tmp_path / f"{i}.png" for i in range(2)]
    for file in files:
        Image.fromarray(SCENES[0]).save(file)
    same = copies(files, lambda image, rng: image, [1, 2], tmp_path / "same")
    assert all(np.array_equal(np.asarray(Image.open(file)), SCENES[0]) for file in same)
    noisy_copies = [np.asarray(Image.open(f)) for f in copies(files, DEGRADATIONS[0], [1, 2], tmp_path / "noisy")]
    assert np.array_equal(noisy_copies[0], DEGRADATIONS[0](SCENES[0], rng(1)))
    assert not np.array_equal(noisy_copies[0], noisy_copies[1])
