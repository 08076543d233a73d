"""Who decides when a hold with `on_expiry: approval` ends: a run of the engine's own playbook.

A lease whose time is up stays in force and starts such a run, which asks whether it may end. A yes
ends it; a no, or no answer, leaves it, and they are asked again a day later. The playbook is no
file: its canonical form travels in the command that starts the run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from playbooks.model import PlaybookDocument
from playbooks.source import CEL
from responders.base import Action, ActionClass, EntityKind, Idempotence, Inputs
from tocsin.contracts import Start
from tocsin.ids import content_hash, digest

if TYPE_CHECKING:
    from tocsin.contracts import Asked, Lease

#: The engine's own verb, which no file may use: end a containment for all who hold it.
RELEASE = "lease.release"
#: The id under which such runs are shown.
PLAYBOOK = "lease-expiry"
_ASK = "12h"


class _Release(Inputs):
    verb: str
    target: str
    generation: int


#: Verbs that the engine serves itself.
OWN_ACTIONS = {
    RELEASE: Action(
        RELEASE,
        ActionClass.DESTRUCTIVE,
        Idempotence.NATURAL,
        _Release,
        "target",
        EntityKind.KEY,
        summary="End a containment for all who hold it",
    )
}


def expiry_start(lease: Lease, ask: Asked, at: int) -> Start:
    """The command that has people asked whether `lease` may end."""
    source = _source(ask.encode())
    inputs = {
        "verb": lease.verb,
        "target": lease.target,
        "connector": lease.connector,
        "generation": lease.generation,
    }
    return Start(
        run_id=digest("expiry", lease.id, lease.generation, lease.asked),
        playbook=PLAYBOOK,
        playbook_hash=content_hash(source),
        alert={"message": f"the time of {lease.verb} on {lease.target} is up"},
        inputs=inputs,
        source=source,
        at=at,
    )


@lru_cache(maxsize=256)
def _source(asked: bytes) -> dict[str, Any]:
    """The canonical playbook that asks these people."""
    ask = orjson.loads(asked)
    approvers = {
        "group": ask["group"],
        "quorum": ask["quorum"],
        "exclude": [orjson.dumps(name).decode() for name in ask["excluded"]],
    }
    message = (
        "The time of {{ inputs.verb }} on {{ inputs.target }} is up; it is still in force at "
        "{{ inputs.connector }}. May it end?"
    )
    given = {name: {CEL: f"inputs.{name}"} for name in ("verb", "target", "generation")}
    document = {
        "apiVersion": "tocsin/v1",
        "kind": "Playbook",
        "metadata": {"id": PLAYBOOK},
        "trigger": {"when": "false"},
        "limits": {"deadline": "20h"},
        "inputs": {"verb": {}, "target": {}, "connector": {}, "generation": {}},
        "steps": [
            {
                "id": "ask",
                "approval": {
                    "message": message,
                    "approvers": approvers,
                    "channels": ask["channels"],
                    "timeout": _ASK,
                },
            },
            {
                "id": "release",
                "if": "steps.ask.decision == 'approved'",
                "action": RELEASE,
                "with": given,
            },
        ],
    }
    return PlaybookDocument.parse(document).canonical()
