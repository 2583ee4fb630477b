"""Laws of selection: what a policy does to a Gaussian trait and to rates, exact for pools of any size.

Generation 0 is the truth: a trait of mean 0 and variance 1, or concepts shown at given rates. n is the images of a
pool; mu, S and V are mean, variance and rate that the last generation has learnt. docs/laws.md holds derivations.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from entropy_loop.commands.selfcheck.bench import Bench, Claim

Number = TypeVar("Number", float, np.ndarray)


def best(bench: Bench, k: float, correlation: float) -> Iterator[Claim]:
    """E[mu] = r i and E[S] = 1 - r² (1 - v) (docs/laws.md, E9, for a pool of n): given the (k+1)-th best score u, the k
    best are independent draws above u, of mean i and variance v, and Φ(u) is Beta(n - k, k + 1)."""
    from scipy.stats import beta, norm

    n = 40
    kept = round(k * n)
    rank = beta(n - kept, kept + 1)
    i, v = (rank.expect(lambda p, which=which: _above(norm.ppf(p))[which]) for which in (0, 1))
    curate = {"scorer": {"use": "trait", "correlation": correlation}, "policy": {"use": "top_k", "k": k}}
    mean, variance = bench.pools(n, 1, generator={"fit": "unbiased"}, curate=curate)
    yield "E[mu]", correlation * i, mean[0, :, 0]
    yield "E[S]", 1 - correlation**2 * (1 - v), variance[1, :, 0]


def breeding(bench: Bench, policy: str, sign: int) -> Iterator[Claim]:
    """E[mu] = ± T i with known variance: every step moves the mean by that of the best (worst) of n images
    (docs/laws.md, E9)."""
    from scipy.stats import beta, norm

    n, steps = 10, 2
    curate = {"scorer": {"use": "trait"}, "policy": {"use": policy, "k": 1}}
    mean, _ = bench.pools(n, steps, generator={"fit": "known_variance"}, curate=curate)
    yield "E[mu]", sign * steps * beta(n, 1).expect(norm.ppf), mean.ravel()


def threshold(bench: Bench) -> Iterator[Claim]:
    """E[mu] and E[S] are mean and variance of a normal number above the threshold, however many are kept
    (docs/laws.md, E9)."""
    score = 0.2
    curate = {"scorer": {"use": "trait"}, "policy": {"use": "threshold", "score": score}}
    mean, variance = bench.pools(40, 1, generator={"fit": "unbiased"}, curate=curate)
    i, v = _above(score)
    yield "E[mu]", i, mean[0, :, 0]
    yield "E[S]", v, variance[1, :, 0]


def _above(u: Number) -> tuple[Number, Number]:
    """Mean i = φ(u) / (1 - Φ(u)) and variance 1 - i (i - u) of a standard normal number above u."""
    from scipy.stats import norm

    i = np.exp(norm.logpdf(u) - norm.logsf(u))
    return i, 1 - i * (i - u)


def choice(bench: Bench, n: int, candidates: int, reward: float) -> Iterator[Claim]:
    """E[V] = E[q] and E[V (1 - V)] = (1 - 1/n) E[q (1 - q)] (docs/laws.md, E10, for a pool of n): given the rate x in
    the pool, n x binomial, each of n choices falls on the concept with probability
    q = sum_j C(K,j) x^j (1-x)^(K-j) j e^D / (j e^D + K - j), D its reward, K candidates drawn with replacement."""
    from scipy.stats import binom

    rate, hits, j = 0.4, np.arange(n + 1), np.arange(candidates + 1)
    chosen = j * np.exp(reward) / (j * np.exp(reward) + candidates - j)
    q, pool = binom.pmf(j, candidates, hits[:, None] / n) @ chosen, binom.pmf(hits, n, rate)
    shares = bench.shares(n, 1, {"x": rate}, curate=_choice(candidates, reward))[0]
    yield "E[V]", pool @ q, shares[0]
    yield "E[V(1-V)]", (1 - 1 / n) * pool @ (q * (1 - q)), shares[1] * (1 - shares[1])


def choice_categories(bench: Bench) -> Iterator[Claim]:
    """p'_i = p_i (1/n + (1 - 1/n) sum_j p_j 2 e^(r_i) / (e^(r_i) + e^(r_j))) (docs/laws.md, E10, K = 2, for a pool of
    n): two candidates are one and the same image with probability 1/n, else independent. Two concepts make four
    categories."""
    n, a, b, beta = 8, 0.5, 0.3, 2.0
    p = np.array([(1 - a) * (1 - b), a * (1 - b), (1 - a) * b, a * b])  # shown: neither, a, b, both
    weight = np.exp(beta * np.array([0, 1, 1, 2]))
    chosen = p * (1 / n + (1 - 1 / n) * (2 * weight[:, None] / (weight[:, None] + weight)) @ p)
    shares = bench.shares(n, 1, {"a": a, "b": b}, curate=_choice(2, beta))
    yield "E[V a]", chosen[1] + chosen[3], shares[0, 0]
    yield "E[V b]", chosen[2] + chosen[3], shares[1, 1]


def _choice(candidates: int, beta: float) -> dict[str, object]:
    policy = {"use": "k_choice", "k": 1.0, "candidates": candidates, "beta": beta}
    return {"scorer": {"use": "exact"}, "policy": policy}


FOUR = ("a", "b", "c", "d")
"""Concepts that drift side by side. What one image shows of them travels together, so only the mean over the four
counts as a chain."""


def drift(bench: Bench) -> Iterator[Claim]:
    """E[V] = V_0 and Var(V) = V_0 (1 - V_0) (1 - (1 - 1/n)^T) (docs/laws.md, E11)."""
    n, steps, rate = 10, 3, 0.3
    shares = bench.shares(n, steps, dict.fromkeys(FOUR, rate))
    yield "E[V]", rate, shares[:, 0].mean(axis=0)
    yield "Var(V)", rate * (1 - rate) * (1 - (1 - 1 / n) ** steps), ((shares[:, 1] - rate) ** 2).mean(axis=0)


def missed(bench: Bench) -> Iterator[Claim]:
    """A concept of rate q is gone after one step with probability (1 - q)^n (docs/laws.md, E11)."""
    n, rate = 10, 0.1
    shares = bench.shares(n, 1, dict.fromkeys(FOUR, rate))
    yield "P(V = 0)", (1 - rate) ** n, (shares == 0).mean(axis=0).ravel()
