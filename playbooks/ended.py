"""What is kept of runs that have ended: first the run, soon only what a late command must find.

The history of a run is in the `runs` topic and in the store; its state is for going on. So a while
after its end a run becomes a *tombstone*, a tenth of its size, to which every command means just
what it meant to the run: a further alert of the same key, an answer or a result that comes twice, a
cancellation by the run that called it. A run that still waits for a result stays as it is. After
`RETENTION` either is forgotten. When is a function of the run and of the commands' time alone.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from playbooks.run_state import Phase, RunState, StepState

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A finished run is remembered this long, ms: a late result or alert must find it.
RETENTION = 7 * 86_400_000
#: How long after its end a run is kept whole, ms.
KEPT_WHOLE = 10 * 60_000

#: Runs whose time comes together are taken together: those of so many ms.
SHRINK_TOGETHER, FORGET_TOGETHER = 1_000, 60_000

#: Key of a tombstone, in place of `finished`, by which it is told from a run.
TOMB = "tomb"
_TOMB = b'{"tomb":'


def tombstone(run: RunState) -> dict[str, Any] | None:
    """What late commands need of a finished run; None if a result of it is still to come."""
    if run.outbox or any(_awaited(step) for step in run.steps.values()):
        return None
    first = next(iter(run.attached), "")
    small = run.model_copy(
        update={
            "alert_id": "" if run.alert_id == first else run.alert_id,
            "steps": {path: kept for path, step in run.steps.items() if (kept := _kept(run, step))},
            "timers": {},
            "reason": "",
            "fault": "",
            "lacking": "",
        }
    ).to_json()
    for name in ("run_id", "version", "started", "finished", "phase"):
        small.pop(name, None)
    return {TOMB: run.finished, **small}  # in this order: `_TOMB` is how it begins


def _awaited(step: StepState) -> bool:
    """Whether an attempt has no result yet: it may have happened, and will be told of."""
    return bool(step.effect_id) and step.attempt not in step.answered


def _kept(run: RunState, step: StepState) -> StepState | None:
    """A step that a late answer may be for, others ask together with, or a caller may take back."""
    kept: dict[str, Any] = {}
    if step.approval is not None:
        known = {"plan": "", "group": "", **step.approval.model_dump(include=_OF_AN_APPROVAL)}
        kept["approval"] = type(step.approval)(**known)
    if step.joined:
        kept["joined"] = step.joined
    if run.parent is not None and step.child:
        kept["child"] = step.child
    if run.parent is not None and (step.held_until or 0) > run.finished:
        for name in ("verb", "target", "effect_id", "attempt", "answered", "held_until"):
            kept[name] = getattr(step, name)
    return StepState(**kept) if kept else None


_OF_AN_APPROVAL = {"answers", "objected"}


def is_tombstone(kept: bytes) -> bool:
    """Whether what is stored of a run, as JSON, is a tombstone."""
    return kept.startswith(_TOMB)


def ended_at(kept: dict[str, Any]) -> int:
    """When a stored run, tombstone or not, ended; 0 if it goes on."""
    ended: int = kept.get(TOMB) or kept.get("finished", 0)
    return ended


def revived(run_id: str, kept: dict[str, Any]) -> RunState:
    """The run of a tombstone, as far as anything can still happen to it."""
    ended = kept[TOMB]
    rest = {name: value for name, value in kept.items() if name != TOMB}
    run = RunState.from_json(
        {
            **rest,
            "run_id": run_id,
            "version": 0,
            "started": ended,
            "finished": ended,
            "phase": Phase.FINISHED,
        }
    )
    if run.alert_id:
        return run
    return run.model_copy(update={"alert_id": next(iter(run.attached), "")})


def shrinks_at(finished: int, kept_whole: int) -> int:
    """When a run that ended then becomes a tombstone, ms."""
    return _together(finished, SHRINK_TOGETHER) + kept_whole


def forgotten_at(finished: int) -> int:
    """When nothing is known any more of a run that ended then, ms."""
    return _together(finished, FORGET_TOGETHER) + RETENTION


def _together(at: int, width: int) -> int:
    return (at // width + 1) * width


class Agenda:
    """Keys, by the time at which they are looked at again; a hint, the state decides."""

    def __init__(self) -> None:
        self._keys: dict[int, list[str]] = {}
        self._times: list[int] = []

    def add(self, key: str, at: int) -> None:
        """Have `key` come up at `at`, ms; those of the same instant cost eight bytes each."""
        keys = self._keys.get(at)
        if keys is None:
            keys = self._keys[at] = []
            heappush(self._times, at)
        keys.append(key)

    def due(self, now: int) -> Iterator[str]:
        """Take what has come up."""
        while self._times and self._times[0] <= now:
            yield from self._keys.pop(heappop(self._times))
