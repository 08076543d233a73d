"""What analysts say of alerts, on its way back to the profile of the entity it was about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import orjson

from detect.behavior.detector import DAY
from detect.behavior.models.days import DAY_OF_USER
from detect.behavior.observation import KINDS, Entity
from tocsin.contracts import Topics
from tocsin.errors import BadInput
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detect.behavior.memory import Memory

Judgement = Literal["true_positive", "false_positive", "benign"]

#: How long a detector is quiet about an entity after a false positive, and how long nothing is
#: learned of it after a true one, ms.
QUIET, INCIDENT = 7 * DAY, 7 * DAY


class Verdict(NamedTuple):
    """What somebody said at `at` (ms) of an alert about an entity, which was last seen at `of`."""

    verdict: Judgement
    entity: Entity
    detector: str
    alert: str
    at: int
    by: str = ""
    of: int = 0

    def outgoing(self) -> Outgoing:
        """Its record, in the partition of the entity."""
        body = {**self._asdict(), "entity": list(self.entity)}
        return Outgoing(
            Topics.OBSERVATIONS, orjson.dumps(body), self.entity.key.encode(), timestamp=self.at
        )


def parse(body: Mapping[str, Any]) -> Verdict:
    """What `outgoing` wrote; raises BadInput for anything else."""
    try:
        entity = Entity(*map(str, body["entity"]))
        made = Verdict(
            body["verdict"],
            entity,
            str(body["detector"]),
            str(body["alert"]),
            int(body["at"]),
            str(body.get("by", "")),
            int(body.get("of", 0)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput("verdict", f"it is no verdict: {error}") from error
    if made.verdict not in get_args(Judgement) or entity.kind not in KINDS:
        raise BadInput("verdict", f"'{made.verdict}' of a {entity.kind} is no verdict")
    return made


def apply(verdict: Verdict, memory: Memory) -> None:
    """False: the entity is trusted again and the detector quiet. True: nothing is learned."""
    calibration = memory.calibration(verdict.detector)
    counts = dict(calibration.verdicts)
    counts[verdict.verdict] = counts.get(verdict.verdict, 0) + 1
    calibration.verdicts = counts
    profile = memory.known(verdict.entity)
    true = verdict.verdict == "true_positive"
    if verdict.entity.kind == "user" and verdict.of:
        day = profile.memory(DAY_OF_USER) if profile is not None else None
        judge = memory.models.days.judge
        judge(verdict.entity.key, verdict.of // DAY, day, true=true, at=verdict.at)
    if profile is None:
        return
    if true:
        profile.frozen = max(profile.frozen, verdict.at + INCIDENT)
    else:
        profile.frozen, profile.risk = 0, {}
        profile.quiet[verdict.detector] = verdict.at + QUIET
    memory.changed(verdict.entity)
