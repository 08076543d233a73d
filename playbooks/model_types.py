"""What keys of a playbook are made of: durations, expressions, names, and the base of all models.

Durations are written with a unit (`90s`, `15m`); a bare number is refused. Expressions are CEL
text.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from tocsin.config import parse_duration
from tocsin.expressions import MAX_EXPRESSION

#: Longest run: a longer one is a case for a person.
MAX_DEADLINE = 7 * 86_400_000
#: Longest hold of a containment.
MAX_HOLD = 365 * 86_400_000


def _duration(value: object) -> object:
    if not isinstance(value, str):
        raise PydanticCustomError("duration", "write a duration with its unit, such as 30s or 4h")
    try:
        return parse_duration(value)
    except ValueError as error:
        raise PydanticCustomError("duration", "{why}", {"why": str(error)}) from None


def _expression(value: object) -> object:
    """CEL text; a bare `true` or `5` is CEL too, and `!cel` says nothing new here."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case {"!cel": str() as text}:
            return text
        case _:
            return value


Duration = Annotated[
    int,
    BeforeValidator(_duration),
    Field(gt=0),
    PlainSerializer(lambda value: f"{value}ms", return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(ms|s|m|h|d)$", "examples": ["15m"]}),
]
Expression = Annotated[
    str,
    BeforeValidator(_expression),
    Field(min_length=1, max_length=MAX_EXPRESSION),
    WithJsonSchema(
        {"type": ["string", "boolean", "number"], "description": "A CEL expression (cel.dev)."}
    ),
]
#: A step's id is a name in expressions: `steps.block.output`.
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
PlaybookId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Verb = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*$")]
FailureKind = Literal[
    "timeout", "rate_limited", "http_4xx", "http_5xx", "unavailable", "denied", "invalid",
    "oversized", "redirect", "internal",
]  # fmt: skip
#: Failures that a second try may cure, whatever the product.
TRANSIENT: tuple[FailureKind, ...] = ("timeout", "rate_limited", "http_5xx", "unavailable")
OnError = Literal["stop", "continue"]


class Model(BaseModel):
    """Base of the schema: immutable, no unknown keys, no conversions between types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
