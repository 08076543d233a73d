"""What may never be touched, and how much and when: `response.guards` of tocsin.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tocsin.config_types import Duration, Section, Zone

Exceed = Literal["refuse", "approval"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TimeOfDay = Annotated[str, Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class RateSettings(Section):
    """At most `max` effects of a verb, of all playbooks together, in any `per`."""

    max: Annotated[int, Field(ge=1)]
    per: Annotated[Duration, Field(gt=0)]
    exceed: Exceed = "refuse"


class ShareSettings(Section):
    """At most `percent` of the entries of list `of` are held by a verb at a time."""

    percent: Annotated[float, Field(gt=0, le=100)]
    of: str = "fleet"
    exceed: Exceed = "refuse"


class QuietSettings(Section):
    """Hours in which nothing is contained by itself; `to` before `from` goes over midnight.

    `verbs` are those it applies to; none named means all.
    """

    since: Annotated[TimeOfDay, Field(alias="from")] = "00:00"
    until: Annotated[TimeOfDay, Field(alias="to")] = "24:00"
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS
    zone: Zone = "UTC"
    verbs: tuple[str, ...] = ()
    exceed: Exceed = "refuse"


class GuardSettings(Section):
    """Named lists (addresses, ranges, names, or `file:` references) that effects must not touch.

    `never` lists apply to every effect of class contain or destructive, whatever a playbook
    says; loopback, link-local, multicast, unspecified and the whole address space always do.
    `rates` and `max_percent` are by verb.
    """

    lists: dict[str, tuple[str, ...]] = Field(default={})
    never: tuple[str, ...] = ()
    rates: dict[str, RateSettings] = Field(default={})
    max_percent: dict[str, ShareSettings] = Field(default={})
    quiet_hours: tuple[QuietSettings, ...] = ()
