"""The one shape of a Windows event and the values its readers share."""

from __future__ import annotations

from typing import Any

from tocsin.ids import digest

#: An event in the one shape; ingest.formats.windows lists the keys.
Frame = dict[str, Any]

#: The keywords' bits that say how an audited action went (winmeta.xml).
AUDIT_FAILURE = 0x10_0000_0000_0000
AUDIT_SUCCESS = 0x20_0000_0000_0000

#: Words and numbers for a level, as ECS's `log.level` (and Winlogbeat) spells them.
LEVELS = {
    "0": "information",
    "1": "critical",
    "2": "error",
    "3": "warning",
    "4": "information",
    "5": "verbose",
    "info": "information",
    "informational": "information",
    "information": "information",
    "warn": "warning",
    "warning": "warning",
    "error": "error",
    "critical": "critical",
    "verbose": "verbose",
    "debug": "verbose",
    "audit_success": "information",
    "audit_failure": "information",
    "success audit": "information",
    "failure audit": "information",
}

_AUDIT_WORDS = {
    "audit success": "success",
    "audit_success": "success",
    "success audit": "success",
    "auditsuccess": "success",
    "audit failure": "failure",
    "audit_failure": "failure",
    "failure audit": "failure",
    "auditfailure": "failure",
}


#: Header values that are text where they are anything.
_TEXTS = ("channel", "provider", "provider_guid", "computer", "message", "user_sid", "user_name")


def build(head: dict[str, Any], data: dict[str, Any], user_data: dict[str, Any]) -> Frame | None:
    """The frame of its parts, None without a number of the event.

    Nothing in it is empty; the level is a word; the outcome is that of the keywords unless the
    head has one.
    """
    code = head["event_id"]
    if isinstance(code, bool) or not isinstance(code, (int, str)) or code == "":
        return None
    frame: Frame = {name: value for name, value in head.items() if value not in _EMPTY}
    frame["event_id"] = str(code)
    for name in _TEXTS:
        if name in frame and not isinstance(frame[name], str):
            del frame[name]
    if (level := frame.get("level")) is not None:
        frame["level"] = LEVELS.get(str(level).lower(), str(level).lower())
    if "outcome" not in frame and (result := outcome(frame.get("keywords"))):
        frame["outcome"] = result
    if data:
        frame["data"] = data
        if frame.get("provider") in SYSMON and (stamp := utc(data.get("UtcTime"))):
            frame["utc_time"] = stamp
    if user_data:
        frame["user_data"] = user_data
    if "record_id" in frame and "time" in frame:
        parts = ("computer", "channel", "record_id", "time")
        frame["identity"] = digest("windows", *(str(frame.get(name, "")) for name in parts))
    return frame


_EMPTY: tuple[Any, ...] = (None, "", [], {})


#: Sysmon's names for itself, on Windows and on Linux.
SYSMON = frozenset({"Microsoft-Windows-Sysmon", "Linux-Sysmon"})


def utc(value: object) -> str | None:
    """Sysmon's `UtcTime` ("2024-05-06 07:08:09.123") as ISO 8601, None if it is none."""
    if not isinstance(value, str) or len(value) < 19 or value[4:5] != "-" or value[10] != " ":
        return None
    return f"{value[:10]}T{value[11:]}Z"


def outcome(keywords: object) -> str | None:
    """What the keywords (a mask as text or number, a word, a list of words) say of the audit."""
    if isinstance(keywords, list):
        found = [result for word in keywords if (result := outcome(word))]
        return found[0] if found else None
    if isinstance(keywords, str):
        word = keywords.strip().lower()
        if word in _AUDIT_WORDS:
            return _AUDIT_WORDS[word]
        mask = _mask(word)
    elif isinstance(keywords, int):
        mask = keywords
    else:
        return None
    if mask & AUDIT_FAILURE:
        return "failure"
    return "success" if mask & AUDIT_SUCCESS else None


def _mask(word: str) -> int:
    """The number that `word` writes, 0 if none; masks are 64 bits, signed in some shippers."""
    if len(word) > 20:
        return 0
    try:
        return int(word, 16) if word.startswith("0x") else int(word)
    except ValueError:
        return 0
