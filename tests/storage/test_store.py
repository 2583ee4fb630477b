import errno
import fcntl
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from entropy_loop.data import Stage
from entropy_loop.errors import Locked, StorageError
from entropy_loop.storage import receipts
from entropy_loop.storage.disk import write_text
from entropy_loop.storage.store import Store

STAGE = Stage("draw", 3, "abc123", {"verb": "draw", "seed": 1})


def write(out, tick) -> None:
    (out / "sub").mkdir()
    (out / "sub" / "it.txt").write_text("made")


def refuse(out, tick) -> None:
    pytest.fail("a finished stage was made again")


def test_a_stage_is_made_once(tmp_path):
    """The second call opens the folder of the first and makes nothing."""
    store = Store(tmp_path)
    folder = store.once(STAGE, write)
    assert (folder / "sub" / "it.txt").read_text() == "made"
    assert store.once(STAGE, refuse) == folder == store.finished(STAGE)


def test_a_receipt_records_what_was_made_and_from_what(tmp_path):
    """The receipt holds the stage's identity, the provenance, and size and SHA-256 of every file."""
    Store(tmp_path, {"python": "3"}).once(STAGE, write)
    receipt = receipts.read(Store(tmp_path).stages / STAGE.folder)
    assert receipt["stage"] == {"verb": "draw", "generation": 3, "key": "abc123", "reads": dict(STAGE.reads)}
    assert receipt["provenance"] == {"python": "3"}
    assert receipt["files"] == {"sub/it.txt": {"bytes": 4, "sha256": hashlib.sha256(b"made").hexdigest()}}


def test_a_maker_that_fails_leaves_no_result(tmp_path):
    """An error in the work is raised as it is; nothing counts as finished, and the next call makes it whole."""

    def fail(out, tick) -> None:
        (out / "half.txt").write_text("half")
        raise ZeroDivisionError

    store = Store(tmp_path)
    with pytest.raises(ZeroDivisionError):
        store.once(STAGE, fail)
    assert store.finished(STAGE) is None
    folder = store.once(STAGE, write)
    assert sorted(p.name for p in folder.iterdir()) == [receipts.FILE, "sub"]


def test_a_folder_without_a_receipt_is_no_result(tmp_path):
    """Files in the right place without the mark that comes last are thrown away and made again."""
    store = Store(tmp_path)
    (store.stages / STAGE.folder).mkdir(parents=True)
    (store.stages / STAGE.folder / "old.txt").write_text("old")
    assert store.finished(STAGE) is None
    assert not (store.once(STAGE, write) / "old.txt").exists()


def test_a_kill_in_the_middle_leaves_nothing_that_counts(tmp_path):
    """SIGKILL during the work: the stage is not finished, the lock is free, what was half done goes."""
    code = (
        "import os, signal, sys; from pathlib import Path; from entropy_loop.storage.store import Store;"
        "from entropy_loop.data import Stage; store = Store(Path(sys.argv[1]));"
        "make = lambda out, tick: ((out / 'half.txt').write_text('half'), os.kill(os.getpid(), signal.SIGKILL))\n"
        "with store.lock(): store.once(Stage('draw', 3, 'abc123', {}), make)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    store = Store(tmp_path)
    assert killed.returncode == -signal.SIGKILL
    assert store.finished(STAGE) is None
    assert [p.name for p in store.stages.rglob("half.txt")] == ["half.txt"]
    with store.lock():
        assert (store.once(STAGE, write) / "sub" / "it.txt").is_file()
    assert list(store.stages.rglob("half.txt")) == []


def test_one_process_works_in_a_folder(tmp_path):
    """While another process holds the folder, the lock is refused at once; afterwards it is free."""
    code = (
        "import sys; from pathlib import Path; from entropy_loop.storage.store import Store\n"
        "with Store(Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    )
    line = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Locked, match=rf"process {other.pid} on"), Store(tmp_path).lock():
            pytest.fail("two processes hold one folder")
        other.communicate("")
    with Store(tmp_path).lock():
        assert (tmp_path / "store").is_dir()


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path):
    """A results folder below a regular file is refused in one sentence that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/child.*Not a directory"), Store(tmp_path / "file" / "child").lock():
        pytest.fail("a folder below a file was made")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, number):
    """Before anything is made, with what to do."""

    def flock(*arguments) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(StorageError, match=r"has no locks.*another disk with --out"),
        Store(tmp_path).lock(),
    ):
        pytest.fail("a folder without locks was used")


def test_a_database_that_cannot_be_locked_is_refused(tmp_path, monkeypatch):
    """SQLite's own name for it: the lock of the folder is one of its files."""

    def refused(*arguments, **options) -> None:
        error = sqlite3.OperationalError("locking protocol")
        error.sqlite_errorname = "SQLITE_PROTOCOL"
        raise error

    monkeypatch.setattr("filelock.ReadWriteLock.acquire_write", refused)
    with pytest.raises(StorageError, match=r"has no locks \(locking protocol"), Store(tmp_path).lock():
        pytest.fail("a folder without locks was used")


def fill_the_disk(out, tick) -> None:
    raise OSError(28, "No space left on device", "big file")


def test_a_failing_disk_during_a_stage_is_a_storage_error(tmp_path):
    """An OSError of a maker becomes a StorageError with the path."""
    with pytest.raises(StorageError, match="big file: No space left"):
        Store(tmp_path).once(STAGE, fill_the_disk)


def test_a_failing_disk_while_the_folder_is_held_is_a_storage_error(tmp_path):
    """So does one that comes between the stages, as when tables are written."""
    with pytest.raises(StorageError, match="big file: No space left"), Store(tmp_path).lock():
        fill_the_disk(tmp_path, None)


@pytest.mark.parametrize("error", [OSError("a library's own words"), BrokenPipeError(32, "Broken pipe")])
def test_an_error_that_is_no_failure_of_the_disk_is_raised_as_it_is(tmp_path, error):
    """An OSError that a library raised itself, or that means that a reader has gone away, is raised as it is."""

    def fail(out, tick) -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        Store(tmp_path).once(STAGE, fail)
    assert raised.value is error


def test_a_listener_hears_the_work_and_the_log_keeps_it(tmp_path):
    """started, working with the share done, finished; later opened. events.jsonl has one line per stage made."""
    heard = []
    store = Store(tmp_path, listen=lambda event, stage, share: heard.append((event, share)))
    store.once(STAGE, lambda out, tick: tick(0.25))
    store.once(STAGE, refuse)
    assert heard == [("started", 0.0), ("working", 0.25), ("finished", 1.0), ("opened", 1.0)]
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["stage"] for line in lines] == ["g03-draw-abc123"]


def test_a_text_is_replaced_whole(tmp_path):
    """A file is written beside its place and renamed: the folder holds the new text and no leftovers."""
    for text in ("first\n", "zweiter Text: ä\n"):
        write_text(tmp_path / "new" / "it.txt", text)
        assert (tmp_path / "new" / "it.txt").read_bytes() == text.encode()
    assert os.listdir(tmp_path / "new") == ["it.txt"]
