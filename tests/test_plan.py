import os
import subprocess
import sys

import pytest

from entropy_loop.data import CHECK, EVALUATION, MOVED, POOL, REAL, TAUGHT, canonical
from entropy_loop.plan import plan
from entropy_loop.study.study import load

HORSE = {"text": "a horse", "role": "similar", "concepts": ["horse"]}
POLICIES = [{"use": "none"}, {"use": "top_k", "k": 2}, {"use": "random_k", "k": 2}]


def keys(planned, *verbs: str) -> set[str]:
    return {stage.key for stage in planned.stages().values() if not verbs or stage.name in verbs}


def folders(run) -> list[str]:
    return [stage.folder for generation in run.generations for stage in generation.stages()]


def test_a_plan_follows_from_its_config_alone(toy):
    """Another process, with other hash seeds and another folder, plans the same stages and loads no torch."""
    path = toy()
    code = (
        "import sys; from pathlib import Path\n"
        "from entropy_loop.study.study import load; from entropy_loop.plan import plan\n"
        "print(*plan(load(Path(sys.argv[1]))).stages()); print('torch' in sys.modules)"
    )
    for hash_seed in ("1", "2"):
        printed = subprocess.run(
            [sys.executable, "-c", code, str(path)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed}, cwd="/", capture_output=True, text=True, check=True,
        ).stdout.splitlines()  # fmt: skip
        assert printed == [" ".join(plan(load(path)).stages()), "False"]


def test_every_generation_is_made_measured_and_fed_back_but_the_last(toy):
    """Two feedback steps are three generations; each is sampled and judged, the last one feeds nothing."""
    generations = plan(load(toy())).chains[0].generations
    verbs = [[stage.name for stage in g.stages()] for g in generations]
    measured = ["generate-pool", "recognise-pool", "generate-evaluation", "recognise-evaluation"]
    assert verbs == [["base", *measured, "curate"], ["train", *measured, "curate"], ["train", *measured]]


def test_scores_are_made_only_for_a_policy_that_reads_them(toy):
    """top_k has a score stage, none and random_k have none even when a scorer stands in the config."""
    planned = plan(load(toy(curate={"scorer": {"use": "exact"}}, sweep={"curate.policy": POLICIES})))
    scored = [any(stage.name == "score" for g in run.generations for stage in g.stages()) for run in planned.chains]
    assert scored == [False, True, False]


def test_arms_of_one_seed_share_generation_0(toy):
    """Up to curation, generation 0 of every arm is the same stages; from generation 1 on the arms part."""
    planned = plan(load(toy(curate={"scorer": {"use": "exact"}}, sweep={"curate.policy": POLICIES})))
    first = [{s.key for s in (r.generations[0].model, r.generations[0].sets[POOL])} for r in planned.chains]
    assert first[0] == first[1] == first[2]
    assert len({run.generations[1].sets[POOL].key for run in planned.chains}) == 3


def test_another_judge_measures_anew_and_does_nothing_else(toy):
    """Changing the judge changes the keys of recognition and of no other stage."""
    first, second = plan(load(toy())), plan(load(toy(judges=[{"use": "clip", "model": "some/model"}])))
    judging = ("recognise-pool", "recognise-evaluation")
    assert keys(first) - keys(first, *judging) == keys(second) - keys(second, *judging)
    assert not keys(first, *judging) & keys(second, *judging)


def test_a_longer_experiment_continues_a_shorter_one(toy):
    """All stages of 2 feedback steps are among those of 4."""
    assert keys(plan(load(toy()))) < keys(plan(load(toy(generations=4))))


def test_a_name_is_in_no_key(toy):
    """Renaming an experiment makes nothing anew."""
    assert keys(plan(load(toy(name="other")))) == keys(plan(load(toy())))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"images": 9},
        {"threads": 2},
        {"generator": {"use": "categorical", "rates": {"astronaut": 0.9, "horse": 0.71}}},
        {"prompts": [{"text": "a horse under an astronaut", "concepts": ["astronaut", "horse"]}]},
    ],
)
def test_what_an_image_depends_on_is_in_its_key(toy, changes):
    """Another seed, pool size, thread count, generator option or prompt makes every pool anew."""
    assert not keys(plan(load(toy())), "generate-pool") & keys(plan(load(toy(**changes))), "generate-pool")


@pytest.mark.parametrize("changes", [{"train": {"max_train_steps": 7}}, {"feedback": {"use": "accumulate"}}])
def test_training_settings_leave_generation_0_alone(toy, changes):
    """How the feedback is done changes nothing that was made before it."""
    first, second = (plan(load(path)).chains[0] for path in (toy(), toy("other.yaml", **changes)))
    assert [s.key for s in first.generations[0].stages()] == [s.key for s in second.generations[0].stages()]
    assert first.generations[2].model.key != second.generations[2].model.key


