"""Which rules hold for a source, and what they do to its events.

All rules of all policies that name the source apply; what several say of one value, the first
says. The values are read before anything is changed, so rules do not see each other's work.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from ingest.privacy.scrub import FIXED, REDACTED, Needle, Scrubber
from ingest.privacy.sealing import (
    PREFIX,
    check_installed,
    mac,
    name_pseudonym,
    open_bytes,
    pseudonym,
    seal,
    seal_bytes,
)
from tocsin.deadletters import SEALED
from tocsin.errors import BadInput, ConfigError
from tocsin.log.base import MAX_RECORD
from tocsin.subjects import subject_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tocsin.contracts import Document
    from tocsin.enrichment_config import PrivacyRule, PrivacySettings
    from tocsin.subjects import Keys, SubjectKey

#: Shortest secret that values are hashed with, bytes.
MIN_SECRET = 16

#: Sources whose rules are remembered; a name may come with the record.
MAX_SOURCES = 4_096

#: Longest text that names a subject or is hashed, characters.
MAX_VALUE = 4_096

_DEFAULT_TENANT = "default"


@dataclass(frozen=True, slots=True)
class _Step:
    """One rule, its fields as paths."""

    action: str
    paths: tuple[tuple[str, ...], ...]
    subject: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything that happens to the events of one source."""

    steps: tuple[_Step, ...]
    drop_original: bool
    residency: str


class _Place:
    """A value, where it stands, and how to put another in its place."""

    __slots__ = ("container", "key", "value")

    def __init__(self, container: Any, key: Any, value: Any) -> None:
        self.container = container
        self.key = key
        self.value = value


class Policy:
    """The policies of a configuration.

    `secret` is the key of hashing, `keys` keeps those of subjects. Without policies `covers` is
    always False and nothing else need be called.
    """

    def __init__(self, settings: PrivacySettings, secret: bytes, keys: Keys | None) -> None:
        """Raises ConfigError for rules that cannot be meant and a secret too short."""
        self._policies = settings.policies
        self._secret = secret
        self._keys = keys
        self._plans: dict[str, _Plan | None] = {}
        rules = [rule for policy in self._policies for rule in policy.rules]
        for rule in rules:
            _check(rule)
        if rules and len(secret) < MIN_SECRET:
            raise ConfigError(
                f"privacy.key must name a secret of at least {MIN_SECRET} bytes: whoever guesses "
                "it can tell who a pseudonym is"
            )
        if rules:
            check_installed()
            if keys is None:
                raise ConfigError("privacy policies need a store of keys")

    def covers(self, source: str) -> bool:
        """Whether any policy is about the source; a look-up in a dict after the first time."""
        return self._plan(source) is not None

    def flush(self) -> None:
        """To be called after a batch, before it is written; raises StoreUnavailable."""
        if self._keys is not None:
            self._keys.flush()

    def apply(self, document: Document, source: str) -> None:
        """Change the document in place. Raises StoreUnavailable where no key can be had."""
        plan = self._plan(source)
        if plan is None:
            return
        own = document.setdefault("tocsin", {})
        if plan.residency:
            own["residency"] = plan.residency
        if plan.drop_original and "event" in document:
            document["event"].pop("original", None)
        if plan.steps:
            _Work(self, document, own).run(plan.steps)

    def record_key(self, key: bytes | None, source: str) -> bytes | None:
        """The key that an event's record may have in the log: it may be a name or an address."""
        if key is None or not self._has_rules(source):
            return key
        return mac(self._secret, "record-key", key)[:16].hex().encode()

    def seal_original(self, data: bytes, source: str) -> bytes:
        """The bytes of a dead letter, sealed under the source's own key.

        What stands in them is not known, so all of it is. Bytes that would no longer fit a record
        are withheld.
        """
        if not self._has_rules(source):
            return data
        key = self._source_key(source)
        sealed = SEALED + key.id.encode() + b"\x00" + seal_bytes(key.secret, _door(source), data)
        return sealed if len(sealed) <= MAX_RECORD else SEALED

    def open_original(self, data: bytes, source: str) -> bytes:
        """What `seal_original` sealed, anything else as it is; for letters that are replayed.

        Raises BadInput `sealed` if the key was erased or the bytes were altered.
        """
        return open_original(data, source, self._keys) if data.startswith(SEALED) else data

    def _has_rules(self, source: str) -> bool:
        plan = self._plan(source)
        return plan is not None and bool(plan.steps)

    def _source_key(self, source: str) -> SubjectKey:
        if self._keys is None:  # checked when rules were read
            raise ConfigError("privacy policies need a store of keys")
        return self._keys.key(f"source:{source}")

    def _plan(self, source: str) -> _Plan | None:
        try:
            return self._plans[source]
        except KeyError:
            if len(self._plans) >= MAX_SOURCES:
                self._plans.clear()
            plan = self._plans[source] = self._made(source)
            return plan

    def _made(self, source: str) -> _Plan | None:
        policies = [
            policy
            for policy in self._policies
            if any(fnmatchcase(source, pattern) for pattern in policy.sources)
        ]
        if not policies:
            return None
        return _Plan(
            steps=tuple(_step(rule) for policy in policies for rule in policy.rules),
            drop_original=any(policy.original == "drop" for policy in policies),
            residency=next((policy.residency for policy in policies if policy.residency), ""),
        )


