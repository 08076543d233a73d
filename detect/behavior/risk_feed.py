"""The risk stage: what rules found of an entity, for its risk; from findings to observations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detect.behavior.observation import (
    FINDING,
    SLICE,
    Entity,
    Observation,
    Piece,
    Sample,
    encode,
)
from detect.behavior.profile import bounded
from tocsin.contracts import Finding, Topics
from tocsin.errors import BadInput
from tocsin.log.base import Outgoing
from tocsin.stage import Batch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tocsin.log.base import Record
    from tocsin.state import State

#: Kinds of entities by the ECS field that names them, and most of one field.
_FIELDS = (("user.name", "user"), ("host.name", "host"), ("source.ip", "source"))
_MOST = 4
#: Characters of a finding's id by which it is told from others of its rule.
_ID = 16
#: Partitions of the findings topic are numbered from here in the pieces of observations.
FINDINGS_AT = 1_000_000


class RiskStage:
    """Topic FINDINGS to OBSERVATIONS of the users, hosts and addresses in them; stateless.

    Findings of behaviour itself are left out: they have counted already.
    """

    name = "risk"
    topic = Topics.FINDINGS
    stateful = False

    def process(self, records: Sequence[Record], state: State, now: int) -> Batch:
        """See tocsin.stage.Stage; raises BadInput for what is no finding."""
        batch = Batch()
        for record in records:
            try:
                finding = Finding.decode(record.value)
            except ValueError as error:
                raise BadInput("finding", f"{record.position} is no finding: {error}") from error
            if finding.rule.type == "behavior" or not finding.evidence:
                batch.filtered["own" if finding.evidence else "no_evidence"] += 1
                continue
            piece = Piece(FINDINGS_AT + record.partition, record.offset, record.offset)
            made = [
                Outgoing(
                    Topics.OBSERVATIONS,
                    encode(each, piece),
                    each.entity.key.encode(),
                    timestamp=finding.at,
                )
                for each in observed(finding)
            ]
            batch.outputs += made
            if made:
                batch.sent += 1
            else:
                batch.filtered["no_entity"] += 1
        return batch

    def tick(self, partition: int, state: State, now: int) -> Sequence[Outgoing]:
        """Nothing is due by time alone."""
        return ()


def observed(finding: Finding) -> Iterator[Observation]:
    """What a rule's finding says of each entity: the rule, its severity, which finding it is."""
    at = finding.at
    last = finding.evidence[-1]
    for field, kind in _FIELDS:
        rule = bounded(finding.rule.name)
        for value in finding.entities.get(field, ())[:_MOST]:
            yield Observation(
                Entity(finding.tenant, kind, bounded(value.casefold())),
                at - at % SLICE,
                at,
                at,
                counts={FINDING: {rule: [finding.severity, 0]}},
                texts={f"{FINDING}|{rule}": [finding.id[:_ID]]},
                samples=[Sample(last.at, last.event_id, last.origin)],
            )
