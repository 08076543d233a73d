"""What people ask of learned behaviour: how its detectors stand, and what an alert was.

Beside `operations`, in the same table.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import orjson
from pydantic import Field

from detect.behavior.behavior import BehaviorStage
from detect.behavior.calibrate import Calibration
from detect.behavior.deciding import RISK
from detect.behavior.detectors.table import all_detectors
from detect.behavior.explain import FIELD
from detect.behavior.memory import STANDING
from detect.behavior.models.asking import BESIDE, WATCH
from detect.behavior.models.days import DAYS as DAY_PREFIX
from detect.behavior.models.days import JUDGED, Gathered
from detect.behavior.models.standing import Standings
from detect.behavior.observation import Entity
from detect.behavior.profile import bounded
from detect.behavior.verdicts import Judgement, Verdict
from tocsin.alert_document import parse_alert_document
from tocsin.cli.changelog_tail import newest
from tocsin.console.control import Asked, Operation
from tocsin.errors import ConfigError
from tocsin.log.base import TopicPartition
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from detect.behavior.detector import Spec
    from detect.behavior.models.days import Learnable
    from tocsin.clock import Clock
    from tocsin.contracts import Alert
    from tocsin.index.store import Store
    from tocsin.log.base import Log

STATUS, VERDICT, DAYS = "behavior/status", "alerts/verdict", "models/days"

#: Alerts that the beginning of an id is looked for among.
_NEWEST = 10_000
_PREFIX = "behavior."


class StatusAsked(Asked):
    """How all detectors stand, with these budgets (alerts a day) in place of their own."""

    budgets: dict[str, float] = Field(default_factory=dict)


class DaysAsked(Asked):
    """Users' days of the last `days`, without names."""

    days: Annotated[int, Field(ge=1, le=365)] = 30


class VerdictAsked(Asked):
    """What the alert whose id begins so was; `by` is who says it."""

    id: Annotated[str, Field(min_length=6, max_length=200)]
    verdict: Judgement
    by: Annotated[str, Field(max_length=200)] = ""


def specs() -> dict[str, Spec]:
    """All detectors by name, the risk of entities among them."""
    return {spec.name: spec for spec in (*(each.spec for each in all_detectors()), RISK)}


class Judging:
    """Doing it, on an open log and store."""

    def __init__(self, log: Log, store: Store, clock: Clock) -> None:
        self._log = log
        self._store = store
        self._clock = clock

    def table(self) -> Mapping[str, Operation[Any]]:
        """The operations by their path on the console."""
        return {
            STATUS: Operation(StatusAsked, self.status),
            DAYS: Operation(DaysAsked, self.days),
            VERDICT: Operation(VerdictAsked, self.verdict),
        }

    async def status(self, asked: StatusAsked) -> dict[str, Any]:
        """The detectors' histories, added up over partitions; models; how many profiles."""
        kept = await stood(self._log)
        rows = [
            standing(spec, kept.histories.get(name, []), asked.budgets.get(name, spec.budget))
            for name, spec in specs().items()
        ]
        return {
            "detectors": rows,
            "models": kept.standings.told(),
            "profiles": dict(sorted(kept.profiles.items())),
            "unread": kept.unread,
        }

    async def days(self, asked: DaysAsked) -> dict[str, Any]:
        """What a model of insiders learns from: [day, row, said] of users' days."""
        return {"days": await learnable(self._log, asked.days)}

    async def verdict(self, asked: VerdictAsked) -> dict[str, Any]:
        """Append the verdict; raises ConfigError if the alert is not there, or not of behaviour."""
        alert = await self._alert(asked.id)
        detector = alert.rule.id.removeprefix(_PREFIX)
        spec = specs().get(detector)
        if spec is None or not alert.rule.id.startswith(_PREFIX):
            raise ConfigError(
                f"the alert {alert.id[:12]} is of the rule '{alert.rule.name}': verdicts teach "
                "detectors of behaviour; a rule is changed, or gets an exception"
            )
        entity = entity_of(alert, spec)
        now = self._clock.now()
        told = Verdict(asked.verdict, entity, detector, alert.id, now, asked.by, alert.last_seen)
        await self._log.append([told.outgoing()])
        return {"alert": alert.id, "detector": detector, "entity": entity.id}

    async def _alert(self, begin: str) -> Alert:
        document = await self._store.get("alerts", begin)
        if document is not None:
            return parse_alert_document(document)
        newest = await self._store.list("alerts", limit=_NEWEST)
        found = [each for each in newest if str(each["tocsin"]["alert"]["id"]).startswith(begin)]
        if len(found) != 1:
            what = "several alerts begin with" if found else "there is no alert"
            raise ConfigError(f"{what} {begin}; `tocsin alerts list` shows the newest")
        return parse_alert_document(found[0])


def entity_of(alert: Alert, spec: Spec) -> Entity:
    """Whose behaviour the alert is about; raises ConfigError if it does not say."""
    for kind in sorted(spec.kinds):
        if value := alert.fields.get(FIELD[kind]):
            return Entity(alert.tenant, kind, bounded(value))
    raise ConfigError(f"the alert {alert.id[:12]} names no entity")


