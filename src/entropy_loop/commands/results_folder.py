"""A results folder: check a config against it, fork, verify and clean it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from entropy_loop import assets
from entropy_loop.commands import costs
from entropy_loop.errors import ConfigError, DiskFull, StorageError, as_storage_error, free
from entropy_loop.plan import Plan
from entropy_loop.plan import plan as plan_of
from entropy_loop.stages import KEY_FORM
from entropy_loop.storage import disk
from entropy_loop.storage.store import Store
from entropy_loop.study import strict_yaml, study
from entropy_loop.study.settings import settings
from entropy_loop.study.study import Study

CONFIG, PLAN = "config.yaml", "plan.json"


def planned(root: Path) -> Plan:
    """The plan of a results folder's config. Raises ConfigError if it is no results folder, or was made with another
    revision of a bundled model."""
    check_results_folder(root)
    try:
        return plan_of(study.load(root / CONFIG))
    except ConfigError:
        if other := next(iter(_read(root / CONFIG)[1]), None):
            raise ConfigError(
                f"{root}: was made with {other.model} {other.there}, and this version of the package has {other.here}; "
                + (
                    "`entropy-loop run` measures it anew, images stay."
                    if other.measures
                    else "use the version that made it."
                )
            ) from None
        raise


def check_results_folder(root: Path) -> None:
    """Raises ConfigError when `root` is no results folder."""
    if not (root / CONFIG).is_file():
        raise ConfigError(f"{root}: no results folder (it has no {CONFIG}); `entropy-loop run` makes one.")


def check_key_form(root: Path) -> None:
    """Raises ConfigError when a folder's stages have keys of another form: no stage would be found again."""
    try:
        recorded = json.loads((root / PLAN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # missing or damaged: the form is unknown
    form = recorded.get("key_form", 1) if isinstance(recorded, dict) else KEY_FORM
    if (root / "store").is_dir() and form != KEY_FORM:
        raise ConfigError(
            f"{root}: its stages have keys of form {form}, and this version of entropy-loop makes form {KEY_FORM}, so "
            "it cannot continue them; run into another folder with --out. Its tables, figures and report.html stay as "
            "they are, and `entropy_loop.open_results` reads the tables."
        )


# ---- before a run ------------------------------------------------------------------------------------


def check_same_experiment(plan: Plan, root: Path) -> list[str]:
    """Raises ConfigError when this plan would drop results from the folder's tables: it is another experiment, or some
    chains are left out or changed. Chains and generations may be added, and the machine may differ. So may the revision
    of a bundled model that only measures: one sentence for each is returned."""
    if not (root / CONFIG).is_file():
        return []
    check_key_form(root)
    old, renewed = _read(root / CONFIG)
    if old.config.name != (name := plan.study.config.name):
        raise ConfigError(
            f"{root}: holds the experiment {old.config.name!r}, not {name!r}; give another folder with --out."
        )
    lines = list(differences(old, plan.study))
    lines += [f"{model.place}: {model.there!r} there, {model.here!r} here" for model in renewed if not model.measures]
    if lines:
        raise ConfigError(
            "\n".join((f"{root}: its config differs from this one:", *(f"  {line}" for line in lines)))
            + "\nGive another folder with --out, or say --fork: a folder beside it that shares what is the same."
        )
    return list(dict.fromkeys(f"measured anew with {model.model} {model.here}; images stay" for model in renewed))


def differences(old: Study, new: Study) -> Iterator[str]:
    """What changed for the chains of the old study: a line for each key that differs, and each chain that is gone."""
    again = {point.name: point.config for point in study.check(strict_yaml.parse(settings(new))).points}
    seen: set[str] = set()
    for point in old.points:
        if point.name not in again:
            yield f"{point.name}: left out"
            continue
        before, after = (dict(_flat(c.model_dump(mode="json"))) for c in (point.config, again[point.name]))
        for key in sorted({*before, *after} - seen):
            old_value, new_value = before.get(key), after.get(key)
            longer = key == "generations" and again[point.name].generations > point.config.generations
            if old_value != new_value and not longer and not study.of_the_machine(key):
                seen.add(key)
                yield f"{key}: {old_value!r} there, {new_value!r} here"


def fork(plan: Plan, root: Path) -> Path:
    """Make a new folder beside `root` for a changed config. Unchanged stages are hard-linked into it."""
    check_key_form(root)
    new = next(path for i in range(2, 1000) if not (path := root.with_name(f"{root.name}-{i}")).exists())
    old, store = Store(root), Store(new)
    with store.lock():
        for stage in plan.stages().values():
            if folder := old.finished(stage):
                shutil.copytree(folder, store.stages / stage.folder, copy_function=disk.link)
    return new


def check_free_space(plan: Plan, store: Store) -> None:
    """Raises DiskFull when the disk lacks room for the missing stages and a tenth more."""
    if (needed := _needed(plan, store)) * 1.1 > (available := free(store.root)):
        raise DiskFull(
            f"{store.root}: what is still to be made needs about {needed:,} bytes, and {available:,} are free; "
            "nothing was begun. Make room, or give a folder on another disk with --out."
        )


@contextmanager
def enough_space(plan: Plan, store: Store) -> Iterator[None]:
    """Check the free space, and add to a DiskFull raised inside how many bytes are still needed."""
    check_free_space(plan, store)
    try:
        yield
    except DiskFull as error:
        needed = _needed(plan, store)
        raise DiskFull(
            f"{error} What is still to be made needs about {needed:,} bytes; make room, run again."
        ) from error


def _needed(plan: Plan, store: Store) -> int:
    """Estimated bytes of the missing stages and of the checkpoints during training."""
    made = {stage.key for stage in plan.stages().values() if store.finished(stage)}
    work = costs.work(plan, made)
    return sum(w.disk for w in work.values()) + (costs.checkpoint_bytes(plan) if "train" in work else 0)


# ---- afterwards --------------------------------------------------------------------------------------


def verify(root: Path) -> list[str]:
    """Check every byte of every finished stage against its receipt. Returns a line for each file that differs. A
    damaged stage loses its receipt, so that `run` makes it anew."""
    check_results_folder(root)
    store, lines = Store(root), []
    with store.lock():
        for folder, faults in list(store.damaged()):
            lines += [f"{store.stages / folder / fault}" for fault in faults]
            store.invalidate(folder)
    return lines


@dataclass(frozen=True)
class Spare:
    """A folder that can be deleted. why: what it is. size: bytes."""

    path: Path
    why: str
    size: int


def spare(root: Path, whole: bool = False) -> list[Spare]:
    """The folders of a store that can be deleted: unfinished stages and stages that the config no longer names; with
    `whole` all stages (tables, figures and report stay)."""
    if not whole:
        check_key_form(root)
    plan, store = planned(root), Store(root)
    named = {stage.folder for stage in plan.stages().values() if store.finished(stage)}
    folders = []
    for path in sorted(store.stages.iterdir()) if store.stages.is_dir() else []:
        if path.is_dir() and (whole or path.name not in named):
            finished = (path / "receipt.json").is_file()
            why = "made" if path.name in named else "no stage of this config" if finished else "left unfinished"
            folders.append(Spare(path, why, sum(p.stat().st_size for p in path.rglob("*") if p.is_file())))
    return folders


def clean(root: Path, folders: list[Spare]) -> None:
    """Delete the folders that `spare` returned."""
    with Store(root).lock(), as_storage_error(root):
        for folder in folders:
            disk.remove(folder.path)


# ---- inside ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Renewed:
    """A bundled model whose revision differs in this version of the package. place: of `revision` in the config."""

    place: str
    model: str
    there: str
    here: str

    @property
    def measures(self) -> bool:
        """Whether the model only measures: no stage that makes or selects images depends on it."""
        return self.place.startswith(("judges.", "measures."))


def _read(path: Path) -> tuple[Study, list[_Renewed]]:
    """A folder's study with the bundled models of this version, and the models whose revision differed."""
    try:
        with as_storage_error(path):
            renewed = list(_renewed(strict_yaml.parse(path.read_text(encoding="utf-8"))))
        return study.load(path, tuple(f"{model.place}='{model.here}'" for model in renewed)), renewed
    except (yaml.YAMLError, UnicodeDecodeError):
        raise StorageError(f"{path}: damaged; delete it and run again, no stage is lost.") from None
    except ConfigError as error:
        mistake = str(error).splitlines()[0].removeprefix(f"{path}: ")
        raise StorageError(
            f"{path}: damaged, or written with a plug-in or version of entropy-loop that is not installed here "
            f"({mistake}). Install that; or, if the file is damaged, delete it and run again, no stage is lost."
        ) from None


def _renewed(value: object, place: str = "") -> Iterator[_Renewed]:
    """The bundled models in a parsed config whose revision differs."""
    inner = value if isinstance(value, dict) else dict(enumerate(value)) if isinstance(value, list) else {}
    for name, entry in inner.items():
        yield from _renewed(entry, f"{place}{name}.")
    _, bundled, model = str(inner.get("model", inner.get("checkpoint"))).partition(assets.PREFIX)
    there, here = inner.get("revision"), assets.REVISIONS.get(model)
    if bundled and here and there not in (None, here):
        yield _Renewed(f"{place}revision", model, there, here)


def _flat(value: object, place: str = "") -> Iterator[tuple[str, object]]:
    """(dotted place, value) of everything in nested dicts; a list is one value."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{place}.{name}" if place else str(name))
    else:
        yield place, value
