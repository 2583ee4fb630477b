from entropy_loop.regimes import Accumulate, Replace


def test_replace_eats_only_what_the_last_generation_kept():
    """Under replace the diet is the newest entry alone, in every generation."""
    assert list(Replace()(["g0"])) == ["g0"]
    assert list(Replace()(["g0", "g1", "g2"])) == ["g2"]


def test_accumulate_eats_everything_once():
    """Under accumulate the diet is every entry so far, each once, oldest first."""
    assert list(Accumulate()(["g0", "g1", "g2"])) == ["g0", "g1", "g2"]


def test_a_regime_never_looks_inside_an_entry():
    """Plan and loop may call a regime with whatever they like: the entries come back themselves."""
    entries = [object(), object()]
    assert [Replace()(entries)[0], *Accumulate()(entries)] == [entries[1], *entries]
