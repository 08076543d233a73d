"""Verbs without products, and small helpers, for tests of the decide side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from playbooks.loading import load_playbook
from responders.base import Action, ActionClass, EntityKind, Idempotence, Inputs

if TYPE_CHECKING:
    from playbooks.program import Playbook

ALERT: dict[str, Any] = {
    "message": "12 failed logins",
    "rule": {"id": "r-1", "name": "Guessing", "tags": ["attack.t1110"]},
    "event": {"severity": 73},
    "source": {"ip": "203.0.113.9"},
    "tocsin": {
        "alert": {"id": "a-1", "revision": 1, "window_start": "2026-01-01T00:00:00.000Z"},
    },
}


class Address(Inputs):
    ip: str
    comment: str = ""


class Entity(Inputs):
    entity: str


class Message(Inputs):
    message: str
    data: dict[str, Any] = Field(default_factory=dict)
    channel: str = "default"


class Report(Inputs):
    case: str
    title: str = ""
    formats: tuple[str, ...] = ("md",)
    run: dict[str, Any] = Field(default_factory=dict)
    alert: dict[str, Any] = Field(default_factory=dict)


def action(
    verb: str,
    inputs: type[Inputs],
    target: str,
    entity: EntityKind,
    action_class: ActionClass = ActionClass.READ,
    idempotence: Idempotence = Idempotence.NATURAL,
) -> Action:
    contains = action_class is ActionClass.CONTAIN
    return Action(verb, action_class, idempotence, inputs, target, entity, reversible=contains)


_ALL = (
    action("geoip.lookup", Address, "ip", EntityKind.ADDRESS),
    action("inventory.lookup", Entity, "entity", EntityKind.HOST),
    action("firewall.block_ip", Address, "ip", EntityKind.ADDRESS, ActionClass.CONTAIN),
    action("notify.webhook", Message, "channel", EntityKind.CHANNEL, ActionClass.NOTIFY),
    action("case.report", Report, "case", EntityKind.CASE, ActionClass.NOTIFY),
    action(
        "pager.call",
        Message,
        "channel",
        EntityKind.CHANNEL,
        ActionClass.NOTIFY,
        Idempotence.NONE,
    ),
)
ACTIONS: dict[str, Action] = {each.verb: each for each in _ALL}

HEAD = """\
apiVersion: tocsin/v1
kind: Playbook
metadata: {id: test}
trigger: {when: "true"}
"""


def playbook(rest: str, head: str = HEAD, actions: dict[str, Action] | None = None) -> Playbook:
    """A playbook from the text below its head."""
    return load_playbook(
        "test.yml", (head + rest).encode(), ACTIONS if actions is None else actions
    )
