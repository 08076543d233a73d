"""A slice of the guard property; the million is `python -m tests.playbooks.guard_property`."""

from __future__ import annotations

from tests.playbooks.guard_property import check


def test_no_effect_touches_a_listed_range_in_any_spelling() -> None:
    counted = check(8_000, seed=20261122)
    assert counted["acts"] > 800, "if nothing acts the property says nothing"
    assert counted["touches"] > 2_000
