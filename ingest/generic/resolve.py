"""From the path of a field to the ECS fields it can fill, decided once per path.

The answer depends on names alone and is remembered, so that the steady state of a source is one
dictionary lookup per field. The memory is bounded and changes no result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingest.generic.dictionaries import DICTIONARIES, EXACT
from ingest.generic.rules import RULES
from ingest.generic.words import path_words, words_of
from ingest.mapping.targets import ECS, RESERVED

if TYPE_CHECKING:
    from ingest.generic.rules import Rule

#: How many paths are remembered per frame; beyond it the memory starts anew.
MEMORY = 16_384

#: Longest path that is looked at, characters.
MAX_PATH = 256

#: What an exact name is worth: a path that is an ECS field, a name of a format's dictionary.
EXACTLY = 110

#: Words beside those a rule asks for that make a field another one than it seems.
_ASTRAY = frozenset(
    {
        *("old", "grand", "mask", "count", "flag", "config", "default", "geo", "management"),
        *("license", "expire", "ttl", "tag", "version", "private"),
    }
)

#: Words of fields whose dotted numbers are no addresses.
_NO_ADDRESS = frozenset({"version", "mask", "os", "hw", "oid", "firmware", "range", "useragent"})

#: ECS names that have a wider meaning here: what they hold is looked at by the rules as well.
_NOT_EXACT = ("client.", "server.", "related.", "labels", "tags", "event.type", "event.category")


@dataclass(frozen=True, slots=True)
class Plan:
    """What may be done with the values of a field."""

    #: (target, score), the best first; none for a field that means nothing here.
    targets: tuple[tuple[str, int], ...]
    #: Whether an address in it is one (a version number is not).
    addresses: bool
    #: The canonical words of its path, for what depends on other fields.
    words: tuple[str, ...]


_NOTHING = Plan((), False, ())


class Resolver:
    """The memory of one frame's paths."""

    def __init__(self, frame: str) -> None:
        self._dictionary = DICTIONARIES.get(frame, {})
        self._labelled = frame in ("cef", "leef")
        self._known: dict[str, Plan] = {}

    def __call__(self, path: str) -> Plan:
        """The plan of the field at `path` (keys joined by dots, no list indices)."""
        plan = self._known.get(path)
        if plan is None:
            if len(path) > MAX_PATH:
                return _NOTHING
            if len(self._known) >= MEMORY:
                self._known.clear()
            plan = self._known[path] = self._resolve(path)
        return plan

    def _resolve(self, path: str) -> Plan:
        if self._labelled and path.startswith("labels."):
            path = path[7:]
        words = path_words(path)
        addresses = not _NO_ADDRESS.intersection(words) and words[-1:] != ("id",)
        exact = self._dictionary.get(path) or EXACT.get(path.lower()) or _ecs(path)
        if exact is None and words == ("id",):
            exact = (("~id", 20),)
        if exact is not None:
            return Plan(exact, addresses, words)
        targets = _moment(_acting(best(words), words), path, words)
        named = EXACT.get(path.rpartition(".")[2].lower())
        if named is not None and not (named and targets and named[0][1] < targets[0][1]):
            targets = named
        return Plan(targets, addresses, words)


def _ecs(path: str) -> tuple[tuple[str, int], ...] | None:
    """A path that is an ECS field means that field."""
    if path not in ECS or path in RESERVED or path.startswith(_NOT_EXACT) or "." not in path:
        return None
    if path.endswith("user.name") or path == "user.target.name":
        path = path.removesuffix(".name")  # it may hold a domain as well
    return ((path, EXACTLY),)


def _acting(
    targets: tuple[tuple[str, int], ...], words: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    """Of a process that acts upon another one: which of the two is the event's shows later."""
    if "process" not in words:
        return targets
    role = next((prefix for word, prefix in _ACTING.items() if word in words), None)
    if role is None:
        return targets
    return tuple(
        (f"{role}{target}" if target.startswith("process.") else target, score)
        for target, score in targets
    )


def _moment(
    targets: tuple[tuple[str, int], ...], path: str, words: tuple[str, ...]
) -> tuple[tuple[str, int], ...]:
    """A time is the event's own the less, the deeper it stands and the more words it has.

    Behind an envelope (`properties.timestamp`, `event.time`) it is more so than the envelope's.
    """
    if not targets or targets[0][0] != "~time":
        return targets
    containers = path.split(".")[:-1]
    envelopes = sum(1 for name in containers if name.lower() in _ENVELOPES)
    deep = len(containers) - envelopes
    score = targets[0][1] - 3 * deep - 2 * len(words) + 2 + min(envelopes, 1)
    return (("~time", max(score, 1)),)


#: Names of objects that hold the event itself.
_ENVELOPES = frozenset({"properties", "event", "data", "payload", "record", "body", "message"})

_ACTING = {"actor": "~actor.", "src": "~actor.", "target": "~target.", "dst": "~target."}


def best(words: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """The targets of the rule that fits the words of a path best, with its score."""
    if not words:
        return ()
    before = words[:-1]
    found: Rule | None = None
    top = 0
    for rule in RULES.get(words[-1], ()):
        score = _score(rule, before)
        if score > top:
            found, top = rule, score
    return tuple((target, top) for target in found.targets) if found is not None else ()


def _score(rule: Rule, before: tuple[str, ...]) -> int:
    """How well a rule fits the words before its head, 0 if not at all."""
    if not rule.bars.isdisjoint(before):
        return 0
    score = rule.score
    used = set()
    for need in rule.needs:
        if f"^{before[-1]}" in need if before else False:
            score += 4
            used.add(before[-1])
            continue
        for distance, word in enumerate(reversed(before)):
            if word in need:
                score += 3 - min(distance, 4)
                used.add(word)
                break
        else:
            return 0
    astray = 0
    for word in before:
        if word not in used:
            score -= 1
            astray += word in _ASTRAY
    if astray:
        score -= 24 * astray
        if rule.targets[0] != "~time":
            return score if score >= DOUBTFUL else 0
    return max(score, 1)


#: With words that lead astray, a rule must still be worth this much.
DOUBTFUL = 50


def hint(value: str) -> str | None:
    """The word that the type of an object says about it (`User`, `#microsoft.graph.device`)."""
    if len(value) > 64:
        return None
    for word in reversed(words_of(value)):
        if word in _HINTS:
            return word
    return None


_HINTS = frozenset({"user", "host", "device", "process", "file", "url", "ip", "domain", "email"})