class _Work:
    """One event under one plan."""

    def __init__(self, policy: Policy, document: Document, own: dict[str, Any]) -> None:
        self._policy = policy
        self._document = document
        self._own = own
        tenant = own.get("tenant")
        self._tenant = tenant if isinstance(tenant, str) else _DEFAULT_TENANT
        self._event = _event_id(document)
        self._told: dict[str, list[Any]] = {}

    def run(self, steps: Sequence[_Step]) -> None:
        needles: list[Needle] = []
        changes: list[Callable[[], None]] = []
        for step in steps:
            subject = _text_at(self._document, step.subject) if step.subject else ""
            for path in step.paths:
                for place in _places(self._document, path, 0):
                    needle, change = self._decide(step, ".".join(path), place, subject)
                    needles += needle
                    changes.append(change)
        if not changes:
            return
        for change in changes:
            change()
        scrubber = Scrubber(needles)
        scrubber.scrub(self._document)
        self._guard_id(scrubber)
        self._own["privacy"] = {name: _distinct(told) for name, told in self._told.items()}

    def _decide(
        self, step: _Step, field: str, place: _Place, subject: str
    ) -> tuple[list[Needle], Callable[[], None]]:
        """What to look for elsewhere, and how the field itself changes."""
        texts = [text for text in _texts(place.value) if len(text) <= MAX_VALUE]
        if step.action == "drop" or not texts:
            self._told.setdefault("dropped", []).append(field)
            return [Needle(text, None, REDACTED) for text in texts], lambda: _remove(place)
        if step.action == "hash":
            self._told.setdefault("hashed", []).append(field)
            return self._pseudonyms(self._policy._secret, place, texts)
        key = self._key(subject or texts[0])
        sealed = seal(key, self._event, field, place.value)
        self._told.setdefault("sealed", []).append(sealed)
        return self._pseudonyms(key.secret, place, texts)

    def _key(self, subject: str) -> SubjectKey:
        if self._policy._keys is None:  # checked when rules were read
            raise ConfigError("privacy policies need a store of keys")
        return self._policy._keys.key(subject_name(self._tenant, subject))

    def _pseudonyms(
        self, secret: bytes, place: _Place, texts: list[str]
    ) -> tuple[list[Needle], Callable[[], None]]:
        made = {text: pseudonym(secret, self._tenant, text) for text in texts}
        needles = [
            # Only an address has spellings that are none.
            Needle(text, stands, stands)
            if stands.startswith(PREFIX)
            else Needle(text, stands, name_pseudonym(secret, self._tenant, text))
            for text, stands in made.items()
        ]
        value = place.value
        if isinstance(value, str):
            return needles, lambda: _replace(place, made[value])
        if isinstance(value, list):
            kept = [made[each] for each in value if isinstance(each, str) and each in made]
            return needles, lambda: _replace(place, kept)
        # A number has no pseudonym that is a number: it goes, and its digits elsewhere too.
        return needles, lambda: _remove(place)

    def _guard_id(self, scrubber: Scrubber) -> None:
        """A provider's id may hold a name; it stays an id, and the same for the same event."""
        if scrubber.text(self._event) != self._event:
            made = mac(self._policy._secret, "event-id", self._event.encode("utf-8", "replace"))
            self._document["event"]["id"] = made[:16].hex()


