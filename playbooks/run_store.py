"""Runs in the keyed state of the decide stage.

`run/<id>` is what changes with each command, or a tombstone (see `ended`); `alert/<id>` and
`playbook/<id>` what does not: written once, dropped when the run is finished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from playbooks.ended import is_tombstone, revived, tombstone
from playbooks.run_state import RunState
from tocsin.state import put, raw

if TYPE_CHECKING:
    from tocsin.state import State

RUN, ALERT, PLAYBOOK = "run/", "alert/", "playbook/"

_PARTS = ((ALERT, "alert"), (PLAYBOOK, "source"))


def load_run(state: State, run_id: str) -> RunState | None:
    """The run of that id in a partition's state, None if there is none."""
    kept = raw(state, RUN + run_id)
    if kept is None:
        return None
    if is_tombstone(kept):
        return revived(run_id, orjson.loads(kept))
    # Spliced as JSON: an alert is large, and nobody needs it as Python's objects on the way.
    parts = [kept[:-1]]
    for prefix, name in _PARTS:
        if (part := raw(state, prefix + run_id)) is not None:
            parts.append(b',"%s":%s' % (name.encode(), part))
    return RunState.model_validate_json(b"".join(parts) + b"}")


def save_run(state: State, run: RunState, before: RunState | None = None) -> None:
    """Store a run that was `before`; its alert and playbook only where they changed."""
    for prefix, name in _PARTS:
        part = getattr(run, name)
        if before is not None and getattr(before, name) is part:
            continue
        if part:
            put(state, prefix + run.run_id, orjson.dumps(part))
        else:
            state.pop(prefix + run.run_id, None)
    whole = run.model_dump_json(exclude_defaults=True, exclude={"alert", "source"})
    put(state, RUN + run.run_id, whole.encode())


def shrink_run(state: State, run_id: str) -> int | None:
    """Have a finished run be a tombstone, unless a result of it is to come.

    Returns when it ended, None if it has not.
    """
    run = load_run(state, run_id)
    if run is None or not run.finished:
        return None
    if (small := tombstone(run)) is not None:
        put(state, RUN + run_id, orjson.dumps(small))
    return run.finished


def forget_run(state: State, run_id: str) -> None:
    """Delete everything that is kept of a run."""
    for prefix in (RUN, ALERT, PLAYBOOK):
        state.pop(prefix + run_id, None)