def test_accumulate_eats_every_generation_and_replace_the_last(toy):
    """Generation 2 needs both curations under accumulate, and only that of generation 1 under replace."""
    for use, eaten in (("replace", [1]), ("accumulate", [0, 1])):
        run = plan(load(toy(feedback={"use": use}))).chains[0]
        assert list(run.generations[2].model.needs[1:]) == [run.generations[g].curate.key for g in eaten]


@pytest.mark.parametrize(("start", "generation"), [("previous", 1), ("base", 0)])
def test_training_starts_where_the_config_says(toy, start, generation):
    """`previous` starts generation 2 from generation 1's model, `base` from generation 0's."""
    run = plan(load(toy(train={"start_from": start}))).chains[0]
    assert run.generations[2].model.needs[0] == run.generations[generation].model.key


def test_pools_are_fresh_and_the_evaluation_set_stays(toy):
    """No image of any pool shares its seed with another one; the evaluation set has the same seeds for ever."""
    run = plan(load(toy(prompts=[HORSE | {"role": "target"}, {"text": "a cow", "concepts": ["cow"]}]))).chains[0]
    pools = [r.seed for g in range(3) for r in run.requests(g, POOL)]
    assert len(pools) == len(set(pools)) == 3 * 2 * 8
    evaluation = [[r.seed for r in run.requests(g, EVALUATION)] for g in range(3)]
    assert evaluation[0] == evaluation[1] == evaluation[2]
    assert len(set(evaluation[0])) == 2 * 2


def test_pool_sizes_follow_the_role(toy):
    """Targets get `images`, prompts that are only measured `measured_images` and no evaluation set."""
    run = plan(load(toy(prompts=[HORSE, {"text": "a cow", "concepts": ["cow"]}]))).chains[0]
    pool = [r.prompt for r in run.requests(0, POOL)]
    assert (pool.count("a horse"), pool.count("a cow")) == (4, 8)
    assert {r.prompt for r in run.requests(0, EVALUATION)} == {"a cow"}


def test_every_noise_of_a_chain_has_a_name_of_its_own(toy):
    """Ids are unique over generations, sets and prompts; an evaluation image has its id in every generation."""
    run = plan(load(toy())).chains[0]
    pools = [r.id for g in range(3) for r in run.requests(g, POOL)]
    evaluation = [[r.id for r in run.requests(g, EVALUATION)] for g in range(3)]
    assert len(set(pools) | set(evaluation[0])) == 3 * 8 + 2
    assert evaluation[0] == evaluation[1] == evaluation[2]


def test_without_training_every_generation_is_the_model_of_generation_0(toy):
    """Regenerate only: one model, fresh pools, one evaluation set, and nothing is curated."""
    run = plan(load(toy(train={"method": "none"}))).chains[0]
    assert {g.model.name for g in run.generations} == {"base"}
    assert len({g.sets[POOL].key for g in run.generations}) == 3
    assert len({g.sets[EVALUATION].folder for g in run.generations}) == 1
    assert all(g.curate is None for g in run.generations)


TARGET = {"text": "an astronaut on a horse", "concepts": ["astronaut", "horse"]}
CHECKED = {"text": "a knight on a horse", "role": "check", "concepts": ["horse", "knight"]}


@pytest.mark.parametrize("place", [0, 1, 2])
def test_check_prompts_and_moved_images_change_no_other_stage(toy, place):
    """Wherever a check prompt stands, all stages of a config without it are there with their keys, every image has its
    seed and every draw too; `checks: none` takes both sets away, whatever the config names."""
    measures = {"embedder": {"use": "storybook"}, "reader": {"use": "storybook"}}
    more = {"curate": {"scorer": {"use": "exact"}, "policy": {"use": "top_k", "k": 2}}, "real": WORLD}
    more |= {"measures": measures, "attributes": {"coat": ["brown", "black"]}, "steady_images": 3}
    prompts = [HORSE, TARGET]
    without = plan(load(toy(**more | {"prompts": prompts, "steady_images": 0})))
    prompts = [*prompts[:place], CHECKED, *prompts[place:]]
    with_ = plan(load(toy(**more | {"prompts": prompts})))
    verbs = ("generate-check", "recognise-check", "move-moved", "recognise-moved")
    assert keys(with_) - keys(with_, *verbs) == keys(without)
    assert len(keys(with_, *verbs)) == 3 * 4
    first, second = with_.chains[0], without.chains[0]
    assert first.requests(1, POOL) == second.requests(1, POOL)
    assert first.feed_seeds(1) == second.feed_seeds(1)
    assert keys(plan(load(toy(**more | {"prompts": prompts, "checks": "none"})))) == keys(without)