def open_original(data: bytes, source: str, keys: Keys | None) -> bytes:
    """The bytes of a dead letter that was sealed; raises BadInput `sealed` where they are lost."""
    id, _, body = data.removeprefix(SEALED).partition(b"\x00")
    key = keys.by_id(id.decode("ascii", "replace")) if keys is not None and body else None
    if key is None:
        raise BadInput("sealed", "the key that these bytes were sealed with is gone")
    try:
        return open_bytes(key.secret, _door(source), body)
    except ValueError as error:
        raise BadInput("sealed", f"{error}") from None


def _event_id(document: Document) -> str:
    event = document.get("event")
    id = event.get("id") if isinstance(event, dict) else None
    return id if isinstance(id, str) else ""


def _places(node: Any, path: tuple[str, ...], depth: int) -> Iterator[_Place]:
    """Where the path leads, lists on the way opened."""
    if isinstance(node, list):
        for each in node:
            if isinstance(each, (dict, list)):
                yield from _places(each, path, depth)
    elif isinstance(node, dict):
        rest = ".".join(path[depth:])
        if rest in node and node[rest] is not None:  # the last part, or a dotted key
            yield _Place(node, rest, node[rest])
        elif depth + 1 < len(path) and path[depth] in node:
            yield from _places(node[path[depth]], path, depth + 1)


def _texts(value: Any) -> list[str]:
    """Values as texts: of a text, a whole number, or a list of them; not of objects."""
    if isinstance(value, list):
        return [text for each in value if not isinstance(each, list) for text in _texts(each)]
    if isinstance(value, str):
        return [value]
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value)]
    return []


def _text_at(document: Document, path: tuple[str, ...]) -> str:
    """The first text at a path."""
    for place in _places(document, path, 0):
        for text in _texts(place.value):
            return text[:MAX_VALUE]
    return ""


def _remove(place: _Place) -> None:
    place.container.pop(place.key, None)


def _replace(place: _Place, value: Any) -> None:
    if place.key in place.container:
        place.container[place.key] = value


def _distinct(told: list[Any]) -> list[Any]:
    return list(dict.fromkeys(told)) if told and isinstance(told[0], str) else told


def _door(source: str) -> bytes:
    return b"dead-letter:" + source.encode("utf-8", "surrogatepass")


def _step(rule: PrivacyRule) -> _Step:
    return _Step(
        action=rule.action,
        paths=tuple(tuple(field.split(".")) for field in rule.fields),
        subject=tuple(rule.subject.split(".")) if rule.subject else (),
    )


def _check(rule: PrivacyRule) -> None:
    for field in (*rule.fields, *((rule.subject,) if rule.subject else ())):
        parts = tuple(field.split("."))
        if "" in parts:
            raise ConfigError(f"privacy: '{field}' is no field; write it like user.name")
        fixed = any(
            part in FIXED.get(".".join(parts[:depth]), ()) for depth, part in enumerate(parts)
        )
        if fixed or parts in (("event",), ("tocsin",)):
            raise ConfigError(
                f"privacy: {field} cannot be changed: an event is no event without it"
            )
