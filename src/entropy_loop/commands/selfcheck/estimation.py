"""Laws of estimation: what fitting a Gaussian to its own samples does to mean and variance, regime by regime.

The truth has mean 0 and variance 1. Generation 0 is the truth and its pool the first data, so generation T is the
T-th fit. mu and S are its mean and variance, n the images per generation. docs/laws.md holds derivations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod

import numpy as np

from entropy_loop.commands.selfcheck.bench import NUMBERS, Bench, Claim

ML, UNBIASED, KNOWN = ({"fit": fit} for fit in ("ml", "unbiased", "known_variance"))
FITS = 6
WORLD = {"use": "gaussian", "dimensions": NUMBERS}


def replace_ml(bench: Bench, feedback: Mapping[str, object]) -> Iterator[Claim]:
    """E[S] = (1 - 1/n)^T and E[mu²] = 1 - (1 - 1/n)^T (docs/laws.md, E1)."""
    n, steps = 5, 4
    mean, variance = bench.numbers(n, steps, generator=ML, feedback=feedback)
    yield "E[S]", (1 - 1 / n) ** steps, variance[0]
    yield "E[mu²]", 1 - (1 - 1 / n) ** steps, mean[1] ** 2


def replace_unbiased(bench: Bench, images: int, policy: Mapping[str, object]) -> Iterator[Claim]:
    """E[S] = 1 for ever, yet S dies (docs/laws.md, E2): E[mu²] = T/n, E[√S] = c^T, c = √(2/(n-1)) Γ(n/2) / Γ((n-1)/2),
    and E[log S] = T (ψ((n-1)/2) - log((n-1)/2)). Where n are kept without a look at them, all the same (E9, r = 0)."""
    from scipy.special import gammaln, psi

    n, steps = 5, 4
    mean, variance = bench.numbers(images, steps, generator=UNBIASED, curate={"policy": policy})
    c = float(np.sqrt(2 / (n - 1)) * np.exp(gammaln(n / 2) - gammaln((n - 1) / 2)))
    yield "E[S]", 1.0, variance[0]
    yield "E[mu²]", steps / n, mean[1] ** 2
    yield "E[√S]", c**steps, np.sqrt(variance[2])
    yield "E[log S]", steps * float(psi((n - 1) / 2) - np.log((n - 1) / 2)), np.log(variance[3])


def sampling_bias(bench: Bench) -> Iterator[Claim]:
    """E[S] = λ^T and E[mu²] = (λ + ... + λ^T) / n (docs/laws.md, E3, σ² = λ: pool 0 is sampled with λ, too)."""
    n, steps, bias = 10, 5, 0.8
    mean, variance = bench.numbers(n, steps, generator={**UNBIASED, "sampling_bias": bias})
    yield "E[S]", bias**steps, variance[0]
    yield "E[mu²]", sum(bias**s for s in range(1, steps + 1)) / n, mean[1] ** 2


def accumulate_ml(bench: Bench, feedback: Mapping[str, object]) -> Iterator[Claim]:
    """E[S] = prod_t (1 - 1/(n t²)) and E[mu²] = 1 - E[S] (docs/laws.md, E4)."""
    n, steps = 4, FITS
    mean, variance = bench.numbers(n, steps, generator=ML, feedback=feedback)
    left = prod(1 - 1 / (n * t**2) for t in range(1, steps + 1))
    yield "E[S]", left, variance[0]
    yield "E[mu²]", 1 - left, mean[1] ** 2


def accumulate_known(bench: Bench) -> Iterator[Claim]:
    """E[mu²] = sum_t 1/(n t²) (docs/laws.md, E5)."""
    n, steps = 4, 6
    mean, _ = bench.numbers(n, steps, generator=KNOWN, feedback={"use": "accumulate"})
    yield "E[mu²]", sum(1 / (n * t**2) for t in range(1, steps + 1)), mean[0] ** 2


def subsample(bench: Bench) -> Iterator[Claim]:
    """Accumulate-subsample (Kazdan et al. 2024, arXiv 2410.16713), known variance. X[r,s] = E[x_r x_s] with x_t the
    mean of batch t, M the mean of the t batches so far, mu the mean of n of their t n images, drawn without
    replacement. Then E[mu x_s] = E[M x_s] = X[t+1,s], for the next batch is drawn around mu; E[mu²] =
    E[M²] + (1 - 1/t) E[V] / n with V the variance (divisor t n - 1) of the t n images; X[t+1,t+1] = E[mu²] + 1/n."""
    n, steps = 4, 3
    x, square = np.full((1, 1), 1 / n), 0.0
    for t in range(1, steps + 1):
        row, whole = x.mean(axis=0), x.mean()
        spread = (n * np.trace(x) + t * (n - 1) - t * n * whole) / (t * n - 1)
        square = whole + (1 - 1 / t) * spread / n
        x = np.block([[x, row[:, None]], [row, square + 1 / n]])
    # All numbers of an image are drawn or left together, so only their mean counts as a chain.
    generator = {**KNOWN, "dimensions": 100}
    mean, _ = bench.pools(n, steps, generator=generator, feedback={"use": "accumulate_subsample"})
    yield "E[mu²]", square, (mean**2).mean(axis=-1).ravel()


def real_data(bench: Bench, regime: str) -> Iterator[Claim]:
    """Both cases at once (docs/laws.md, E7). p is the share of real images, q = 1 - p, d = E[mu²], s = E[S],
    m = E[mu r] with r the mean of the next step's real images: m' = p/n_r + q m for a fixed set, 0 for fresh ones. Then
    d' = p²/n_r + 2 p q m + q² (d + s/n_s) and
    s' = p (1 - 1/n_r) + q s (1 - 1/n_s) + p q (1/n_r - 2 m + d + s/n_s)."""
    real, made, steps = 5, 10, 4
    p, q = real / (real + made), made / (real + made)
    d, s, m = 0.0, 1.0, 0.0
    for _ in range(steps):
        far = d + s / made
        s = p * (1 - 1 / real) + q * s * (1 - 1 / made) + p * q * (1 / real - 2 * m + far)
        d = p**2 / real + 2 * p * q * m + q**2 * far
        m = p / real + q * m if regime == "mix_real" else 0.0
    mean, variance = bench.numbers(made, steps, generator=ML, feedback={"use": regime, "real_fraction": p}, real=WORLD)
    yield "E[mu²]", d, mean[0] ** 2
    yield "E[S]", s, variance[1]


def golden_ratio(bench: Bench, weight: float) -> Iterator[Claim]:
    """n E[mu²] = (w² + v²) (1 + v² + ... + v^(2T-2)), v = 1 - w, w the weight of n fresh real images beside n made
    ones. Its limit is least, 0.618, at w = 0.618 (docs/laws.md, E8)."""
    n, steps, left = 4, 5, 1 - weight
    generator = {**KNOWN, "real_weight": weight}
    feedback = {"use": "fresh_real", "real_fraction": 0.5}
    mean, _ = bench.numbers(n, steps, generator=generator, feedback=feedback, real=WORLD)
    yield "n E[mu²]", (weight**2 + left**2) * sum(left ** (2 * t) for t in range(steps)), n * mean[0] ** 2
