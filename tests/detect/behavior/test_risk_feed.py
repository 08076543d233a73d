"""What rules found adds to the risk of entities."""

from __future__ import annotations

import pytest

from detect.behavior.behavior import BehaviorStage
from detect.behavior.observation import decode
from detect.behavior.options import Options
from detect.behavior.profile import Profile
from detect.behavior.risk_feed import RiskStage
from tests.detect.behavior.events import HOUR, MONDAY
from tocsin.contracts import SEVERITY, Evidence, Finding, Rule, Topics
from tocsin.errors import BadInput
from tocsin.log.base import Outgoing, Record
from tocsin.state import KeyedState


def finding(name: str, *, level: str = "critical", type: str = "sigma", at: int = 0) -> Finding:
    rule = Rule.model_validate({"id": name, "name": name, "hash": name, "type": type})
    return Finding(
        id=f"{name}-{at}",
        rule=rule,
        severity=SEVERITY[level],
        at=MONDAY + at,
        key=name,
        window=HOUR,
        entities={"user.name": ("Ada",), "source.ip": ("192.0.2.9",)},
        evidence=(Evidence(event_id=f"e{at}", at=MONDAY + at, origin=f"raw/0/{at}"),),
    )


def told(values: list[bytes], topic: str = Topics.FINDINGS) -> list[Record]:
    return [Record(topic, 0, at, b"k", value, (), 0) for at, value in enumerate(values)]


def fed(*findings: Finding) -> list[Outgoing]:
    batch = RiskStage().process(told([each.encode() for each in findings]), {}, 0)
    assert batch.accounted == len(findings)
    return batch.outputs


def test_findings_of_rules_become_observations_of_their_entities() -> None:
    outputs = fed(finding("A"), finding("B", type="behavior"))
    seen = [decode(each.value)[0] for each in outputs]
    assert [each.entity.key for each in seen] == ["default|user|ada", "default|source|192.0.2.9"]
    assert seen[0].values("finding") == {"A": 99}
    assert seen[0].sample("finding", "A") == (MONDAY, "e0", "raw/0/0")
    with pytest.raises(BadInput):
        RiskStage().process(told([b"{}"]), {}, 0)
    assert not RiskStage().tick(0, {}, 0)


def risk(*findings: Finding) -> object:
    """What the profile of `ada` says after these findings."""
    stage, state = BehaviorStage((), Options()), KeyedState()
    given = told([each.value for each in fed(*findings)], Topics.OBSERVATIONS)
    stage.process(given, state, 2**60)
    (clock,) = stage.end(state)
    stage.process([Record(Topics.OBSERVATIONS, 0, 99, None, clock.value, (), 0)], state, 2**60)
    return Profile.decode(state["profile|default|user|ada"]).risk


def test_a_finding_that_is_delivered_again_after_a_crash_adds_once() -> None:
    """It comes at another offset; another one of the rule in the same ten minutes adds."""
    first, second = finding("A", level="medium"), finding("A", level="medium", at=5)
    assert risk(first, first, first) == risk(first)
    assert risk(first, second, first, second, first) == risk(first, second) != risk(first)


@pytest.mark.parametrize(("names", "expected"), [("ABCD", {"ada", "192.0.2.9"}), ("AAAA", set())])
def test_risk_is_told_when_it_comes_from_several_things(names: str, expected: set[str]) -> None:
    """The same rule again and again is an alert of that rule, and no more."""
    outputs = fed(*(finding(name, at=at * HOUR) for at, name in enumerate(names)))
    stage, state = BehaviorStage((), Options()), KeyedState()
    given = told([each.value for each in outputs], Topics.OBSERVATIONS)
    outputs = stage.process(given, state, 2**60).outputs
    (clock,) = stage.end(state)
    last = Record(Topics.OBSERVATIONS, 0, 99, None, clock.value, (), 0)
    outputs += stage.process([last], state, 2**60).outputs
    found = [Finding.decode(each.value) for each in outputs]
    found = [each for each in found if each.rule.id == "behavior.entity_risk"]
    assert {value for each in found for value in each.fields.values()} <= expected
    if expected:
        assert found
        assert "has gathered risk from" in found[0].message