def standing(spec: Spec, histories: list[Calibration], budget: float) -> dict[str, Any]:
    """How a detector stands, over all partitions; `budget` is alerts a day.

    `paid` are the alerts of the last weeks (half-life 7 days), `due` what the budget was for in
    that time; `threshold` the score that is told now, the highest of the partitions.
    """
    share = budget / max(1, len(histories))
    verdicts: dict[str, int] = {}
    for each in histories:
        for verdict, count in each.verdicts.items():
            verdicts[verdict] = verdicts.get(verdict, 0) + count
    latest = max((each.day for each in histories), default=-1)
    return {
        "detector": spec.name,
        "level": spec.level,
        "budget": budget,
        "calibrated": spec.calibrated,
        "paid": round(sum(each.ledger.spent for each in histories), 1),
        "due": round(sum(each.ledger.paid * share for each in histories), 1),
        "threshold": max(
            (round(each.threshold(spec, share), 1) for each in histories), default=spec.cold
        ),
        "scores": round(sum(each.total for each in histories)),
        "a_day": round(sum(each.rate for each in histories)),
        "ready": bool(histories) and all(each.ready for each in histories),
        "today": sum(each.told for each in histories if each.day == latest),
        "alerts": sum(each.spent for each in histories),
        "suppressed": sum(each.withheld for each in histories),
        "verdicts": verdicts,
    }


async def learnable(log: Log, days: int) -> list[Learnable]:
    """Users' days of the last `days`, in every partition, with what analysts said of them."""
    gathered = Gathered()
    async for key, value in kept(log, _of_days):
        gathered.add(key.partition("|")[0], orjson.loads(value))
    return gathered.rows(days)


def _of_days(key: str) -> bool:
    return key.partition("|")[0] in (DAY_PREFIX, JUDGED)


class Stood(NamedTuple):
    """What a status is made of; `unread` are partitions whose account was not found in time."""

    histories: dict[str, list[Calibration]]
    standings: Standings
    profiles: Counter[str]
    unread: list[int]


async def stood(log: Log) -> Stood:
    """How the behavior stage stands: its own account of each partition, and what is newer.

    On Kafka only the end of the changelog is read. Raises LogUnavailable.
    """
    found = Stood({}, Standings(), Counter(), [])
    for values in await _partitions(log, found.unread):
        account = orjson.loads(values.get(STANDING, b"{}"))
        briefs = {
            name: orjson.dumps(each) for name, each in account.get("calibrations", {}).items()
        }
        for key, value in values.items():
            kind, _, rest = key.partition("|")
            if kind == "calibration":
                briefs[rest] = value
            else:
                found.standings.restore(kind, rest, value)
        for name, brief in briefs.items():
            found.histories.setdefault(name, []).append(Calibration.unpack(orjson.loads(brief)))
        found.profiles.update(account.get("profiles", {}))
    return found


async def _partitions(log: Log, unread: list[int]) -> list[dict[str, bytes]]:
    """What a status wants of the state of each partition, by key."""
    if isinstance(log, SqliteLog):
        partitions = sorted(await log.end_offsets(BehaviorStage.topic))
        progress = await log.progress(BehaviorStage.name, partitions, stateful=True)
        return [
            {key: value for key, value in each.state.items() if _of_status(key)}
            for each in progress.values()
        ]
    from tocsin.log.faust_group import changelog_of

    tail = await newest(log, changelog_of(BehaviorStage.name), _of_status, STANDING)
    unread.extend(tail.short)
    by_partition: dict[int, dict[str, bytes]] = {}
    for (partition, key), value in tail.values.items():
        by_partition.setdefault(partition, {})[key] = value
    return list(by_partition.values())


def _of_status(key: str) -> bool:
    return key == STANDING or key.partition("|")[0] in ("calibration", WATCH, BESIDE)


async def kept(log: Log, wanted: Callable[[str], bool]) -> AsyncIterator[tuple[str, bytes]]:
    """Key and value of what is wanted of all that the behavior stage keeps, in every partition."""
    partitions = sorted(await log.end_offsets(BehaviorStage.topic))
    if isinstance(log, SqliteLog):
        progress = await log.progress(BehaviorStage.name, partitions, stateful=True)
        for each in progress.values():
            for key, value in each.state.items():
                if wanted(key):
                    yield key, value
        return
    from tocsin.log.faust_group import changelog_of

    last: dict[str, bytes | None] = {}
    for at, end in (await log.end_offsets(changelog_of(BehaviorStage.name))).items():
        offset = 0
        while offset < end:
            records = await log.read(TopicPartition(at.topic, at.partition), offset, 1_000)
            if not records:
                break
            for record in records:
                name = (record.key or b"").decode()
                if wanted(orjson.loads(name).partition(":")[2]):
                    last[name] = record.value or None
            offset = records[-1].offset + 1
    for name, stored in last.items():
        if stored is not None:
            yield orjson.loads(name).partition(":")[2], orjson.dumps(orjson.loads(stored)[0])
