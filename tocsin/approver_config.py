"""Who may answer for people: `response.approvers` and `response.links` of tocsin.yaml."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from tocsin.config_types import Duration, Section


class Approver(Section):
    """A person who may answer approvals of `groups`.

    `token` is a reference to the secret that the console asks for, `user` the account on this
    machine that the command line takes for this person; without either nobody can be them.
    """

    groups: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    token: str = ""
    user: str = ""


class LinkSettings(Section):
    """Links that answer an approval: `key` is a reference to the secret that signs them.

    `url` is where people reach the console, `ttl` the longest a link is good for.
    """

    key: str = ""
    url: Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+/?$")] = "http://127.0.0.1:8790"
    ttl: Duration = 3_600_000
