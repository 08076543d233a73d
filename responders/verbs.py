"""Verbs that several products serve, so that a playbook names none of them.

A verb means the same and takes the same inputs wherever it is bound; a connector says with
`dataclasses.replace` how safely its product does it.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from responders.base import Action, ActionClass, EntityKind, Idempotence, Inputs

Text = Annotated[str, Field(max_length=10_000)]
Line = Annotated[str, Field(max_length=200)]


class BlockIp(Inputs):
    """Block all traffic from and through to one address; ranges are refused."""

    ip: str
    comment: Line = ""


class User(Inputs):
    """An account, by the name it logs in with."""

    user: Annotated[str, Field(min_length=1, max_length=320)]


class Host(Inputs):
    """A machine by its name; `comment` is for the product's own record."""

    host: Annotated[str, Field(min_length=1, max_length=253)]
    comment: Line = ""


class Message(Inputs):
    """A text for one configured channel."""

    message: Text
    channel: Annotated[str, Field(max_length=200)] = "default"


class Ticket(Inputs):
    """A ticket for a case; a case has one, whoever asks for it again gets the same.

    `severity` as alerts have it, 0 to 100.
    """

    case: Annotated[str, Field(min_length=1, max_length=200)]
    title: Annotated[str, Field(min_length=1, max_length=250)]
    description: Text = ""
    severity: Annotated[int, Field(ge=0, le=100)] = 50


class Comment(Inputs):
    """A comment on the ticket of a case."""

    case: Annotated[str, Field(min_length=1, max_length=200)]
    text: Text


BLOCK_IP = Action(
    verb="firewall.block_ip",
    action_class=ActionClass.CONTAIN,
    idempotence=Idempotence.NATURAL,
    inputs=BlockIp,
    target="ip",
    entity=EntityKind.ADDRESS,
    reversible=True,
    summary="Drop every packet from the address",
)
LIST_SESSIONS = Action(
    verb="identity.list_sessions",
    action_class=ActionClass.READ,
    idempotence=Idempotence.NATURAL,
    inputs=User,
    target="user",
    entity=EntityKind.USER,
    summary="The sessions that an account has open",
    outputs={"count": int, "sessions": list},
)
REVOKE_SESSIONS = Action(
    verb="identity.revoke_sessions",
    action_class=ActionClass.DESTRUCTIVE,
    idempotence=Idempotence.NATURAL,
    inputs=User,
    target="user",
    entity=EntityKind.USER,
    summary="Log an account out everywhere and refuse its refresh tokens",
)
DISABLE_USER = Action(
    verb="identity.disable_user",
    action_class=ActionClass.CONTAIN,
    idempotence=Idempotence.NATURAL,
    inputs=User,
    target="user",
    entity=EntityKind.USER,
    reversible=True,
    summary="Let an account not log in any more",
)
ISOLATE = Action(
    verb="host.isolate",
    action_class=ActionClass.CONTAIN,
    idempotence=Idempotence.NATURAL,
    inputs=Host,
    target="host",
    entity=EntityKind.HOST,
    reversible=True,
    summary="Cut a machine off from the network, its management excepted",
)
MESSAGE = Action(
    verb="notify.message",
    action_class=ActionClass.NOTIFY,
    idempotence=Idempotence.NONE,
    inputs=Message,
    target="channel",
    entity=EntityKind.CHANNEL,
    summary="Tell people something",
)
TICKET = Action(
    verb="ticket.create",
    action_class=ActionClass.NOTIFY,
    idempotence=Idempotence.PROBE,
    inputs=Ticket,
    target="case",
    entity=EntityKind.CASE,
    summary="Open the ticket of a case, once",
    outputs={"ticket": str, "url": str},
)
COMMENT = Action(
    verb="ticket.comment",
    action_class=ActionClass.NOTIFY,
    idempotence=Idempotence.PROBE,
    inputs=Comment,
    target="case",
    entity=EntityKind.CASE,
    summary="Comment on the ticket of a case",
)
