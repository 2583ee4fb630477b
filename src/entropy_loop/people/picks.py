"""People as curators: which pools wait for picks, and what was picked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import pandas as pd

from entropy_loop.errors import Waiting
from entropy_loop.people.book import Book, now, opaque

PICKS = ("stage", "prompt", "rater", "id", "picked")
"""One row per candidate of a pool and rater who has finished with it."""


@dataclass(frozen=True)
class Pool:
    """Candidates of which `k` are to be picked, by so many raters; stage: the folder of the curation that waits."""

    pool: str
    stage: str
    prompt: str
    k: int
    raters: int


def ask(book: Book, pool: Pool, candidates: Iterable[tuple[str, str]]) -> None:
    """Ask for picks among the candidates, (file, id) each; a pool that is asked for already stays as it is."""
    with book.writing() as db:
        values = (pool.pool, pool.stage, pool.prompt, pool.k, pool.raters)
        if db.execute("INSERT OR IGNORE INTO pools VALUES (?, ?, ?, ?, ?)", values).rowcount:
            rows = [(opaque(), pool.pool, file, id_) for file, id_ in candidates]
            db.executemany("INSERT INTO candidates VALUES (?, ?, ?, ?)", rows)


def waiting(book: Book, rater: str | None = None) -> list[Pool]:
    """Pools that too few raters have finished with, in the order in which they were asked for; with `rater`, those that
    this one can still do."""
    found = book.rows(
        "SELECT pool, stage, prompt, k, raters FROM pools WHERE "
        "(SELECT count(*) FROM finished WHERE finished.pool = pools.pool) < raters AND "
        "NOT EXISTS (SELECT 1 FROM finished WHERE finished.pool = pools.pool AND rater = ?) ORDER BY rowid",
        rater or "",
    )
    return [Pool(*row) for row in found]


def candidates(book: Book, pool: Pool, rater: str) -> dict[str, bool]:
    """Opaque name -> whether the rater has picked it, in an order of the rater's own."""
    found = book.rows(
        "SELECT candidates.item, coalesce(picked, 0) FROM candidates "
        "LEFT JOIN picks ON picks.item = candidates.item AND picks.rater = ? WHERE pool = ?",
        rater, pool.pool,
    )  # fmt: skip
    return {item: bool(picked) for item, picked in sorted(found, key=lambda row: shuffled(rater, row[0]))}


def pick(book: Book, rater: str, item: str, picked: bool) -> bool:
    """Pick a candidate, or take the pick back. False where there is no such candidate, or its pool is finished."""
    with book.writing() as db:
        asked = db.execute(
            "SELECT 1 FROM candidates WHERE item = ? AND NOT EXISTS "
            "(SELECT 1 FROM finished WHERE finished.pool = candidates.pool AND rater = ?)", (item, rater),
        ).fetchone()  # fmt: skip
        if asked:
            db.execute(
                "INSERT INTO picks VALUES (?, ?, ?, ?) "
                "ON CONFLICT(rater, item) DO UPDATE SET picked = excluded.picked, at = excluded.at",
                (rater, item, picked, now()),
            )
        return bool(asked)


def finish(book: Book, rater: str, pool: str) -> bool:
    """The rater is done with a pool. False where it is none, or not exactly its k are picked."""
    with book.writing() as db:
        known = db.execute("SELECT k FROM pools WHERE pool = ?", (pool,)).fetchone()
        picked = db.execute(
            "SELECT count(*) FROM picks JOIN candidates USING (item) WHERE pool = ? AND rater = ? AND picked",
            (pool, rater),
        ).fetchone()
        if known is None or picked[0] != known[0]:
            return False
        db.execute("INSERT OR IGNORE INTO finished VALUES (?, ?, ?)", (rater, pool, now()))
        return True


def picks(book: Book) -> pd.DataFrame:
    """What the raters picked who have finished with a pool (columns PICKS)."""
    found = book.rows(
        "SELECT stage, prompt, finished.rater, candidates.id, coalesce(picked, 0) FROM finished "
        "JOIN pools USING (pool) JOIN candidates USING (pool) "
        "LEFT JOIN picks ON picks.rater = finished.rater AND picks.item = candidates.item "
        "ORDER BY stage, prompt, finished.rater, candidates.id"
    )
    return pd.DataFrame(found, columns=list(PICKS)).astype({"picked": bool})


def chosen(root: Path, pools: Sequence[Pool], table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Scores (columns id, score) of the candidates: the share of raters that picked each.

    pools: of one curation, one per prompt; table: the candidates' id, prompt and file (in `folder`, which lies below
    `root`). Asks for picks that nobody has asked for yet. Raises Waiting until of every pool so many raters as it wants
    have finished.
    """
    book, inside = Book(root), folder.relative_to(root)
    try:
        for pool in pools:
            rows = table[table["prompt"] == pool.prompt].itertuples()
            ask(book, pool, [(str(inside / str(row.file)), str(row.id)) for row in rows])
        told = picks(book)
    finally:
        book.close()
    return pd.concat([_shares(pool, told[told["stage"] == pool.stage]) for pool in pools], ignore_index=True)


def shuffled(rater: str, item: str) -> bytes:
    """Sorted by this, items have an order of each rater's own that tells nothing of them."""
    return blake2b(f"{rater}/{item}".encode(), digest_size=16).digest()


def _shares(pool: Pool, told: pd.DataFrame) -> pd.DataFrame:
    mine = told[told["prompt"] == pool.prompt]
    if (done := mine["rater"].nunique()) < pool.raters:
        raise Waiting(f"{done} of {pool.raters} people have picked the best {pool.k} images of {pool.prompt!r}")
    shares = mine.groupby("id")["picked"].mean()
    return pd.DataFrame({"id": shares.index, "score": shares.to_numpy()})
