"""The sixteen failure cases: what each tries, one scenario after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.cases import alerts, crashes, lasting, leasing, people, poison
from tests.faults.cases.world import world

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.faults.cases.tally import Row
    from tests.faults.cases.world import Backend, World

    Scenario = Callable[[World], Awaitable[list[Row]]]

#: Scenarios by the number of the case.
CASES: dict[int, tuple[Scenario, ...]] = {
    1: (crashes.after_the_effect,),
    2: (crashes.after_started,),
    3: (crashes.between_output_and_commit,),
    4: (alerts.repeated,),
    5: (crashes.rebalanced, crashes.frozen),
    6: (poison.quarantined,),
    7: (alerts.slow_connector, alerts.retry_after),
    8: (
        leasing.expires_while_down, leasing.at_the_same_instant, leasing.one_of_two_leaves,
        leasing.undo_fails_for_an_hour,
    ),
    9: (people.approvals,),
    10: (alerts.guarded,),
    11: (alerts.clocks_jump,),
    12: (lasting.rebuilt,),
    13: (lasting.upgraded,),
    14: (lasting.outage,),
    15: (lasting.secret_rotated,),
    16: (people.storm, people.common_question),
}  # fmt: skip


async def tried(number: int, backend: Backend, directory: Path) -> list[Row]:
    """Play a case; its rows."""
    rows = []
    for scenario in CASES[number]:
        async with world(backend, directory / scenario.__name__) as made:
            rows += await scenario(made)
    return rows


async def holds(number: int, backend: Backend, directory: Path) -> None:
    """Play a case; nothing may be lost or done twice."""
    for row in await tried(number, backend, directory):
        assert (row.duplicates, row.lost) == (0, 0), row
