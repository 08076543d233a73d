"""What protects the world from an action, as a playbook writes it: hold, guard, who is asked."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from playbooks.model_types import MAX_HOLD, Duration, Expression, Model

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TimeOfDay = Annotated[str, Field(pattern=r"^(([01]\d|2[0-3]):[0-5]\d|24:00)$", examples=["22:00"])]
Exceed = Literal["refuse", "approval"]


def minutes(text: str) -> int:
    """Minutes since midnight of a TimeOfDay."""
    hours, _, rest = text.partition(":")
    return int(hours) * 60 + int(rest)


class Approvers(Model):
    """Who may answer: members of `group`, `quorum` of them, nobody whom `exclude` names.

    The subject of the alert (`alert.user.name`) is always excluded.
    """

    group: Annotated[str, Field(min_length=1, max_length=100)]
    quorum: Annotated[int, Field(ge=1, le=10)] = 1
    exclude: tuple[Expression, ...] = ()


class Hold(Model):
    """How long a containment lasts: `max` bounds all extensions together."""

    ttl: Annotated[Duration, Field(le=MAX_HOLD)]
    max: Annotated[Duration, Field(le=MAX_HOLD)] | None = None
    extend_on_repeat: Annotated[float, Field(ge=1, le=10, strict=False)] = 1.0
    on_expiry: Literal["undo", "approval"] = "undo"

    @model_validator(mode="after")
    def _ordered(self) -> Hold:
        if self.max is not None and self.max < self.ttl:
            raise PydanticCustomError("hold", "'max' is shorter than 'ttl'")
        return self


class Rate(Model):
    """At most `max` effects of this verb in any `per`."""

    max: Annotated[int, Field(ge=1)]
    per: Duration
    exceed: Exceed = "refuse"


class Share(Model):
    """At most `percent` of the entries of the guard list `of` are held by this verb at a time."""

    percent: Annotated[float, Field(gt=0, le=100, strict=False)]
    of: Annotated[str, Field(min_length=1, max_length=200)] = "fleet"
    exceed: Exceed = "refuse"

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """`max_percent: 5` is short for `max_percent: {percent: 5}`."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return {"percent": value} if number else value


class Quiet(Model):
    """Hours in which nothing is done by itself; `to` before `from` goes over midnight."""

    since: Annotated[TimeOfDay, Field(alias="from")] = "00:00"
    until: Annotated[TimeOfDay, Field(alias="to")] = "24:00"
    days: Annotated[tuple[Day, ...], Field(min_length=1)] = DAYS
    zone: Annotated[str, Field(max_length=100)] = "UTC"
    exceed: Exceed = "refuse"

    @model_validator(mode="after")
    def _known(self) -> Quiet:
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise PydanticCustomError(
                "zone", "'{zone}' is no time zone, such as Europe/Paris", {"zone": self.zone}
            ) from None
        if self.since == self.until:
            raise PydanticCustomError("quiet", "'from' and 'to' are the same time")
        return self


class Guard(Model):
    """Lists the target must not overlap, a rate, a share, hours; the site's come on top."""

    never: tuple[str, ...] = ()
    rate: Rate | None = None
    max_percent: Share | None = None
    quiet_hours: Quiet | None = None
    drift: Annotated[
        Literal["require_same"] | None,
        Field(description="Act only on exactly what an approval before this step has seen."),
    ] = None

    @property
    def asks(self) -> bool:
        """Whether people may overrule one of these guards."""
        each = (self.rate, self.max_percent, self.quiet_hours)
        return any(one is not None and one.exceed == "approval" for one in each)
