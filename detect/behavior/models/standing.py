"""How models stand on live events, over all partitions; and what a promotion asks of that.

Read from what the behavior stage keeps; needs neither numpy nor the models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from detect.behavior.models.asking import BESIDE, WATCH
from detect.behavior.models.drift import OVER, over_budget
from detect.behavior.models.watch import Beside, Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a shadow must have been asked beside the model in force: slices, and days with some.
MIN_SLICES, MIN_DAYS = 200, 3
#: Most alerts a day of a shadow, as a multiple of what the model in force would have told.
MORE, FEW = 2.0, 0.5


class Standings:
    """Adds up what partitions keep; of two versions the one that was asked last counts."""

    def __init__(self) -> None:
        self.watches: dict[str, Watch] = {}
        self.besides: dict[str, Beside] = {}

    def restore(self, prefix: str, kind: str, value: bytes) -> bool:
        """Take a partition's; whether the key is a model's."""
        if prefix == WATCH:
            self.watch(kind, Watch.unpack(orjson.loads(value)))
        elif prefix == BESIDE:
            self.beside(kind, Beside.unpack(orjson.loads(value)))
        return prefix in (WATCH, BESIDE)

    def watch(self, kind: str, other: Watch) -> None:
        """Add a partition's watch."""
        own = self.watches.get(kind)
        if own is not None and own.version == other.version:
            own.add(other)
        elif own is None or own.day < other.day:
            self.watches[kind] = other

    def beside(self, kind: str, other: Beside) -> None:
        """Add a partition's comparison."""
        own = self.besides.get(kind)
        if own is not None and (own.shadow, own.active) == (other.shadow, other.active):
            own.add(other)
        elif own is None or own.until < other.until:
            self.besides[kind] = other

    def told(self) -> list[dict[str, Any]]:
        """For people and programs: a row for each kind."""
        rows = []
        for kind in sorted({*self.watches, *self.besides}):
            row: dict[str, Any] = {"model": kind}
            if (watch := self.watches.get(kind)) is not None:
                row |= watched(watch)
            if (beside := self.besides.get(kind)) is not None:
                row["shadow"] = beside.told()
            rows.append(row)
        return rows


def watched(watch: Watch) -> dict[str, Any]:
    """One version's drift: `verdict` is that of the figure that moved most."""
    drifts = watch.drifts()
    return {
        "version": watch.version,
        "detector": watch.detector,
        "rows": round(watch.rows),
        "alerts_a_day": round(watch.alerts / watch.days, 3) if watch.days else 0.0,
        "verdict": drifts[0].verdict if drifts else "too few",
        "figures": {each.name: each.psi for each in drifts},
    }


def alarms(row: Mapping[str, Any], budget: float) -> list[str]:
    """What is wrong with a model, of a row of `told`; `budget` is its detector's alerts a day."""
    found = []
    if row.get("verdict") == "drifted":
        name, moved = next(iter(row["figures"].items()))
        found.append(f"{name} has drifted: {moved:.2f}")
    rate = row.get("alerts_a_day", 0.0)
    if over_budget(rate, 1.0, budget) > OVER:
        found.append(f"{rate:.1f} alerts a day against a budget of {budget:g}")
    return found


def against(row: Mapping[str, Any] | None, shadow: str, active: str) -> list[str]:
    """What live events say against promoting `shadow` in place of `active`; nothing if it may be.

    A kind without a model in force has nothing to lose: its first one needs no evidence.
    """
    if not active:
        return []
    seen = row.get("shadow") if row else None
    if not seen or seen["shadow"] != shadow or seen["active"] != active:
        return ["it has not scored live events beside the model in force"]
    found = []
    if seen["slices"] < MIN_SLICES or seen["days"] < MIN_DAYS:
        found.append(
            f"it has scored {seen['slices']} slices on {seen['days']} days beside the model in"
            f" force; {MIN_SLICES} on {MIN_DAYS} are asked for"
        )
    ours, theirs = seen["alerts_a_day"], seen["alerts_a_day_of_shadow"]
    if theirs > MORE * ours + FEW:
        found.append(f"it would have told {theirs:g} alerts a day, the model in force {ours:g}")
    return found