def test_check_prompts_have_fresh_noise_and_are_asked_for_the_targets_concepts(toy):
    """In every generation there are `check_images` new ones of each; what judges are asked for is what targets show."""
    run = plan(load(toy(prompts=[CHECKED, TARGET], check_images=3))).chains[0]
    check_requests = [request for g in range(3) for request in run.requests(g, CHECK)]
    pools = [request for g in range(3) for request in run.requests(g, POOL)]
    assert len({request.seed for request in check_requests}) == len(check_requests) == 3 * 3
    assert len({request.id for request in (*check_requests, *pools)}) == 3 * 3 + 3 * 8
    assert [stage.reads["prompts"] for g in run.generations for stage in g.judged[CHECK]] == [
        [("a knight on a horse", ["astronaut", "horse"])]
    ] * 3


def test_images_are_moved_by_their_pool_alone(toy):
    """The moved set follows from the pool and how many are moved: more of them, or another pool, is another set; no
    more than a pool has are moved."""
    few, many = (plan(load(toy(steady_images=n))).chains[0].generations for n in (2, 1000))
    assert [g.sets[MOVED].needs for g in few] == [(g.sets[POOL].key,) for g in few]
    assert [g.sets[POOL].key for g in few] == [g.sets[POOL].key for g in many]
    assert {g.sets[MOVED].key for g in few}.isdisjoint({g.sets[MOVED].key for g in many})
    assert many[0].sets[MOVED].reads["images"] == 8


WORLD = {"use": "categorical", "rates": {"astronaut": 0.9, "horse": 0.7}}


def test_a_fixed_real_set_is_drawn_once_and_a_fresh_one_in_every_step(toy):
    """mix_real feeds the same images for ever; fresh_real never feeds one twice."""
    for regime, drawn in (("mix_real", 1), ("fresh_real", 2)):
        planned = plan(load(toy(feedback={"use": regime, "real_fraction": 0.2}, real=WORLD)))
        assert len(keys(planned, "draw-real")) == drawn
        ids = {r.id for g in (1, 2) for r in planned.chains[0].requests(g, REAL)}
        seeds = {r.seed for g in (1, 2) for r in planned.chains[0].requests(g, REAL)}
        assert len(ids) == len(seeds) == 2 * drawn
        assert all(REAL in g.judged for g in planned.chains[0].generations[1:])


def test_regimes_share_the_first_step_in_which_they_eat_the_same(toy):
    """After one generation replace, accumulate, its subsample and a window have eaten one and the same diet."""
    regimes = [
        {"use": "replace"},
        {"use": "accumulate"},
        {"use": "accumulate_subsample"},
        {"use": "window", "generations": 2},
    ]
    runs = plan(load(toy(sweep={"feedback": regimes}))).chains
    assert len({run.generations[1].model.key for run in runs}) == 1
    assert len({run.generations[2].model.key for run in runs}) == 3  # accumulate and window 2 still agree


def test_a_stage_needs_only_stages_before_it(toy):
    """In plan order no stage needs a later one, so a sequential engine can make them one after the other."""
    seen: set[str] = set()
    stages = plan(load(toy(feedback={"use": "accumulate"}, generations=3))).stages()
    for key, stage in stages.items():
        assert set(stage.needs) <= seen
        seen.add(key)
    assert len(seen) == len(stages) > 20


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": {1, 2}}, object()])
def test_what_cannot_be_written_the_same_way_twice_is_refused(value):
    """A value without a canonical form never enters a key."""
    with pytest.raises((TypeError, ValueError)):
        canonical({"option": value})


def test_the_order_of_options_is_in_no_key(toy):
    """The same options written in another order are the same stages."""
    rates = {"horse": 0.7, "astronaut": 0.9}
    assert folders(plan(load(toy())).chains[0]) == folders(
        plan(load(toy(generator={"rates": rates, "use": "categorical"}))).chains[0]
    )


RETEACH = {
    "generations": 5,
    "real": {"use": "categorical", "rates": {"astronaut": 0.5, "horse": 0.5}},
    "reteach": {"every": 2, "concepts": ["horse", "astronaut"], "images": 3},
}


def test_concepts_are_taught_in_every_m_th_step_with_images_never_seen_before(toy):
    """Every second step has a lesson of 3 new images of each of two concepts; the last step of five has none."""
    run = plan(load(toy(**RETEACH))).chains[0]
    assert [g.number for g in run.generations if TAUGHT in g.sets] == [2, 4]
    lessons = [request for g in (2, 4) for request in run.taught_requests(g)]
    assert [request.prompt for request in lessons] == (["horse"] * 3 + ["astronaut"] * 3) * 2
    assert len({request.seed for request in lessons}) == len({request.id for request in lessons}) == 12


def test_a_lesson_changes_the_step_that_it_is_given_in_and_those_after_it(toy):
    """The first step has no lesson: its model is that of a run without any."""
    with_, without = (plan(load(toy(**RETEACH | c))).chains[0] for c in ({}, {"reteach": None}))
    same = [a.model.key == b.model.key for a, b in zip(with_.generations, without.generations, strict=True)]
    assert same == [True, True, False, False, False, False]
