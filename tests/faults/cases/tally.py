"""What a case comes to: one row of the matrix for each thing that was tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Row:
    """Distinct effects, those done more than once, those that are missing, and what was said."""

    what: str
    distinct: int
    duplicates: int
    lost: int
    outcome: str


def tally(
    what: str,
    effects: Mapping[tuple[str, str], int],
    wanted: Mapping[tuple[str, str], int],
    outcome: str,
) -> Row:
    """Compare what the target counted with what should have happened to each (product, entity).

    An effect on something that nobody wanted touched is a duplicate: there is one too many.
    """
    distinct = sum(min(count, wanted.get(at, 0)) for at, count in effects.items())
    duplicates = sum(max(0, count - wanted.get(at, 0)) for at, count in effects.items())
    lost = sum(max(0, count - effects.get(at, 0)) for at, count in wanted.items())
    return Row(what, distinct, duplicates, lost, outcome)
