"""Who a user is: a CSV or YAML file of people and accounts.

Columns (CSV) or keys (YAML, a list of mappings): `name` (the login), `aliases` (other logins,
ids, mail addresses), `full_name`, `email`, `criticality` (low, medium, high, critical), `owner`
(of a service account, or a manager), `tags`. Several values as in tocsin.inventory.

ECS `user.full_name` and `user.email` are filled where the event has none; the rest stands in
`tocsin.identity.<user, user_target, user_effective, source_user, destination_user>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tocsin.files import Watched
from tocsin.inventory import criticality, read_rows, text, texts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tocsin.contracts import Document

_KEYS = frozenset({"name", "aliases", "full_name", "email", "criticality", "owner", "tags"})
_LISTS = frozenset({"aliases", "tags"})
_NAMES = ("name", "email", "id")

#: Where accounts stand, and what they are called under `tocsin.identity`.
_PLACES = (
    (("user",), "user"),
    (("user", "target"), "user_target"),
    (("user", "effective"), "user_effective"),
    (("source", "user"), "source_user"),
    (("destination", "user"), "destination_user"),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """One row."""

    name: str
    aliases: tuple[str, ...]
    full_name: str
    email: str
    criticality: str
    owner: str
    tags: tuple[str, ...]

    def names(self) -> Iterator[str]:
        """Everything that the account is called, folded."""
        for name in (self.name, self.email, *self.aliases):
            if name:
                yield name.casefold()


class Identities:
    """The accounts of a file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._file = Watched(path, read_identities)

    def refresh(self) -> None:
        """Read the file again if it has changed."""
        self._file.current()

    def apply(self, document: Document) -> None:
        """Add what is known of each account that the event names."""
        known = self._file.value
        if not known:
            return
        found = {}
        for path, name in _PLACES:
            body: Any = document
            for part in path:
                body = body.get(part) if isinstance(body, dict) else None
            if isinstance(body, dict) and (identity := _find(known, body)) is not None:
                found[name] = _told(identity)
                _fill(body, identity)
        if found:
            document.setdefault("tocsin", {})["identity"] = found

    def problems(self) -> list[str]:
        """What is wrong with the file now."""
        return [self._file.problem] if self._file.problem else []


def _find(known: Mapping[str, Identity], body: Mapping[str, Any]) -> Identity | None:
    for name in _NAMES:
        value = body.get(name)
        if isinstance(value, str) and (identity := known.get(value.casefold())) is not None:
            return identity
    return None


def _fill(body: dict[str, Any], identity: Identity) -> None:
    if identity.full_name:
        body.setdefault("full_name", identity.full_name)
    if identity.email:
        body.setdefault("email", identity.email)


def _told(identity: Identity) -> dict[str, Any]:
    told: dict[str, Any] = {"name": identity.name, "criticality": identity.criticality}
    if identity.owner:
        told["owner"] = identity.owner
    if identity.tags:
        told["tags"] = list(identity.tags)
    return told


def read_identities(path: Path) -> dict[str, Identity]:
    """Accounts by each of their names; raises OSError, or ValueError naming what is wrong."""
    return _by_name(read_rows(path, _KEYS, _LISTS, _identity))


def _by_name(identities: Iterable[Identity]) -> dict[str, Identity]:
    known: dict[str, Identity] = {}
    doubles = set()
    for identity in identities:
        for name in identity.names():
            if known.setdefault(name, identity) is not identity:
                doubles.add(name)
    if doubles:
        raise ValueError(f"names of two accounts: {', '.join(sorted(doubles)[:20])}")
    return known


def _identity(row: dict[str, Any]) -> Identity:
    return Identity(
        name=text(row, "name", required=True),
        aliases=tuple(texts(row, "aliases")),
        full_name=text(row, "full_name"),
        email=text(row, "email"),
        criticality=criticality(row),
        owner=text(row, "owner"),
        tags=tuple(texts(row, "tags")),
    )
