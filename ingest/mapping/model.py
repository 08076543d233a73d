"""The shape of a mapping file; ingest.mapping.program checks what the words in it mean.

Sources and conditions are recursive and mostly one word, so they stay plain values here and are
read by the program: its messages name the place and what to write instead.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

#: Names of framings a line may come in.
FORMATS = (
    *("json", "windows", "cef", "leef", "kv", "csv", "w3c", "access", "auditd", "xml", "text"),
)

Format = Literal[
    "json", "windows", "cef", "leef", "kv", "csv", "w3c", "access", "auditd", "xml", "text"
]

_ANY_OF_TEXT = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}

#: A path, a list of sources, or a SourceSpec.
Source = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "description": "a path: a.b, a[0].b, a[].b, $host"},
                {"type": "array", "description": "the first that yields something"},
                {"type": "object", "title": "SourceSpec"},
            ]
        }
    ),
]

#: `{path: literal or list or {exists|starts|ends|contains|regex|gte|lte|gt|lt: …}}`, any/all/not.
Condition = Annotated[dict[str, Any], WithJsonSchema({"type": "object"})]

Names = Annotated[str | list[str], WithJsonSchema(_ANY_OF_TEXT)]


class Shape(BaseModel):
    """Base of all parts: nothing unknown, nothing coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Find(Shape):
    """The member of a list of objects that holds `where`; of it `take`."""

    list: str
    where: dict[str, str | int | bool]
    take: str


class SourceSpec(Shape):
    """A source that is more than a path. Order: value, split, regex, map, as."""

    from_: Any = Field(None, alias="from", description="a path or a list of them")
    all: list[str] | None = Field(None, description="every value, as a list without doubles")
    value: Any = Field(None, description="a constant")
    template: str | None = Field(None, description='"{a}\\\\{b}"; nothing if one is missing')
    find: Find | None = None
    split: str | None = None
    regex: str | None = Field(None, description="the first group of the first match")
    map: dict[str, Any] | None = None
    default: Any = Field(None, description="of a map, for unknown keys; else for nothing")
    other: Literal["keep"] | None = Field(None, description="keep: unknown keys stay as they are")
    as_: Any = Field(None, alias="as", description="a converter, a list of them, {time: format}")
    when: Condition | None = None


class Block(Shape):
    """What is assigned, in this order."""

    set: dict[str, Any] = Field(default_factory=dict, description="constants by target")
    fields: dict[str, Source] = Field(default_factory=dict, description="sources by target")
    patterns: list[Pattern] = Field(default_factory=list)
    cases: list[Case] = Field(default_factory=list, description="the first whose `when` holds")
    all_cases: list[Case] = Field(default_factory=list, description="every one that holds")


class Pattern(Block):
    """A shape of a text, or with `patterns` a group of them with its own `from`."""

    from_: Source = Field(None, alias="from")
    match: str | None = Field(None, description="Accepted <method> for <user.name> from <…>")
    regex: str | None = Field(None, description="anchored at the start; (?P<source__ip>…)")
    when: Condition | None = None


class Case(Block):
    """A block that counts only under a condition."""

    when: Condition


class Recognize(Shape):
    """One way to recognise the product's lines; all that is given must hold."""

    format: Format
    keys: list[str] = Field(default_factory=list, description="paths that must be there")
    absent: list[str] = Field(default_factory=list, description="paths that must not be there")
    values: dict[str, Any] = Field(default_factory=dict, description="conditions on values")
    vendor: Names = Field(default_factory=list)
    product: Names = Field(default_factory=list)
    programs: list[str] = Field(default_factory=list)
    starts: list[str] = Field(default_factory=list)
    contains: list[str] = Field(default_factory=list)
    regex: str | None = None
    columns: list[str | None] = Field(default_factory=list)
    delimiter: str = Field(",", min_length=1, max_length=1)
    patterns: bool = False
    priority: int = 0


class Observer(Shape):
    """What watched, in observer.*."""

    vendor: str | None = None
    product: str | None = None
    type: str | None = None


class Example(Shape):
    """A test: this raw line becomes an event with these fields."""

    name: str
    raw: str | dict[str, Any] | list[Any]
    expect: dict[str, Any] = Field(default_factory=dict)
    absent: list[str] = Field(default_factory=list)
    mapping: bool = Field(True, description="false: this line must not be recognised")
    timezone: str = "UTC"
    source: str = "test"


class Mapping(Block):
    """A mapping file: one product."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*$")
    version: int = Field(ge=1)
    title: str
    description: str = ""
    references: list[str] = Field(default_factory=list)
    observer: Observer | None = None
    root: str | None = None
    keep: bool = True
    identity: Source = Field(
        None, description="the provider's own id of an event, the same whenever it is delivered"
    )
    priority: int = Field(0, description="of all its recognize entries that give none")
    decode: dict[str, Literal["json", "kv"]] = Field(default_factory=dict)
    recognize: list[Recognize]
    tests: list[Example] = Field(default_factory=list)


def _refer(node: Any) -> None:
    """Let sources that are objects be SourceSpecs: pydantic cannot be told so itself."""
    for child in list(node.values()) if isinstance(node, dict) else node:
        if isinstance(child, dict) and child == {"type": "object", "title": "SourceSpec"}:
            child.clear()
            child["$ref"] = "#/$defs/SourceSpec"
        elif isinstance(child, (dict, list)):
            _refer(child)


def schema() -> dict[str, Any]:
    """The JSON Schema of mapping files, for editors."""
    made = Mapping.model_json_schema(by_alias=True)
    made["$defs"]["SourceSpec"] = SourceSpec.model_json_schema(by_alias=True)
    made["$defs"]["Find"] = Find.model_json_schema()
    for name in ("SourceSpec", "Find"):
        made["$defs"][name].pop("$defs", None)
    _refer(made)
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    made["title"] = "Tocsin mapping"
    return made
