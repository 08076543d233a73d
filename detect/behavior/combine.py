"""Observations of one entity and slice made into one: associative and commutative.

Where a bound is met, what is kept depends on the values alone: the smallest ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.behavior.observation import (
    FINDING,
    MAX_PLACES,
    MAX_TEXTS,
    MAX_TIMES,
    MAX_VALUES,
    Observation,
    Sample,
)
from detect.behavior.observer import bounded_counts, settle_samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def combine(observations: Sequence[Observation]) -> Observation:
    """One observation of the same entity and slice; raises ValueError for none.

    The inputs are left as they are.
    """
    if not observations:
        raise ValueError("there is nothing to combine")
    head = observations[0]
    if len(observations) == 1:
        return head
    made = Observation(
        head.entity,
        head.start,
        min(each.first for each in observations),
        max(each.last for each in observations),
        max(each.peer for each in observations),
    )
    made.samples = sorted({s for each in observations for s in each.samples})
    places = {sample: at for at, sample in enumerate(made.samples)}
    for each in observations:
        for name, amount in each.sums.items():
            made.sums[name] = made.sums.get(name, 0) + amount
    made.counts = _counts(observations, places)
    settle_samples(made)
    names = sorted({name for each in observations for name in each.texts})
    for name in names:
        texts = {text for each in observations for text in each.texts.get(name, ())}
        made.texts[name] = sorted(texts)[:MAX_TEXTS]
    made.times = _times(observations)
    made.places = sorted({place for each in observations for place in each.places})[:MAX_PLACES]
    return made


def _counts(
    observations: Iterable[Observation], places: dict[Sample, int]
) -> dict[str, dict[str, list[float]]]:
    made: dict[str, dict[str, list[float]]] = {}
    for each in observations:
        renumbered = [places[sample] for sample in each.samples]
        for feature, told in each.counts.items():
            into, severity = made.setdefault(feature, {}), feature == FINDING
            for value, (amount, sample) in told.items():
                at = renumbered[int(sample)] if sample >= 0 else -1
                if (known := into.get(value)) is None:
                    into[value] = [amount, at]
                else:
                    known[0] = max(known[0], amount) if severity else known[0] + amount
                    if at >= 0 and (known[1] < 0 or at < known[1]):
                        known[1] = at
    return {
        feature: bounded_counts(told) if len(told) > MAX_VALUES else told
        for feature, told in made.items()
    }


def _times(observations: Iterable[Observation]) -> dict[str, dict[str, list[int]]]:
    made: dict[str, dict[str, list[int]]] = {}
    for each in observations:
        for feature, told in each.times.items():
            into = made.setdefault(feature, {})
            for value, moments in told.items():
                into[value] = into.get(value, []) + moments
    return {
        feature: {value: sorted(told[value])[:MAX_TIMES] for value in sorted(told)[:MAX_VALUES]}
        for feature, told in made.items()
    }
