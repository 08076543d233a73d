"""success or failure, from the words of a sentence, an action or a status."""

from __future__ import annotations

import re
from typing import Any

from ingest.generic.words import spelled
from ingest.mapping import convert

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", re.ASCII)

_FAILED = spelled(
    "failed failure fail fails failing denied deny denies rejected reject refused refuse invalid "
    "error errors unable unauthorized forbidden blocked block dropped drop discarded bounced "
    "aborted expired incorrect cannot unsuccessful unreachable quarantined prevented illegal "
    "mismatch bad wrong discard"
)
_SUCCEEDED = spelled(
    "sent success successful successfully succeeded accepted accept allowed allow granted "
    "permitted permit passed pass authenticated completed ok opened established approved "
    "delivered connected authorized "
)

_LOGGED = frozenset({"in", "on", "out", "off"})

#: Longest name of a kind of event, characters.
MAX_KIND = 128

#: How much of a sentence is looked at, characters.
MAX_SENTENCE = 1_024


def words_within(text: object) -> list[str]:
    """The words of a name or sentence, in lower case, cut at changes of case."""
    if not isinstance(text, str):
        return []
    return [word.lower() for word in _WORD.findall(text[:MAX_SENTENCE])]


def said(text: str) -> str | None:
    """The outcome that a sentence tells, None if it tells none; failure outweighs success."""
    succeeded = False
    before = ""
    for word in words_within(text):
        if word in _FAILED:
            return "failure"
        if word in _SUCCEEDED or (before == "logged" and word in _LOGGED):
            succeeded = True
        before = word
    return "success" if succeeded else None


def named(kind: object) -> str | None:
    """The outcome that ends the name of a kind of event (`LOGIN_FAILURE`, `sso.LoginSuccess`)."""
    if not isinstance(kind, str) or len(kind) > MAX_KIND or " " in kind:
        return None
    words = words_within(kind)
    if len(words) < 2:
        return None
    last = words[-1]
    return "failure" if last in _FAILED else "success" if last in _SUCCEEDED else None


def of_value(value: Any) -> str | None:
    """The outcome that the value of a status or result field means, None for anything else."""
    if isinstance(value, bool):
        return convert.outcome(value)
    if not isinstance(value, str) or len(value) > 256:
        return None
    whole = convert.outcome(value)
    if whole in ("success", "failure"):
        return whole
    return said(value)


_DONE = spelled(
    "create delete update add remove login logon logoff logout signin start stop put get "
    "list assume modify change set read write open close execute run connect disconnect "
    "register enable disable grant revoke access download upload view export import install "
    "uninstall attach detach lock unlock lookup describe query search reset rename move "
    "copy send invite join leave publish share creation deletion exec "
)


def done(action: Any) -> bool:
    """Whether an action is one that was done (`UserLoggedIn`, `create`)."""
    return any(
        word in _DONE or (len(word) > 4 and word.endswith("ed")) for word in words_within(action)
    )
