"""Playbooks that fail by themselves again and again: put aside with an alarm, the others go on.

What counts is a run that its own playbook made fail (an expression without a value, a list beyond
its bounds, a defect that it brings out in the engine), not a product that says no, nor an alert
whose address is none: whoever can write five of those must not switch a containment off. `LIMIT`
of them within `WINDOW` without a run in between that ended well put that version of the playbook
into quarantine: its starts become dead letters, which can be put back once a person has released
it. A mended playbook has another hash and is not concerned. Each partition counts for itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from playbooks.run_state import Outcome
from tocsin import audit
from tocsin.contracts import SEVERITY, Ended, Evidence, Finding, Rule, Topics
from tocsin.errors import BadInput
from tocsin.ids import content_hash, digest
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from playbooks.run_state import RunState
    from tocsin.contracts import Pardon, Start
    from tocsin.state import State

logger = logging.getLogger(__name__)

POISON, AUDIT = "poison/", "audit"

#: So many runs that a playbook made fail, within so many ms, put it into quarantine.
LIMIT = 5
WINDOW = 10 * 60_000

#: Kinds of audit entries that tell of it.
QUARANTINED, RELEASED = "playbook.quarantined", "playbook.released"
_RULE_ID = "tocsin-playbook-quarantined"


class Ward:
    """What one partition knows of playbooks that fail by themselves."""

    def __init__(self, state: State, chain: str) -> None:
        self._state = state
        self._chain = chain

    def refuse(self, start: Start) -> list[Outgoing]:
        """Nothing, if the playbook may start a run; else what its caller is told.

        Raises BadInput for a quarantined playbook that an alert has started.
        """
        kept = self._state.get(POISON + start.playbook_hash)
        if kept is None or not kept["since"]:
            return []
        reason = (
            f"the playbook {start.playbook} is in quarantine: {kept['reason']}. Mend it, or "
            f"release it with `tocsin playbook release {start.playbook}`, then put the dead letter "
            "back"
        )
        if (parent := start.parent) is None:
            raise BadInput("quarantined", reason)
        ended = Ended(
            run_id=parent.run_id,
            step=parent.step,
            child=start.run_id,
            outcome=Outcome.FAILED.value,
            reason=reason,
            at=start.at,
        )
        return [
            Outgoing(Topics.COMMANDS, ended.encode(), key=ended.run_id.encode(), timestamp=start.at)
        ]

    def ended(self, run: RunState) -> list[Outgoing]:
        """Count how a run ended; the alarm, if its playbook goes into quarantine now."""
        key, at = POISON + run.hash, run.finished
        kept: dict[str, Any] | None = self._state.get(key)
        if not run.fault:
            if kept is not None and not kept["since"] and run.outcome in _GOOD:
                del self._state[key]
            return []
        failures = [each for each in (kept or {}).get("failures", []) if each > at - WINDOW]
        failures = [*failures, at][-LIMIT:]
        since = (kept or {}).get("since", 0)
        alarm = not since and len(failures) >= LIMIT
        self._state[key] = {
            "playbook": run.playbook,
            "failures": failures,
            "since": at if alarm else since,
            "reason": run.fault[:500],
        }
        return self._alarm(run, at) if alarm else []

    def pardon(self, command: Pardon) -> list[Outgoing]:
        """Forget what was counted of a playbook, in every version."""
        found = [
            key
            for key in list(self._state)
            if key.startswith(POISON) and self._state[key]["playbook"] == command.playbook
        ]
        was = [key.removeprefix(POISON) for key in found if self._state[key]["since"]]
        for key in found:
            del self._state[key]
        body = {"playbook": command.playbook, "by": command.by, "hashes": was}
        return [self._audited(RELEASED, body, command.at)] if was else []

    def _alarm(self, run: RunState, at: int) -> list[Outgoing]:
        about = f"{run.playbook} version {run.version} ({run.hash[:12]})"
        logger.error(
            "playbook %s made %d runs fail and is in quarantine until somebody releases it or "
            "loads another version; other playbooks are not affected: %s",
            about,
            LIMIT,
            run.fault,
        )
        body = {
            "playbook": run.playbook,
            "version": run.version,
            "hash": run.hash,
            "run": run.run_id,
            "reason": run.fault[:500],
        }
        return [self._audited(QUARANTINED, body, at), _finding(run, about, at)]

    def _audited(self, kind: str, body: dict[str, Any], at: int) -> Outgoing:
        entry, head = audit.append(self._state.get(AUDIT), self._chain, kind, body, at)
        self._state[AUDIT] = head
        return Outgoing(Topics.AUDIT, entry.encode(), key=self._chain.encode(), timestamp=at)


_GOOD = (Outcome.COMPLETED, Outcome.STOPPED)


def _finding(run: RunState, about: str, at: int) -> Outgoing:
    """The alarm, as a finding for the alert queue."""
    rule = Rule(
        id=_RULE_ID,
        name="Playbook in Quarantine",
        hash=content_hash({"rule": _RULE_ID}),
        level="high",
        type="system",
        author="Tocsin",
        description="A playbook made its runs fail again and again and starts no more of them: "
        "alerts that it is for are not answered.",
    )
    key = f"{_RULE_ID}|{run.playbook}|{run.hash}"
    finding = Finding(
        id=digest("quarantine", run.hash, run.run_id),
        rule=rule,
        severity=SEVERITY[rule.level],
        at=at,
        key=key,
        window=24 * 3_600_000,
        fields={"service.name": run.playbook},
        evidence=(Evidence(event_id=run.run_id, at=at, origin="decide", original=run.fault[:500]),),
        message=f"{rule.name}: {about}: {run.fault[:200]}",
    )
    return Outgoing(Topics.FINDINGS, finding.encode(), key=key.encode(), timestamp=at)
