import json
import math
from dataclasses import fields

import pytest
from pydantic import BaseModel

from entropy_loop.commands import results_folder
from entropy_loop.data import TrainSettings
from entropy_loop.errors import ConfigError
from entropy_loop.plan import plan
from entropy_loop.study import checks, config, strict_yaml, study
from entropy_loop.study.settings import settings

PROMPT = {"text": "a horse", "concepts": ["horse"]}
CLIP = {"use": "clip", "model": "some/model"}

MISTAKES = {
    "an unknown key": ({"imagess": 3}, [], "imagess: unknown key.*did you mean 'images'"),
    "an unknown key of training": ({"train": {"learning_rat": 1}}, [], "train.learning_rat: .*'learning_rate'"),
    "an unknown key of a prompt": ({"prompts": [{**PROMPT, "rol": "target"}]}, [], "prompts.0.rol: .*'role'"),
    "a key that is missing": ({"judges": None}, [], "judges: missing"),
    "a word for a number": ({"images": "many"}, [], "images: .*integer.*got 'many'"),
    "a number for a name": ({"name": 7}, [], "name: .*string.*got 7"),
    "a name that is no folder name": ({"name": "../up"}, [], "name: .*pattern"),
    "a number for a section": ({"train": 3}, [], "train: "),
    "no generation": ({"generations": 0}, [], "generations: .*greater than or equal to 1.*got 0"),
    "too many generations": ({"generations": 256}, [], "generations: .*less than 256"),
    "too many images": ({"images": 2**18}, [], "images: .*less than 262144"),
    "too many prompts": ({"prompts": [{**PROMPT, "text": str(i)} for i in range(65)]}, [], "prompts: .*at most 64"),
    "a lesson without real data": ({"reteach": {"every": 2, "concepts": ["horse"], "images": 3}}, [], "real: missing"),
    "a lesson in what real data lack": (
        {"real": {"use": "storybook"}, "reteach": {"every": 2, "concepts": ["giraffe"], "images": 3}},
        [],
        "reteach.concepts: .*cannot show 'giraffe'",
    ),
    "more fresh real images than have a seed": (
        {
            "real": {"use": "storybook"},
            "images": 100_000,
            "generations": 4,
            "feedback": {"use": "fresh_real", "real_fraction": 0.5},
        },
        [],
        "feedback: 400,000 fresh real images in 4 generations; 262,144 is the most",
    ),
    "more lessons than have a seed": (
        {
            "real": {"use": "storybook"},
            "generations": 3,
            "reteach": {"every": 1, "concepts": ["horse"], "images": 100_000},
        },
        [],
        "reteach: 300,000 images of a concept in 3 generations; 262,144 is the most",
    ),
    "a lesson in every zeroth step": (
        {"reteach": {"every": 0, "concepts": ["horse"], "images": 3}},
        [],
        "reteach.every: ",
    ),
    "a negative seed": ({"seed": -1}, [], "seed: .*greater than or equal to 0"),
    "a learning rate of zero": ({"train": {"learning_rate": 0}}, [], "train.learning_rate: .*greater than 0"),
    "an infinite learning rate": ({"train": {"learning_rate": math.inf}}, [], "train.learning_rate: .*finite"),
    "a rate that is no number": ({}, ["generator.rates.horse=.nan"], "generator.rates.horse: "),
    "an unknown role": ({"prompts": [{**PROMPT, "role": "goal"}]}, [], "prompts.0.role: .*'target'"),
    "an unknown plug-in": ({"curate": {"policy": {"use": "topk"}}}, [], "curate.policy.use: .*Did you mean 'top_k'"),
    "an unknown generator": ({"generator": {"use": "categorial"}}, [], "generator.use: .*'categorical'"),
    "an unknown judge": ({"judges": [{"use": "exakt"}]}, [], "judges.0.use: .*'exact'"),
    "an unknown regime": ({"feedback": {"use": "acumulate"}}, [], "feedback.use: .*'accumulate'"),
    "an unknown option": ({"feedback": {"use": "replace", "share": 1}}, [], "feedback.share: unknown key"),
    "a plug-in without a name": ({"generator": {}}, [], "generator.use: missing"),
    "k beyond the pool": ({"curate": {"policy": {"use": "random_k", "k": 9}}}, [], "curate.policy: k = 9 .* 8 images"),
    "scores that nobody gives": ({"curate": {"policy": {"use": "top_k", "k": 2}}}, [], "curate.scorer: missing"),
    "no target": ({"prompts": [{**PROMPT, "role": "similar"}]}, [], "prompts: none has the role target"),
    "a prompt twice": ({"prompts": [PROMPT, PROMPT]}, [], "prompts: the same text stands twice"),
    "a concept twice": ({"prompts": [{"text": "x", "concepts": ["horse"] * 2}]}, [], "prompts.0.concepts: .*twice"),
    "a concept called all": ({"prompts": [{"text": "x", "concepts": ["all"]}]}, [], "'all' is the name of the joint"),
    "an idle concept": ({"concepts": {"hors": {"yes": ["a"], "no": ["b"]}}}, [], "concepts.hors: .*'horse'"),
    "two judges of one name": ({"judges": [{"use": "exact"}] * 2}, [], "judges: two have one name"),
    "the curator as judge": ({"curate": {"scorer": CLIP}, "judges": [CLIP]}, [], "'some/model' is also the curator"),
    "choices without their way of asking": (
        {"people": {"choices": {"mount": ["horse"]}}},
        [],
        "people.choices: asked only with `ask: choice`",
    ),
    "a way of asking without choices": ({"people": {"ask": "choice"}}, [], "people.choices: missing; say what"),
    "an answer that every question has": (
        {"people": {"ask": "choice", "choices": {"mount": ["horse", "Can't tell"]}}},
        [],
        'people.choices.mount: leave "Can\'t tell" out',
    ),
    "an option of two questions": (
        {"people": {"ask": "choice", "choices": {"mount": ["horse"], "rider": ["cat", "horse"]}}},
        [],
        "people.choices: 'horse' stands twice",
    ),
    "a concept that nobody can choose": (
        {"people": {"ask": "choice", "choices": {"mount": ["hors", "none"]}}},
        [],
        "prompts.0.concepts: 'horse' is no option of people.choices; add it to one. .*'hors'",
    ),
    "two concepts of which one can be chosen": (
        {
            "prompts": [{"text": "x", "concepts": ["horse", "cow"]}],
            "people": {"ask": "choice", "choices": {"mount": ["horse", "cow"]}},
        },
        [],
        "prompts.0.concepts: 'horse' and 'cow' are options of one question",
    ),
    "more options than there are keys": (
        {"people": {"ask": "choice", "choices": {"mount": ["horse", *(f"m{n}" for n in range(30))]}}},
        [],
        "people.choices.mount: .*at most 30",
    ),
    "a list that is empty": ({"sweep": {"seed": []}}, [], "sweep.seed: "),
    "a sweep over no place": ({"sweep": {"name.x": [1]}}, [], "arm x-1: name.x: there is no such place"),
    "a sweep over an unknown key": ({"sweep": {"curate.polcy": [1]}}, [], "curate.polcy: .*'policy'"),
    "two points of one name": ({"sweep": {"seed": [0, 0]}}, [], "sweep: two points are called none-seed0"),
    "a --set of no place": ({}, ["name.x=3"], "--set name.x: there is no such place"),
    "a --set past a list": ({}, ["prompts.7.text=x"], "--set prompts.7.text: there is no such place"),
    "a --set at a digit of another kind": ({}, ["prompts.².text=x"], "there is no such place"),
    "a --set without a value": ({}, ["images"], "path.to.key=value"),
    "a --set that is not YAML": ({}, ["images=[1"], "not YAML"),
    "a --set of an unknown key": ({}, ["imags=3"], "imags: unknown key.*'images'"),
}


