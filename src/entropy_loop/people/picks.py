"""People as curators: pools that wait for picks, and the picks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import pandas as pd

from entropy_loop.errors import Waiting
from entropy_loop.people.book import Book, now, opaque

PICKS = ("stage", "prompt", "rater", "id", "picked")
"""One row per candidate and rater, for raters who have finished the candidate's pool."""


@dataclass(frozen=True)
class Pool:
    """A pool from which `raters` people pick `k` candidates each. stage: the folder of the curate stage that waits."""

    pool: str
    stage: str
    prompt: str
    k: int
    raters: int


def ask(book: Book, pool: Pool, candidates: Iterable[tuple[str, str]]) -> None:
    """Ask for picks among the candidates, given as (file, id). A pool that is asked for already does not change."""
    with book.writing() as db:
        values = (pool.pool, pool.stage, pool.prompt, pool.k, pool.raters)
        if db.execute("INSERT OR IGNORE INTO pools VALUES (?, ?, ?, ?, ?)", values).rowcount:
            rows = [(opaque(), pool.pool, file, id_) for file, id_ in candidates]
            db.executemany("INSERT INTO candidates VALUES (?, ?, ?, ?)", rows)


def waiting(book: Book, rater: str | None = None) -> list[Pool]:
    """Pools that need more raters, in the order in which they were added; with `rater`, only those that this rater has
    not finished."""
    rows = book.rows(
        "SELECT pool, stage, prompt, k, raters FROM pools WHERE "
        "(SELECT count(*) FROM finished WHERE finished.pool = pools.pool) < raters AND "
        "NOT EXISTS (SELECT 1 FROM finished WHERE finished.pool = pools.pool AND rater = ?) ORDER BY rowid",
        rater or "",
    )
    return [Pool(*row) for row in rows]


def candidates(book: Book, pool: Pool, rater: str) -> dict[str, bool]:
    """Opaque name of each candidate -> whether the rater has picked it, shuffled for this rater."""
    rows = book.rows(
        "SELECT candidates.item, coalesce(picked, 0) FROM candidates "
        "LEFT JOIN picks ON picks.item = candidates.item AND picks.rater = ? WHERE pool = ?",
        rater, pool.pool,
    )  # fmt: skip
    return {item: bool(picked) for item, picked in sorted(rows, key=lambda row: shuffle_key(rater, row[0]))}


def pick(book: Book, rater: str, item: str, picked: bool) -> bool:
    """Pick a candidate, or take the pick back. False for an unknown candidate or a pool that the rater has finished."""
    with book.writing() as db:
        is_open = db.execute(
            "SELECT 1 FROM candidates WHERE item = ? AND NOT EXISTS "
            "(SELECT 1 FROM finished WHERE finished.pool = candidates.pool AND rater = ?)", (item, rater),
        ).fetchone()  # fmt: skip
        if is_open:
            db.execute(
                "INSERT INTO picks VALUES (?, ?, ?, ?) "
                "ON CONFLICT(rater, item) DO UPDATE SET picked = excluded.picked, at = excluded.at",
                (rater, item, picked, now()),
            )
        return bool(is_open)


def finish(book: Book, rater: str, pool: str) -> bool:
    """Finish a pool for a rater. False for an unknown pool, or when not exactly k candidates are picked."""
    with book.writing() as db:
        wanted = db.execute("SELECT k FROM pools WHERE pool = ?", (pool,)).fetchone()
        picked = db.execute(
            "SELECT count(*) FROM picks JOIN candidates USING (item) WHERE pool = ? AND rater = ? AND picked",
            (pool, rater),
        ).fetchone()
        if wanted is None or picked[0] != wanted[0]:
            return False
        db.execute("INSERT OR IGNORE INTO finished VALUES (?, ?, ?)", (rater, pool, now()))
        return True


def picks(book: Book) -> pd.DataFrame:
    """The picks in finished pools (columns PICKS)."""
    rows = book.rows(
        "SELECT stage, prompt, finished.rater, candidates.id, coalesce(picked, 0) FROM finished "
        "JOIN pools USING (pool) JOIN candidates USING (pool) "
        "LEFT JOIN picks ON picks.rater = finished.rater AND picks.item = candidates.item "
        "ORDER BY stage, prompt, finished.rater, candidates.id"
    )
    return pd.DataFrame(rows, columns=list(PICKS)).astype({"picked": bool})


def scores(root: Path, pools: Sequence[Pool], table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Score each candidate by the share of raters who picked it (columns id, score).

    pools: those of one curate stage, one per prompt. table: the candidates' id, prompt and file, relative to `folder`,
    which lies below `root`. Adds pools that are not in the database yet. Raises Waiting until every pool has enough
    raters.
    """
    relative = folder.relative_to(root)
    with closing(Book(root)) as book:
        for pool in pools:
            rows = table[table["prompt"] == pool.prompt].itertuples()
            ask(book, pool, [(str(relative / str(row.file)), str(row.id)) for row in rows])
        collected = picks(book)
    return pd.concat([_shares(pool, collected) for pool in pools], ignore_index=True)


def shuffle_key(rater: str, item: str) -> bytes:
    """Sort key that gives each rater a shuffled order of their own."""
    return blake2b(f"{rater}/{item}".encode(), digest_size=16).digest()


def _shares(pool: Pool, collected: pd.DataFrame) -> pd.DataFrame:
    rows = collected[(collected["stage"] == pool.stage) & (collected["prompt"] == pool.prompt)]
    if (done := rows["rater"].nunique()) < pool.raters:
        raise Waiting(f"{done} of {pool.raters} people have picked the best {pool.k} images of {pool.prompt!r}")
    shares = rows.groupby("id")["picked"].mean()
    return pd.DataFrame({"id": shares.index, "score": shares.to_numpy()})
