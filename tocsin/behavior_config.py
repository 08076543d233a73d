"""The section of tocsin.yaml about learned behaviour."""

from __future__ import annotations

from datetime import UTC, date, datetime
from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from tocsin.config_types import Duration, Section


def _a_network(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"'{text}' is no address or network; write one like 192.0.2.0/24"
        ) from None
    return text


def _an_instant(value: object) -> object:
    """Milliseconds of a day or an RFC 3339 time; YAML may have made a date of it already."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"'{value}' is no day; write one like 2026-12-31") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    return value


#: A day (its beginning, UTC) or an RFC 3339 time; ms.
Instant = Annotated[
    int,
    BeforeValidator(_an_instant),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
]

Budget = Annotated[float, Field(ge=0, le=100_000)]
_Name = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,80}$")]


class SuppressionSettings(Section):
    """Nothing is told of this detector and entity until then; one of the two may be left out."""

    detector: str = ""
    entity: str = ""
    until: Instant
    reason: Annotated[str, Field(max_length=500)] = ""

    def model_post_init(self, context: Any) -> None:
        """Raises ValueError for one that would suppress everything."""
        if not (self.detector or self.entity):
            raise ValueError("name a detector, an entity or both")


class RetrainSettings(Section):
    """Train a model anew `every` so often from what was kept of the last `days`; a shadow then.

    `seconds` bounds the time of one training.
    """

    every: Duration
    days: Annotated[int, Field(ge=7, le=365)] = 30
    seconds: Annotated[int, Field(ge=10, le=3_600)] = 600

    def model_post_init(self, context: Any) -> None:
        """Raises ValueError for a schedule that does nothing else."""
        if self.every < 3_600_000:
            raise ValueError("every must be at least 1h")


class ModelSettings(Section):
    """Models that detectors ask; `retrain` by kind of model (only `insider` learns from events)."""

    retrain: dict[Annotated[str, Field(pattern="^insider$")], RetrainSettings] = Field(default={})


class BehaviorSettings(Section):
    """Detectors of unusual behaviour; off unless `enabled`.

    `budgets` are alerts a day by detector, `egress` the site's own public networks, `disable`
    names detectors, `max_entities` bounds the profiles of one partition, `models` says which are
    trained anew by themselves.
    """

    enabled: bool = False
    disable: tuple[_Name, ...] = ()
    budgets: dict[_Name, Budget] = Field(default={})
    egress: tuple[Annotated[str, AfterValidator(_a_network)], ...] = ()
    suppress: tuple[SuppressionSettings, ...] = ()
    models: ModelSettings = ModelSettings()
    max_entities: Annotated[int, Field(ge=1_000, le=5_000_000)] = 250_000
