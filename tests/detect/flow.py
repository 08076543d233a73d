"""Findings of invented sshd events, and a small pipeline of correlate and alert in memory.

The pipeline stands for the runtime: partitions, batches of any size, and crashes after which
records come again with the state as of then or later, and outputs lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from detect.alerts import AlertStage
from detect.conditions import Bound, Condition, Term
from detect.correlate import CorrelateStage
from detect.keys import dedup_key, group_key
from detect.model import AlertPolicy, Correlation
from tocsin.contracts import Evidence, Finding, GroupedFinding, Rule, Topics
from tocsin.ids import finding_id
from tocsin.log.base import Outgoing, Record
from tocsin.state import KeyedState

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from tocsin.stage import Stage

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
START = 1_767_225_600_000
NOW = START + 365 * 24 * HOUR
LATENESS = 10 * MINUTE

FAILED = Rule(id="sshd-failed", name="Failed SSH login", hash="f" * 64, level="low")
ACCEPTED = Rule(id="sshd-accepted", name="SSH login", hash="a" * 64, level="informational")


def correlation_rule(name: str, *tags: str) -> Rule:
    return Rule(
        id=name, name=name.capitalize(), hash=name * 4, level="high", type="correlation", tags=tags
    )


BRUTE_FORCE = Correlation(
    rule=correlation_rule("brute-force", "attack.t1110"),
    type="event_count",
    references=(FAILED.id,),
    group_by=("source.ip",),
    aliases={},
    condition=Condition("events", 5 * MINUTE, (Bound("gte", 4),)),
    policy=AlertPolicy(window=15 * MINUTE),
)
SPRAYING = Correlation(
    rule=correlation_rule("spraying", "attack.t1110.003"),
    type="value_count",
    references=(FAILED.id,),
    group_by=("source.ip",),
    aliases={},
    condition=Condition("values", 5 * MINUTE, (Bound("gte", 3),)),
    fields=("user.name",),
)
BREAK_IN = Correlation(
    rule=correlation_rule("break-in", "tocsin.success-after-failures"),
    type="temporal_ordered",
    references=(BRUTE_FORCE.rule.id, ACCEPTED.id),
    group_by=("source.ip",),
    aliases={},
    condition=Condition(
        "chain", 10 * MINUTE, (Bound("gte", 2),), (BRUTE_FORCE.rule.id, ACCEPTED.id)
    ),
)
CORRELATIONS = (BRUTE_FORCE, SPRAYING, BREAK_IN)

FEW = Correlation(
    rule=correlation_rule("few"),
    type="event_count",
    references=(FAILED.id,),
    group_by=("source.ip",),
    aliases={},
    condition=Condition("events", 5 * MINUTE, (Bound("lt", 2),)),
)
AVERAGE = Correlation(
    rule=correlation_rule("average"),
    type="value_avg",
    references=(FAILED.id, ACCEPTED.id),
    group_by=("source.ip",),
    aliases={},
    condition=Condition("average", 5 * MINUTE, (Bound("gte", 60),)),
    fields=("number",),
)
UNANSWERED = Correlation(
    rule=correlation_rule("unanswered"),
    type="temporal",
    references=(FAILED.id, ACCEPTED.id),
    group_by=("source.ip",),
    aliases={},
    condition=Condition("terms", 3 * MINUTE, terms=(Term((FAILED.id,), frozenset({ACCEPTED.id})),)),
)
#: Chained: what is noticed only later, three times.
OFTEN_FEW = Correlation(
    rule=correlation_rule("often-few"),
    type="event_count",
    references=(FEW.rule.id,),
    group_by=("source.ip",),
    aliases={},
    condition=Condition("events", HOUR, (Bound("gte", 3),)),
)
LATER = (FEW, AVERAGE, UNANSWERED, OFTEN_FEW)


@dataclass(frozen=True)
class Login:
    """An attempt to log in."""

    at: int
    number: int
    source: str = "203.0.113.9"
    user: str = "root"
    accepted: bool = False

    @property
    def event_id(self) -> str:
        return f"{self.number:032x}"


def finding(login: Login, group: str = "") -> Finding:
    rule = ACCEPTED if login.accepted else FAILED
    fields = {"source.ip": login.source, "user.name": login.user}
    return Finding(
        id=finding_id(rule.hash, login.event_id, group),
        rule=rule,
        severity=21,
        at=login.at,
        key=dedup_key(rule.id, fields),
        window=HOUR,
        fields=fields,
        entities={name: (value,) for name, value in fields.items()},
        evidence=(
            Evidence(
                event_id=login.event_id,
                at=login.at,
                origin=f"raw/0/{login.number}",
                original=f"sshd[{login.number}]: {rule.name} for {login.user}",
            ),
        ),
    )


def grouped(login: Login, correlation: Correlation) -> Outgoing:
    group = group_key(correlation.rule.id, {"source.ip": login.source})
    rule = ACCEPTED if login.accepted else FAILED
    values = {
        "event_count": login.event_id,
        "value_count": login.user,
        "value_avg": str(login.number),
    }
    record = GroupedFinding(
        correlation=correlation.rule.id,
        group=group,
        group_fields={"source.ip": login.source},
        value=values.get(correlation.type, rule.id),
        finding=finding(login, group),
    )
    return Outgoing(Topics.CORRELATE, record.encode(), group.encode())


def matched(login: Login, correlations: Sequence[Correlation] = CORRELATIONS) -> list[Outgoing]:
    """What the match stage sends to be correlated."""
    rule = ACCEPTED if login.accepted else FAILED
    return [grouped(login, c) for c in correlations if rule.id in c.references]


def records(outputs: Sequence[Outgoing], topic: str, first_offset: int = 0) -> list[Record]:
    return [
        Record(o.topic, 0, offset, o.key, o.value)
        for offset, o in enumerate((o for o in outputs if o.topic == topic), first_offset)
    ]


def reloaded(state: KeyedState) -> KeyedState:
    """The state as another process loads it."""
    clone = KeyedState()
    clone.update(dict(state))
    return KeyedState({key: value for key, value in clone.changes().items() if value is not None})


def documents(outputs: Sequence[Outgoing]) -> dict[str, bytes]:
    """The newest document of each alert."""
    return {
        orjson.loads(o.value)["event"]["id"]: o.value for o in outputs if o.topic == Topics.ALERTS
    }


@dataclass
class Worker:
    """One stage on one partition, driven by chance (which crashes it often) or in one go."""

    stage: Stage
    chance: random.Random | None = None
    calm: int = 4
    state: KeyedState = field(default_factory=KeyedState)
    pending: list[Record] = field(default_factory=list)
    offset: int = 0

    def feed(self, outputs: Sequence[Outgoing]) -> None:
        new = records(outputs, self.stage.topic, self.offset)
        self.offset += len(new)
        self.pending += new

    def run(self) -> list[Outgoing]:
        """Process what is pending; outputs of work that a crash loses are not among the result."""
        if self.chance is None:
            return self._process(len(self.pending), commit=True)
        made: list[Outgoing] = []
        while self.pending:
            size = self.chance.randint(1, len(self.pending))
            match self.chance.randrange(self.calm):
                case 0:  # a crash: the state is saved, the outputs are lost, offsets not committed
                    self._process(size, commit=False)
                    self.restart()
                case 1:  # a crash before anything was saved
                    state, self.state = self.state, reloaded(self.state)
                    self._process(size, commit=False)
                    self.state = reloaded(state)
                case _:
                    made += self._process(size, commit=True)
            if self.chance.randrange(5) == 0:
                made += self.stage.tick(0, self.state, NOW)
        return made

    def restart(self) -> None:
        self.state = reloaded(self.state)

    def _process(self, size: int, *, commit: bool) -> list[Outgoing]:
        taken = self.pending[:size]
        outputs: list[Outgoing] = []
        while taken:
            cut = len(taken) if self.chance is None else self.chance.randint(1, len(taken))
            batch = self.stage.process(taken[:cut], self.state, NOW)
            assert batch.accounted == cut
            outputs += batch.outputs
            taken = taken[cut:]
        if commit:
            self.pending = self.pending[size:]
        return outputs


def pipeline(
    inputs: Sequence[Outgoing],
    correlations: Sequence[Correlation] = CORRELATIONS,
    chance: random.Random | None = None,
) -> Mapping[str, bytes]:
    """All final alerts that come of grouped findings, by id."""
    return staged([inputs], correlations, chance)[0]


def staged(
    arrivals: Sequence[Sequence[Outgoing]],
    correlations: Sequence[Correlation] = CORRELATIONS,
    chance: random.Random | None = None,
    lateness: int = LATENESS,
    calm: int = 4,
) -> tuple[Mapping[str, bytes], int]:
    """Grouped findings that arrive little by little: final alerts, and bytes left in the states."""
    correlate = Worker(CorrelateStage(correlations, lateness=lateness), chance, calm)
    alert = Worker(AlertStage(lateness=lateness, correlations=correlations), chance, calm)
    sent: list[Outgoing] = []
    for inputs in arrivals:
        correlate.feed(inputs)
        while correlate.pending or alert.pending:
            made = correlate.run()
            correlate.feed(made)
            alert.feed(made)
            sent += alert.run()
    if chance is not None and chance.randrange(2):
        alert.restart()
    sent += alert.stage.tick(0, alert.state, NOW)
    return documents(sent), size(correlate.state) + size(alert.state)


def size(state: KeyedState) -> int:
    """Bytes of a state as it is stored."""
    return sum(len(key) + len(orjson.dumps(value)) for key, value in state.items())


def failures(count: int, every: int = 10 * SECOND) -> list[Login]:
    return [Login(START + i * every, i) for i in range(count)]


def fed(logins: Sequence[Login], *correlations: Correlation) -> list[Outgoing]:
    return [output for login in logins for output in matched(login, correlations)]


def run(
    inputs: Sequence[Outgoing],
    correlations: Sequence[Correlation] = CORRELATIONS,
    state: KeyedState | None = None,
) -> tuple[list[Finding], list[GroupedFinding]]:
    """Findings and chained grouped findings of a stage that is fed its own chained ones."""
    stage = CorrelateStage(correlations, lateness=LATENESS)
    state = KeyedState() if state is None else state
    findings: list[Finding] = []
    chained: list[GroupedFinding] = []
    pending, offset = list(inputs), 0
    while pending:
        batch = stage.process(records(pending, Topics.CORRELATE, offset), state, NOW)
        offset += len(pending)
        assert batch.accounted == len(pending)
        findings += [Finding.decode(o.value) for o in batch.outputs if o.topic == Topics.FINDINGS]
        pending = [o for o in batch.outputs if o.topic == Topics.CORRELATE]
        chained += [GroupedFinding.decode(o.value) for o in pending]
    return findings, chained
