"""The report of fields that rules use and events do not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from detect.sigma import Taxonomy
from detect.sigma.event import FieldMap, Mapped, Path
from detect.sigma.supply import field_uses, seen_in, unsupplied
from detect.sigma.taxonomy import Entry, Logsource, membership
from tests.detect.sigma.support import load, rule

if TYPE_CHECKING:
    from pathlib import Path as FilePath

    from detect.sigma import RuleSet

VENDOR = Entry(
    Logsource("acme", "", "audit"),
    membership({"event.dataset": "acme.audit"}),
    FieldMap({"who": Mapped((Path.of("user.name"),))}, ("acme.audit",)),
    {"moon": "the vendor never says it"},
)
BARE = Entry(Logsource(category="bare"), membership({"event.dataset": "bare"}), FieldMap())


@pytest.fixture
def rules(tmp_path: FilePath) -> RuleSet:
    vendor = {"product": "acme", "service": "audit"}
    detection = {"s": {"who": "x", "what": "y", "moon": 1}, "condition": "s"}
    bare = {"s": {"user.name": "x", "odd|fieldref": "other"}, "condition": "s"}
    return load(
        tmp_path,
        rule(1, logsource=vendor, detection=detection),
        rule(2, logsource=vendor, detection={"s": {"what": "z"}, "condition": "s"}),
        rule(3, logsource={"category": "bare"}, detection=bare),
        rule(4, logsource={"category": "bare"}, taxonomy="ecs"),
        taxonomy=Taxonomy([VENDOR, BARE]),
    )


def test_each_field_is_mapped_below_a_root_of_ecs_or_not_supplied(rules: RuleSet) -> None:
    assert [(use.field, use.rules, use.supply) for use in field_uses(rules)] == [
        ("odd", 1, "none"),
        ("other", 1, "none"),
        ("user.name", 1, "ecs"),
        ("moon", 1, "none"),
        ("what", 2, "root"),
        ("who", 1, "mapped"),
    ]
    who = next(use for use in field_uses(rules) if use.field == "who")
    assert who.places == ("user.name",)
    what = next(use for use in field_uses(rules) if use.field == "what")
    assert what.places == ("acme.audit.what", "what")


def test_what_is_not_supplied_has_a_reason(rules: RuleSet) -> None:
    assert [(use.field, use.reason) for use in unsupplied(rules)] == [
        ("odd", "no mapping has it, and it is no ECS name"),
        ("other", "no mapping has it, and it is no ECS name"),
        ("moon", "the vendor never says it"),
    ]


def test_events_tell_which_fields_they_have(rules: RuleSet) -> None:
    events = [
        {"event": {"dataset": "acme.audit"}, "acme": {"audit": {"what": "y"}}},
        {"event": {"dataset": "acme.audit"}, "acme": {"audit": {"what": None}}},
        {"event": {"dataset": "bare"}, "user": {"name": "x"}, "what": 1},
    ]
    seen = {use.field: use.seen for use in seen_in(rules, field_uses(rules), events)}
    assert seen == {"odd": 0, "other": 0, "user.name": 1, "moon": 0, "what": 1, "who": 0}
