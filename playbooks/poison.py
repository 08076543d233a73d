"""Playbooks that fail by themselves again and again: put aside with an alarm, the others go on.

What counts is a run that its own playbook made fail (an expression that goes on and on or is wrong
whatever it reads, a list beyond its bounds, a defect that it brings out in the engine), not a
product that says no, nor an alert that lacks a field, or whose address is none: whoever can write
five of those must not switch a containment off. Of runs that lack what they read people are told
(`LIMIT` of them within `WINDOW`, at most once in `QUIET`), and the playbook goes on. `LIMIT`
of them within `WINDOW` without a run in between that ended well put that version of the playbook
into quarantine: its starts become dead letters, which can be put back once a person has released
it. A mended playbook has another hash and is not concerned. Each partition counts for itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

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

POISON, LACKS, AUDIT = "poison/", "lacks/", "audit"

#: So many runs that a playbook made fail, within so many ms, put it into quarantine.
LIMIT = 5
WINDOW = 10 * 60_000

#: Between two alarms about runs of one playbook that lack what they read, ms.
QUIET = 24 * 3_600_000

#: Kinds of audit entries that tell of it.
QUARANTINED, RELEASED = "playbook.quarantined", "playbook.released"
LACKING = "playbook.lacking"


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
        if run.lacking and not run.fault:
            return self._lacks(run, run.finished)
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

    def _lacks(self, run: RunState, at: int) -> list[Outgoing]:
        """Count a run that had not what it reads; the alarm, if there are many. It goes on."""
        key = LACKS + run.hash
        kept: dict[str, Any] = self._state.get(key, {})
        failures = [each for each in kept.get("failures", []) if each > at - WINDOW]
        failures, told = [*failures, at][-LIMIT:], kept.get("told", 0)
        alarm = len(failures) >= LIMIT and at >= told + QUIET
        self._state[key] = {"failures": failures, "told": at if alarm else told}
        if not alarm:
            return []
        logger.warning(
            "playbook %s: %d runs failed because what it reads is not there; it goes on, ask with "
            "has() first: %s",
            run.playbook,
            LIMIT,
            run.lacking,
        )
        finding = _finding(run, _LACKING, run.lacking, at)
        return [self._audited(LACKING, _about(run, run.lacking), at), finding]

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
        logger.error(
            "playbook %s made %d runs fail and is in quarantine until somebody releases it or "
            "loads another version; other playbooks are not affected: %s",
            _named(run),
            LIMIT,
            run.fault,
        )
        body = _about(run, run.fault)
        return [self._audited(QUARANTINED, body, at), _finding(run, _ASIDE, run.fault, at)]

    def _audited(self, kind: str, body: dict[str, Any], at: int) -> Outgoing:
        entry, head = audit.append(self._state.get(AUDIT), self._chain, kind, body, at)
        self._state[AUDIT] = head
        return Outgoing(Topics.AUDIT, entry.encode(), key=self._chain.encode(), timestamp=at)


_GOOD = (Outcome.COMPLETED, Outcome.STOPPED)


def _named(run: RunState) -> str:
    return f"{run.playbook} version {run.version} ({run.hash[:12]})"


def _about(run: RunState, reason: str) -> dict[str, Any]:
    """What the audit is told."""
    return {
        "playbook": run.playbook,
        "version": run.version,
        "hash": run.hash,
        "run": run.run_id,
        "reason": reason[:500],
    }


def _rule(rule_id: str, name: str, description: str, level: Literal["medium", "high"]) -> Rule:
    return Rule(
        id=rule_id,
        name=name,
        hash=content_hash({"rule": rule_id}),
        level=level,
        type="system",
        author="Tocsin",
        description=description,
    )


_ASIDE = _rule(
    "tocsin-playbook-quarantined",
    "Playbook in Quarantine",
    "A playbook made its runs fail again and again and starts no more of them: alerts that it is "
    "for are not answered.",
    "high",
)
_LACKING = _rule(
    "tocsin-playbook-lacking",
    "Playbook Reads What Is Not There",
    "Runs of a playbook fail because alerts or answers lack what its expressions read: those "
    "alerts are not answered. It goes on for others.",
    "medium",
)


def _finding(run: RunState, rule: Rule, reason: str, at: int) -> Outgoing:
    """The alarm, as a finding for the alert queue."""
    key = f"{rule.id}|{run.playbook}|{run.hash}"
    finding = Finding(
        id=digest(rule.id.removeprefix("tocsin-playbook-"), run.hash, run.run_id),
        rule=rule,
        severity=SEVERITY[rule.level],
        at=at,
        key=key,
        window=24 * 3_600_000,
        fields={"service.name": run.playbook},
        evidence=(Evidence(event_id=run.run_id, at=at, origin="decide", original=reason[:500]),),
        message=f"{rule.name}: {_named(run)}: {reason[:200]}",
    )
    return Outgoing(Topics.FINDINGS, finding.encode(), key=key.encode(), timestamp=at)
