"""The leaves of a framed log, every scalar offered for what its path means, in bounded work.

Paths are keys joined by dots, without the indices of lists, so that one field has one path. Looked
into are: objects and lists, texts that are JSON, and lists of names with their values
(`[{"Name": "SrcIp", "Value": "192.0.2.1"}]`, as if they were an object). An object that says what
it is (`{"type": "User", "name": "ann"}`) adds that word to the paths below it, as `#user`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from ingest.document import address
from ingest.generic.resolve import hint
from ingest.mapping.values import NOTHING

if TYPE_CHECKING:
    from ingest.generic.candidates import Candidates
    from ingest.generic.resolve import Resolver

#: Deepest nesting that is looked into, JSON within texts included.
MAX_DEPTH = 10

#: Most leaves that are looked at.
MAX_LEAVES = 1_000

#: Most members of one list that are looked at.
MAX_MEMBERS = 50

#: Longest text that is read as JSON, characters.
MAX_JSON = 65_536

#: Longest text that is looked at as addresses, characters.
MAX_ADDRESSES = 256

_TYPES = ("type", "Type", "objectType", "entityType", "@odata.type", "__typename", "kind", "$type")
_HAS_TYPE = frozenset(_TYPES)
#: Keys of the name of what has such a type.
_ENTITIES = ("entityValue", "entityName", "entity_value", "entity_name")
_NAMES = ("name", "Name", "key", "Key", "field", "displayName", "label")
_VALUES = ("value", "Value", "newValue", "NewValue", "values", "val", "content")
_HAS_VALUE = frozenset(_VALUES)

#: Names of resources of Amazon's, Microsoft's and Google's clouds, and their first characters.
_RESOURCE = re.compile(
    r"arn:aws[\w-]{0,16}:|/subscriptions/[0-9a-f-]{36}|//[\w.-]{1,64}\.googleapis\.com/",
    re.ASCII | re.IGNORECASE,
)
_RESOURCES = frozenset({"arn:", "/sub", "/SUB", "/Sub"})


class Walk:
    """One walk over a log: offers its leaves to `found`."""

    __slots__ = ("_found", "_left", "_resolver")

    def __init__(self, resolver: Resolver, found: Candidates) -> None:
        self._resolver = resolver
        self._found = found
        self._left = MAX_LEAVES

    def object(self, node: dict[str, Any], prefix: str = "", depth: int = 0) -> None:
        """Offer the leaves of an object whose own path is `prefix`, with a dot behind it."""
        if depth and not _HAS_TYPE.isdisjoint(node) and (word := _hint(node)) is not None:
            prefix = f"{prefix}#{word}."
            named = next((node[key] for key in _ENTITIES if key in node), None)
            if isinstance(named, str) and named and "name" not in node:
                self._text(f"{prefix}name", named)
        for key, value in node.items():
            if isinstance(value, str):
                if value in NOTHING:
                    continue
                if value[0] in "{[" and (decoded := _decoded(value)) is not None:
                    self._value(decoded, prefix + key, depth + 1)
                else:
                    self._text(prefix + key, value)
            elif isinstance(value, (dict, list)):
                self._value(value, prefix + key, depth + 1)
            elif value is not None:
                self._scalar(prefix + key, value)
            if self._left <= 0:
                return

    def _value(self, value: Any, path: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            return
        if isinstance(value, dict):
            self.object(value, f"{path}.", depth)
        elif isinstance(value, list):
            for member in value[:MAX_MEMBERS]:
                self._member(member, path, depth)
        elif isinstance(value, str):
            self._text(path, value)
        elif value is not None:
            self._scalar(path, value)

    def _member(self, member: Any, path: str, depth: int) -> None:
        if isinstance(member, dict):
            named = None if _HAS_VALUE.isdisjoint(member) else _named(member)
            self.object(member if named is None else dict((named,)), f"{path}.", depth)
        elif isinstance(member, list):
            self._value(member, path, depth + 1)
        elif isinstance(member, str):
            if member in NOTHING:
                return
            decoded = _decoded(member) if member[0] == "{" else None
            self._value(member if decoded is None else decoded, path, depth + 1)
        elif member is not None:
            self._scalar(path, member)

    def _scalar(self, path: str, value: Any) -> None:
        self._left -= 1
        for target, score in self._resolver(path).targets:
            self._found.offer(target, score, value)

    def _text(self, path: str, value: str) -> None:
        self._left -= 1
        plan = self._resolver(path)
        for target, score in plan.targets:
            self._found.offer(target, score, value)
        if value[:4] in _RESOURCES and _RESOURCE.match(value) is not None:
            self._found.offer("~resource", 1, value)
        if (
            plan.addresses
            and 2 < len(value) <= MAX_ADDRESSES
            and value[0] in _ADDRESS_STARTS
            and ("." in value or ":" in value)
        ):
            for part in value.split(",") if "," in value else (value,):
                if (ip := address(part.strip())) is not None:
                    self._found.addresses[ip] = None


#: What an address begins with.
_ADDRESS_STARTS = frozenset("0123456789abcdefABCDEF:")


def _decoded(text: str) -> Any:
    """The object or list of a text that is JSON, None for any other."""
    if len(text) > MAX_JSON or text[-1] not in "}] \n":
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, (dict, list)) and value else None


def _hint(node: dict[str, Any]) -> str | None:
    for key in _TYPES:
        value = node.get(key)
        if isinstance(value, str):
            # As an entity beside hosts and mailboxes an account is a user's.
            return "user" if key == "entityType" and value.lower() == "account" else hint(value)
    return None


def _named(member: dict[str, Any]) -> tuple[str, Any] | None:
    """The name and value of an object that is just these two."""
    if len(member) > 4:
        return None
    for key in _VALUES:
        if key in member:
            for naming in _NAMES:
                name = member.get(naming)
                if isinstance(name, str) and 0 < len(name) <= 64:
                    return name.replace(".", "_"), member[key]
    return None
