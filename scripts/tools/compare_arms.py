"""Are two arms of a study equivalent? For options that should change nothing, such as `generator.precision`.

    python -m scripts.tools.compare_arms results/precision

Each number is averaged in each chain over the generations after the first pool in which every chain has it. Its
difference between the arms is taken in pairs of chains with the same seed; of all but V relative to the first arm. The
arms are equivalent in a number when the 95 % t interval of the mean difference lies inside the margin. Prints a
Markdown table with the number of generations used.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

import entropy_loop as el
from entropy_loop.metrics.chains import describe

MARGINS = {"V": 0.05, "vendi": 0.1, "mean_pairwise_distance": 0.1, "entropy": 0.1}
"""V: images recognised, as a share. The others: relative to the first arm."""


def numbers(results: el.Results) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(name, key of its margin, rows with arm, seed, generation and value) of every number compared."""
    for concept, rows in results.rates.query("set == 'pool' and role == 'target'").groupby("concept"):
        yield f"V({concept})", "V", rows.rename(columns={"rate": "value"})
    for metric in ("vendi", "mean_pairwise_distance"):
        yield metric, metric, results.diversity.query("metric == @metric and reference == 'none'")
    entropies = results.tails.query("item == 'entropy' and reference == 'none'")
    for attribute, rows in entropies.groupby("attribute"):
        yield f"entropy of {attribute}", "entropy", rows


def by_generation(rows: pd.DataFrame) -> pd.DataFrame:
    """The generations after 0 in which every chain has a value; a column per arm and seed."""
    return rows.query("generation > 0").pivot(index="generation", columns=["arm", "seed"], values="value").dropna()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path)
    results = el.open_results(parser.parse_args().results)
    arms = list(dict.fromkeys(results.rates["arm"]))
    if len(arms) != 2 or results.rates["judge"].nunique() != 1:
        raise SystemExit("compare_arms: takes results of two arms and one judge.")
    first, second = arms
    print(f"| number | generations | {first} | {second} | difference, 95 % | margin | |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, kind, rows in numbers(results):
        table = by_generation(rows)
        chains = table.mean().unstack("arm").reindex(columns=arms)  # an arm may lack the number
        base = chains[first].mean()
        scale = 1.0 if kind == "V" else base
        change = describe(np.asarray((chains[second] - chains[first]) / scale))
        margin = MARGINS[kind]
        inside = change.low is not None and change.high is not None and -margin < change.low and change.high < margin
        span = "" if change.low is None else f"{change.mean:+.3f} [{change.low:+.3f}, {change.high:+.3f}]"
        state = "equivalent" if inside else "not shown"
        print(f"| {name} | {len(table)} | {base:.3f} | {chains[second].mean():.3f} | {span} | {margin} | {state} |")


if __name__ == "__main__":
    main()
