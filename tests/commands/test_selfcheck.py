"""The self-check passes on the loop as it is, and fails on every loop that is broken in one place."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from entropy_loop import curation, loop, regimes, registry
from entropy_loop.commands.selfcheck import LAWS, Line, plausible, selfcheck
from entropy_loop.curation import BottomK, KChoice, KeepAll, RandomK, Threshold, TopK
from entropy_loop.data import POOL, REAL, Checkpoint, Diet, Selection
from entropy_loop.errors import ConfigError
from entropy_loop.generators.toys.gaussian import Gaussian
from entropy_loop.judges.exact import TraitScorer
from entropy_loop.plan import Chain
from entropy_loop.regimes import Accumulate, AccumulateSubsample, FreshReal, MixReal, Replace, Window

MUTANTS = []


def mutant(owner: object, name: str, *laws: str) -> Callable:
    """The function below takes the place of `owner.name`; its first argument is the real one. The named laws see it."""

    def register(broken: Callable) -> Callable:
        MUTANTS.append(pytest.param(owner, name, broken, laws, id=broken.__name__))
        return broken

    return register


# ---- regimes -----------------------------------------------------------------------------------------


@mutant(Replace, "eats", "E1 replace")
def replace_never_leaves_the_first_pool(real, regime, history):
    return history[:1]


@mutant(Replace, "eats", "E1 replace")
def replace_eats_the_last_two(real, regime, history):
    return history[-2:]


@mutant(Accumulate, "eats", "E4 accumulate", "E5 accumulate, known variance")
def accumulate_forgets_the_first(real, regime, history):
    return history[1:] or history


@mutant(Accumulate, "eats", "E4 accumulate", "E5 accumulate, known variance")
def accumulate_lags_one_generation(real, regime, history):
    return history[:-1] or history


@mutant(Window, "eats", "E1 window of 1")
def window_is_one_too_long(real, window, history):
    return history[-window.generations - 1 :]


@mutant(Window, "eats", "E4 window of T")
def window_is_one_too_short(real, window, history):
    return history[-max(window.generations - 1, 1) :]


@mutant(AccumulateSubsample, "eats", "E5 accumulate_subsample")
def subsample_draws_from_the_last_two(real, regime, history):
    return history[-2:]


@mutant(regimes, "diet", "E5 accumulate_subsample")
def subsample_eats_everything(real, regime, *rest):
    return real(Accumulate(), *rest)


@mutant(pd.DataFrame, "sample", "E5 accumulate_subsample")
def subsample_draws_with_replacement(real, rows, n, random_state):
    return real(rows, n=n, random_state=random_state, replace=True)


@mutant(regimes, "diet", "E4 accumulate", "E7 mix_real")
def what_was_kept_is_eaten_whatever_the_regime(real, regime, history, *rest):
    return Diet(history[-1].fed)


@mutant(MixReal, "real_images", "E7 mix_real")
def real_fraction_is_of_the_kept(real, regime, kept):
    return round(regime.real_fraction * kept)


@mutant(FreshReal, "fresh", "E7 fresh_real")
def fresh_real_images_are_those_of_the_first_step(real):
    return False


@mutant(MixReal, "fresh", "E7 mix_real")
def fixed_real_images_change(real):
    return True


@mutant(Chain, "requests", "E7 fresh_real")
def real_images_share_the_noise_of_the_pool(real, run, generation, stream):
    return (
        real(run, generation - 1, POOL)[: len(real(run, generation, REAL))]
        if stream == REAL
        else real(run, generation, stream)
    )


# ---- the loop ----------------------------------------------------------------------------------------


@mutant(Chain, "requests", "E1 replace")
def pools_reuse_the_noise_of_generation_0(real, run, generation, stream):
    return real(run, 0 if stream == POOL else generation, stream)


@mutant(loop, "generate", "E1 replace", "E11 drift")
def pools_come_from_generation_0(real, run, g, image_set, model, store):
    first = Checkpoint(store.once(run.generations[0].model, run.config.generator_plugin().base))
    return real(run, g, image_set, first, store)


@mutant(loop, "feed", "E1 replace")
def a_generation_learns_from_the_pool_before_the_last(real, run, g, start, history, store):
    return real(run, g, start, history[:-1] or history, store)


@mutant(Selection, "fed", "E9 random_k")
def the_pool_is_fed_instead_of_the_kept(real, selection):
    return selection.pool.table.assign(folder=str(selection.pool.folder), real=False)


@mutant(Selection, "fed", "E11 drift", "E11 missed concepts")
def alike_images_count_once(real, selection):
    return real(selection).drop_duplicates(["prompt", "shows"])


@mutant(Selection, "fed", "E10 choice of 4")
def an_image_chosen_twice_counts_once(real, selection):
    return real(selection).drop_duplicates("id")


# ---- policies ----------------------------------------------------------------------------------------


@mutant(TopK, "most_kept", "E9 best of 10, twice")
def top_k_keeps_one_more(real, policy, images):
    return real(policy, images) + 1


def deceived(real, policy, scores, shown, seed):
    """What a policy decides that is shown other scores; the table has the true ones, else it would be refused."""
    decided = real(policy, scores.assign(score=shown), seed)
    return decided.drop(columns="score").merge(scores[["id", "score"]], on="id")


@mutant(TopK, "__call__", "E9 top 0.5, r = 1")
def top_k_reads_the_score_of_the_next_image(real, policy, scores, seed):
    return deceived(real, policy, scores, np.roll(scores["score"], 1), seed)


@mutant(BottomK, "most_kept", "E9 worst of 10, twice")
def bottom_k_keeps_one_more(real, policy, images):
    return real(policy, images) + 1


@mutant(BottomK, "__call__", "E9 worst of 10, twice")
def bottom_k_keeps_the_best(real, policy, scores, seed):
    return TopK(policy.k)(scores, seed)


@mutant(RandomK, "most_kept", "E9 random_k")
def random_k_keeps_one_more(real, policy, images):
    return real(policy, images) + 1


@mutant(RandomK, "__call__", "E9 random_k")
def random_k_draws_with_replacement(real, policy, scores, seed):
    drawn = np.random.default_rng(seed).integers(len(scores), size=policy.most_kept(len(scores)))
    return curation._selection(scores, np.bincount(drawn, minlength=len(scores)))


@mutant(KeepAll, "__call__", "E1 replace")
def keep_all_drops_one(real, policy, scores, seed):
    return RandomK(len(scores) - 1)(scores, seed)


@mutant(Threshold, "__call__", "E9 threshold")
def threshold_keeps_what_is_below(real, policy, scores, seed):
    return deceived(real, replace(policy, score=-policy.score), scores, -scores["score"], seed)


@mutant(Threshold, "__call__", "E9 threshold")
def threshold_is_a_rank(real, policy, scores, seed):
    return TopK(0.5)(scores, seed)


@mutant(KChoice, "__call__", "E10 choice of 4")
def choice_has_a_candidate_less(real, policy, scores, seed):
    return real(replace(policy, candidates=policy.candidates - 1), scores, seed)


@mutant(KChoice, "__call__", "E10 categories")
def choice_ignores_the_reward(real, policy, scores, seed):
    return real(replace(policy, beta=0.0), scores, seed)


@mutant(KChoice, "__call__", "E10 choice of 6")
def choice_draws_no_candidate_twice(real, policy, scores, seed):
    rng, n = np.random.default_rng(seed), len(scores)
    noise = rng.gumbel(size=(policy.most_kept(n), n))
    hidden = rng.permuted(np.tile(np.arange(n) >= policy.candidates, (len(noise), 1)), axis=1)
    noise[hidden] = -np.inf
    chosen = (policy.beta * scores["score"].to_numpy() + noise).argmax(axis=1)
    return curation._selection(scores, np.bincount(chosen, minlength=n))


@mutant(TraitScorer, "score", "E9 top 0.5, r = 0.6")
def the_score_is_the_trait_itself(real, scorer, *asked):
    return real(replace(scorer, correlation=1.0), *asked)


# ---- the generator -----------------------------------------------------------------------------------


@mutant(Gaussian, "_moments", "E1 replace")
def maximum_likelihood_divides_by_n_minus_1(real, generator, *diet):
    return real(replace(generator, fit="unbiased"), *diet)


@mutant(Gaussian, "_moments", "E2 replace, unbiased fit")
def unbiased_fit_divides_by_n(real, generator, *diet):
    return real(replace(generator, fit="ml"), *diet)


@mutant(Gaussian, "_moments", "E5 accumulate, known variance")
def known_variance_is_fitted(real, generator, *diet):
    return real(replace(generator, fit="ml"), *diet)


@mutant(Gaussian, "sample", "E3 sampling bias")
def sampling_bias_scales_the_deviation(real, generator, *request):
    return real(replace(generator, sampling_bias=generator.sampling_bias**2), *request)


@mutant(Gaussian, "_weights", "E8 real weight 0.8")
def real_weight_falls_on_the_generated(real, generator, is_real):
    return real(replace(generator, real_weight=1 - generator.real_weight), is_real)


# ---- the verdict -------------------------------------------------------------------------------------


def test_the_loop_obeys_every_law():
    """Every statistic of every law is within 4 standard errors, and the z-scores together are those of chance."""
    lines = selfcheck()
    assert {line.law for line in lines} == set(LAWS)
    assert len({line.measured for line in lines}) == len(lines), "two laws share their chains"
    assert plausible(lines), [line for line in lines if not abs(line.z) < 2]


@pytest.mark.parametrize(("owner", "name", "broken", "laws"), MUTANTS)
def test_a_broken_loop_is_caught(owner, name, broken, laws, monkeypatch):
    """With one function of the loop, a regime, a policy or the generator replaced, the laws that touch it fail."""
    real = getattr(owner, name)
    if isinstance(real, property):
        wrong = property(lambda self: broken(real.fget, self))
    elif callable(real):

        def wrong(*arguments, **options):
            return broken(real, *arguments, **options)
    else:
        wrong = broken(real)
    monkeypatch.setattr(owner, name, wrong)
    assert not plausible(selfcheck(laws))


def test_every_regime_and_policy_is_broken_somewhere():
    """No regime and no policy of the package is without a mutant of its own; but for people's picks, which follow no
    law (what is done with them is top_k, which has its mutants)."""
    broken = {parameters.values[0] for parameters in MUTANTS}
    shipped = {registry.load(kind, name) for kind in (registry.REGIME, registry.POLICY) for name in kind.bundled}
    shipped = {cls for cls in shipped if cls is not curation.People}
    assert len(shipped) > 10
    assert shipped <= broken


def lines(z):
    return [Line("law", "E[x]", 0.0, 0.0, float(value), 100) for value in z]


def test_chance_is_plausible():
    """40 draws of standard normal numbers pass."""
    assert plausible(lines(np.random.default_rng(3).standard_normal(40)))


@pytest.mark.parametrize(
    "z",
    [[0.5, -1.0, 4.2, 0.1], [1.9, -2.1] * 20, [0.05, -0.02] * 20, [0.3, float("nan")], [float("inf"), 0.2]],
    ids=["one far off", "all a little off", "too good", "no z at all", "chains that agree"],
)
def test_what_chance_does_not_show_is_implausible(z):
    """One z beyond 4, many of 2, or an agreement no chance would give: none passes, nor a missing z."""
    assert not plausible(lines(z))


def test_a_seed_fixes_every_number():
    """A law alone gives the same lines as among others, another seed gives other lines."""
    among = selfcheck(["E3 sampling bias", "E1 replace"], seed=3)
    assert selfcheck(["E1 replace"], seed=3) == among[2:]
    assert {line.measured for line in selfcheck(["E1 replace"])} & {line.measured for line in among} == set()


def test_an_unknown_law_is_refused():
    """A name that is no law is an error that lists the laws."""
    with pytest.raises(ConfigError, match="E11 drift"):
        selfcheck(["E12"])
