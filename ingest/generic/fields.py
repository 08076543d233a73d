"""From candidates to a flat document: for each field the best value that is of its type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ingest.document import address
from ingest.generic.decisions import DECISIONS
from ingest.mapping.casts import cast
from ingest.mapping.parts import SPREADS
from ingest.mapping.targets import ECS
from ingest.mapping.values import absent

if TYPE_CHECKING:
    from ingest.generic.candidates import Candidates

#: Compound targets whose value may be a login with a domain: both it and the bare name are users.
_LOGINS = ("user", "source.user", "user.target")

#: Fields whose value is a name: neither a number nor an address.
_NAMES = frozenset({"user.name", "user.full_name", "source.user.name"})

#: What the values of some fields look like: names alone are not sure enough of them.
_SHAPES = {
    "cloud.region": re.compile(r"[A-Za-z][A-Za-z0-9 -]{1,31}"),
    "network.protocol": re.compile(r"[A-Za-z][\w.+/-]{0,31}(?: [\w.+/-]{1,32}){0,3}"),
    "http.request.method": re.compile(r"[A-Z]{3,17}(?:-[A-Z]{3,12})?"),
    "network.application": re.compile(r"[A-Za-z][\w.+/ -]{0,63}"),
}

_MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")

#: Texts that name nobody and nothing, beyond those of ingest.mapping.values.
_NOBODY = frozenset({"unknown", "none", "any", "*", "?", "nil", "not available", "n.a.", "na"})

#: Addresses that stand for no host.
_NOWHERE = frozenset({"0.0.0.0", "::", "255.255.255.255"})  # noqa: S104 (compared, not bound)

#: Most values of one field that is a list.
MAX_RELATED = 100


def assign(found: Candidates) -> dict[str, Any]:
    """The flat document of the candidates."""
    for decide in DECISIONS:
        decide(found)
    for name in _LOGINS:
        for _, value in found.by_target.get(name, ())[:1]:
            if isinstance(value, str) and _MAIL.fullmatch(value) is not None:
                found.offer("related.user", 1, value)
    for target in [name for name in found.by_target if name in SPREADS]:
        _spread(found, target)
    out: dict[str, Any] = {}
    for target in list(found.by_target):
        kind = ECS.get(target)
        if kind is None:
            continue
        if kind.many:
            items = [value for _, value in found.take(target)]
            if (value := cast(kind, _flat(items))) is not None:
                out[target] = value[:MAX_RELATED]
            continue
        for _, value in found.take(target):
            if absent(value) or (isinstance(value, str) and value.lower() in _NOBODY):
                continue
            shape = _SHAPES.get(target)
            if shape is not None and shape.fullmatch(str(value)) is None:
                continue
            if target in _NAMES and (not isinstance(value, str) or address(value) is not None):
                continue
            if (made := cast(kind, value)) is not None and made != "":
                out[target] = made
                break
    if "destination.ip" in out and "destination.domain" not in out:
        domain = out.get("url.domain") or out.get("tls.client.server_name")
        if domain and address(domain) is None:
            out["destination.domain"] = domain
    if "source.ip" in out and "user.name" in out and "destination.user.name" not in out:
        out.setdefault("source.user.name", out["user.name"])
    return out


def _flat(items: list[Any]) -> list[Any]:
    flat: list[Any] = []
    for item in items:
        flat.extend(item if isinstance(item, list) else (item,))
    return flat


def _spread(found: Candidates, target: str) -> None:
    """Replace candidates of a compound target by those of the fields they hold."""
    spread, outputs = SPREADS[target]
    for score, value in found.take(target):
        if isinstance(value, str) and value.lower() in _NOBODY:
            continue
        made = spread(value)
        if made is None:
            continue
        named = any(part is not None for part in made[1:])
        for name, part in zip(outputs, made, strict=True):
            if part is None or part in _NOWHERE or (named and name.endswith(".address")):
                continue
            found.by_target.setdefault(name, []).append((score, part))
