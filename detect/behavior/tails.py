"""How unlikely a count or an amount is: -log10 of the probability of at least that much."""

from __future__ import annotations

from math import erfc, exp, lgamma, log, log10, pi, sqrt

#: Surprise beyond which nothing is any more unlikely to people.
MOST = 300.0


def of_count(count: float, mean: float) -> float:
    """-log10 P(X >= count), X Poisson with `mean`; 0 for nothing unusual, at most MOST."""
    if count <= mean or count < 1:
        return 0.0
    mean = max(mean, 1e-9)
    first = -mean + count * log(mean) - lgamma(count + 1)
    total, term, at = 1.0, 1.0, count
    for _ in range(200):
        at += 1
        term *= mean / at
        total += term
        if term < 1e-12 * total:
            break
    return min(MOST, max(0.0, -(first + log(total)) / log(10)))


def of_scales(scales: float) -> float:
    """-log10 P(X >= scales), X standard normal; 0 below the median."""
    if scales <= 0:
        return 0.0
    if scales < 8:
        return -log10(erfc(scales / sqrt(2)))
    return min(MOST, _far(scales))


def _far(scales: float) -> float:
    """The normal tail where it is too small to compute: its asymptotic form."""
    return scales * scales / 2 / log(10) + log10(scales * sqrt(2 * pi)) - log10(2)


def of_regularity(intervals: int, mean: float, deviation: float) -> float:
    """How much better a regular clock explains intervals than chance does, in decimal digits.

    The logarithm of the likelihood ratio of a gamma distribution with the shape that `mean` and
    `deviation` say (at most 400: no clock is better) against the exponential one.
    """
    if intervals < 2 or mean <= 0:
        return 0.0
    shape = min(400.0, (mean / max(deviation, 1e-9)) ** 2)
    if shape <= 1:
        return 0.0
    # Of log x under that gamma: log mean + digamma(shape) - log shape, about -1/(2 shape).
    each = shape * log(shape) - lgamma(shape) - shape + 1 - (shape - 1) / (2 * shape)
    return min(MOST, max(0.0, intervals * each / log(10) - log10(intervals)))


def decayed(amount: float, passed: float, half_life: float) -> float:
    """What is left of an amount after a time; both times in the same unit."""
    return amount * exp(-log(2) * max(0.0, passed) / half_life)