@pytest.mark.parametrize(("changes", "overrides", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_in_words(toy, changes, overrides, message):
    """A wrong config raises a ConfigError that names the place and, where there is one, the nearest right name."""
    with pytest.raises(ConfigError, match=message):
        study.load(toy(**changes), tuple(overrides))


def test_the_nearest_name_is_looked_for_in_every_section():
    """Among the keys of the config, of each of its sections and of the training."""
    sections = [cls for cls in vars(config).values() if isinstance(cls, type) and issubclass(cls, BaseModel)]
    assert len(sections) > 8
    names = {name for section in sections for name in section.model_fields}
    assert set(checks.key_names()) == names | {field.name for field in fields(TrainSettings)}


TEXTS = {
    "an empty file": ("", "holds no keys"),
    "a list": ("- name: toy\n", "holds no keys"),
    "not YAML": ("name: [toy\n", "is not YAML"),
    "two documents": ("name: a\n---\nname: b\n", "is not YAML"),
    "a key twice": ("name: toy\nimages: 3\nimages: 4\n", "key 'images' stands twice, line 3"),
    "a nested key twice": ("train: {learning_rate: 1, learning_rate: 2}\n", "key 'learning_rate' stands twice"),
    "a list as a key": ("[a]: 2\n", "is not YAML"),
    "a number as a key": ("7: 2\n", "7: Keys should be strings"),
    "code": ("name: !!python/object/apply:os.getcwd []\n", "is not YAML"),
    "control characters": ("name: \x00\n", "is not YAML"),
}


@pytest.mark.parametrize(("text", "message"), TEXTS.values(), ids=TEXTS)
def test_a_file_that_is_no_config_is_refused_in_words(tmp_path, text, message):
    """A file that does not parse, or holds no keys, raises a ConfigError with the file's name."""
    path = tmp_path / "it.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        study.load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["missing.yaml", ".", "toy.yaml/below"])
def test_what_is_no_file_is_refused_in_words(toy, name):
    """A missing file, a folder, and a path below a file are named as such."""
    with pytest.raises(ConfigError, match="no such file"):
        study.load(toy().parent / name)


def test_bytes_that_are_no_text_are_refused_in_words(tmp_path):
    """A binary file is not YAML."""
    (tmp_path / "it.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not YAML"):
        study.load(tmp_path / "it.yaml")


def test_several_mistakes_come_at_once(toy):
    """Mistakes of the schema and of plug-ins are reported together, one line each, with the file's name."""
    path = toy(images="many", imagess=3, feedback={"use": "replce"}, judges=[{"use": "exact", "threshold": 1}])
    with pytest.raises(ConfigError) as error:
        study.load(path)
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    places = {line.removeprefix(f"{path}: ").partition(":")[0] for line in lines}
    assert places == {"images", "imagess", "feedback.use", "judges.0.threshold"}


def test_mistakes_of_fit_come_at_once_too(toy):
    """What only shows when the fields are put together is reported together as well, once for all points."""
    prompt = {"text": "x", "role": "similar", "concepts": ["all"]}
    sweep = {"seed": [0, 1], "curate.policy": [{"use": "random_k", "k": 99}]}
    with pytest.raises(ConfigError) as error:
        study.load(toy(prompts=[prompt], sweep=sweep))
    assert len(str(error.value).splitlines()) == 3


def test_the_curator_may_judge_when_the_config_says_so(toy):
    """With the words that say it is meant, one model may select and measure."""
    consent = "yes, the curator measures itself on purpose"
    loaded = study.load(toy(curate={"scorer": CLIP}, judges=[CLIP], curator_may_judge=consent))
    assert loaded.config.curator_may_judge == consent


def test_weights_with_another_tag_are_another_judge(toy):
    """One architecture with two `pretrained` tags is two models: the second may judge what the first selected."""
    scorer, judge = ({"use": "clip", "model": "ViT-B-32", "pretrained": tag} for tag in ("openai", "laion2b"))
    assert study.load(toy(curate={"scorer": scorer}, judges=[judge])).config.curator_may_judge == "no"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("off", "off"),
        ("true", True),
        ("False", False),
        ("1e-4", 0.0001),
        ("2E+3", 2000.0),
        ("-1e2", -100.0),
        ("1.5e-3", 0.0015),
        ("12", 12),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("010", "010"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("1:30", "1:30"),
        ("2024-01-31", "2024-01-31"),
        ("1e", "1e"),
        ("e-4", "e-4"),
        ("~", None),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text, value):
    """`yes` and `no` are words, true and false booleans, and only plain decimals, with or without an exponent, are
    numbers: nothing is read as octal, sexagesimal or a date."""
    loaded = strict_yaml.parse(text)
    assert (loaded, type(loaded)) == (value, type(value))


def test_yes_and_no_are_keys_of_a_concept(toy):
    """Contrastive texts may be written as plain `yes:` and `no:`."""
    path = toy()
    path.write_text(path.read_text() + "concepts: {horse: {yes: [a horse], no: [a cow]}}\n")
    horse = study.load(path).config.judged_concepts()[1]
    assert (horse.name, horse.yes, horse.no) == ("horse", ("a horse",), ("a cow",))


def test_overrides_reach_into_lists_and_make_missing_sections(toy):
    """`--set` changes a list's entry in place, and makes a section that the file leaves out."""
    loaded = study.load(toy(), ("prompts.0.text=a cow and a horse", "train.max_train_steps=7", "images=16")).config
    assert loaded.prompts[0].text == "a cow and a horse"
    assert (loaded.train.max_train_steps, loaded.images) == (7, 16)
    assert loaded.train.train_batch_size == 16


def test_a_sweep_spans_every_combination(toy):
    """Arms are all combinations of the axes, the last one fastest, and each has every seed; seeds name no arm."""
    sweep = {"feedback.use": ["replace", "accumulate"], "curate.policy": [{"use": "none"}, {"use": "random_k", "k": 2}]}
    points = study.load(toy(sweep={**sweep, "seed": [0, 3]})).points
    arms = ["replace_none", "replace_random_k-2", "accumulate_none", "accumulate_random_k-2"]
    assert [point.name for point in points] == [f"{arm}-seed{seed}" for arm in arms for seed in (0, 3)]
    assert points[3].config.curate.policy == {"use": "random_k", "k": 2}
    assert (points[3].config.feedback, points[3].config.seed) == ({"use": "replace"}, 3)


def test_one_axis_may_reach_into_the_value_of_another(toy):
    """An axis inside the value of an earlier one changes its own point and no other, nor what the user wrote."""
    sweep = {"curate.policy": [{"use": "random_k", "k": 1}], "curate.policy.k": [2, 3]}
    loaded = study.load(toy(sweep=sweep))
    assert [point.config.curate.policy["k"] for point in loaded.points] == [2, 3]
    assert loaded.config.sweep["curate.policy"] == [{"use": "random_k", "k": 1}]


def test_numbers_of_a_sweep_name_their_axis(toy):
    """A number alone is no name: the arm carries the last word of its axis, however the number is spelled."""
    path = toy()
    path.write_text(path.read_text() + "sweep: {train.learning_rate: [1e-4, 0.001]}\n")
    assert [point.arm for point in study.load(path).points] == ["learning_rate-0.0001", "learning_rate-0.001"]


def test_the_resolved_config_is_the_same_experiment(toy, tmp_path):
    """What is written to config.yaml, read again, plans the same stages with the same keys."""
    import yaml

    first = study.load(toy(sweep={"seed": [0, 1]}, train={"learning_rate": 3e-5}), ("images=9",))
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(first.config.model_dump(mode="json"), sort_keys=False))
    assert list(plan(study.load(again)).stages()) == list(plan(first).stages())


def test_a_mistake_is_reported_with_its_line(toy):
    """What stands in the file has the line of its key; what the command line says instead has none."""
    path = toy(generations=-3, train={"max_train_steps": 3, "learning_rat": 1.0})
    lines = path.read_text().splitlines()
    with pytest.raises(ConfigError) as error:
        study.load(path)
    generations, rate = (1 + next(i for i, line in enumerate(lines) if key in line) for key in ("generations", "_rat:"))
    assert f"generations: Input should be greater than or equal to 1 (got -3). (line {generations})" in str(error.value)
    assert f"learning_rat: unknown key; did you mean 'learning_rate'? (line {rate})" in str(error.value)
    with pytest.raises(ConfigError) as error:
        study.load(path, ("generations=-4",))
    assert "equal to 1 (got -4).\n" in str(error.value)


def test_where_images_may_be_withheld_no_pool_has_a_known_size(toy):
    """As with a threshold there is no drift band, and nothing is claimed."""
    generator = {"use": "diffusion", "checkpoint": "bundled:storybook"}
    unknown = {
        kind: study.load(toy(generator={**generator, "safety_checker": kind})).config.size_unknown()
        for kind in ("off", "flag", "keep")
    }
    assert unknown == {
        "off": "",
        "flag": "",
        "keep": "how much the safety checker withholds is known only when it runs",
    }


BUNDLED = {"use": "diffusion", "checkpoint": "bundled:storybook"}
ESSAY = {"text": "a photograph of an astronaut riding a horse", "concepts": ["astronaut", "horse", "riding"]}


def test_the_bundled_checkpoint_gets_check_prompts_and_moved_images_by_itself(toy):
    """Four check prompts and 32 images that are moved, in every arm; `checks: none` does without."""
    study_ = study.load(toy(generator=BUNDLED, prompts=[ESSAY], images=64, sweep={"checks": ["auto", "none"]}))
    auto, none = (point.config for point in study_.points)
    assert [prompt.text for prompt in auto.check_prompts()] == [
        "a photograph of a knight riding a horse",
        "a photograph of an astronaut standing next to a zebra",
        "a photograph of a robot standing next to a camel",
        "a photograph of a chef riding an elephant",
    ]
    assert (auto.moved_images(), none.moved_images(), none.check_prompts()) == (32, 0, ())
    assert auto.pool_prompts() == none.pool_prompts()


@pytest.mark.parametrize(
    ("changes", "prompts", "steady"),
    [
        ({"prompts": [ESSAY, {"text": "a cow", "role": "check", "concepts": ["cow"]}]}, 1, 32),
        ({"steady_images": 0}, 4, 0),
        ({"steady_images": 5}, 4, 5),
        ({"images": 8}, 4, 8),
        ({"prompts": [{"text": "a dragon", "concepts": ["dragon"]}]}, 0, 32),
        ({"generator": {"use": "diffusion", "checkpoint": "some/model"}}, 0, 0),
        ({"generator": {"use": "diffusion", "checkpoint": "some/model"}, "steady_images": 5}, 0, 5),
        ({"generator": {"use": "categorical"}}, 0, 0),
    ],
)
def test_named_check_prompts_stay_and_other_worlds_get_none(toy, changes, prompts, steady):
    """Named check prompts and a number of images stand; nothing is added where the world is not known."""
    config = study.load(toy(**{"generator": BUNDLED, "prompts": [ESSAY], "images": 64} | changes)).config
    assert (len(config.check_prompts()), config.moved_images()) == (prompts, steady)


def test_arms_with_other_prompts_get_check_prompts_of_their_own(toy):
    """Where the prompt is swept each arm has four check prompts near its own target, also one that the other arm's
    check prompts name."""
    texts = ["a photograph of an astronaut riding a horse", "a photograph of a knight riding a horse"]
    raw = {"generator": BUNDLED, "prompts": [ESSAY], "sweep": {"prompts.0.text": texts}}
    for point in study.load(toy(**raw)).points:
        checks = [prompt.text for prompt in point.config.check_prompts()]
        assert len(checks) == 4
        assert point.config.pool_prompts()[0].text not in checks


def test_a_results_folder_of_an_earlier_version_is_gone_on_with(toy, tmp_path):
    """A config.yaml that knows nothing of checks is that of the same experiment."""
    planned = plan(study.load(toy(generator=BUNDLED, prompts=[ESSAY])))
    written = strict_yaml.parse(settings(planned.study))
    earlier = {key: value for key, value in written.items() if "check" not in key and key != "steady_images"}
    (tmp_path / "config.yaml").write_text(json.dumps(earlier | {"prompts": [ESSAY]}))
    assert len(earlier) == len(written) - 3
    results_folder.check_same_experiment(planned, tmp_path)


def test_few_images_of_a_check_prompt_fill_no_large_blocks(toy):
    """A block of check images is no larger than their number, and one of a pool as large as the config says."""
    config = study.load(toy(generator={**BUNDLED, "block": 32}, prompts=[ESSAY], check_images=3)).config
    assert [config.sampler(stream).block for stream in ("pool", "evaluation", "check")] == [32, 32, 3]
