"""Events of which only the text for people is left, or that text behind a few header lines.

Windows renders an event as a title, sections and `label: value` lines, in the language of the
machine. Splunk's WinEventLog puts `Name=value` lines before it, Snare puts columns around it, and
Log Insight sends nothing but the text. Read from it: the names of EventData as far as the labels
are known (ingest.formats.windows.labels, English, French and German), and the event's number by
its title where no header says it.
"""

from __future__ import annotations

import re
from typing import Any

from ingest.formats.windows import labels
from ingest.formats.windows.shape import SYSMON, Frame, build

#: Most lines of a text that are read.
MAX_LINES = 2_000

#: What stands for line ends and tabs where a syslog relay escaped them (rsyslog's `#012` form).
_ESCAPED = {"#015": "\r", "#012": "\n", "#011": "\t"}
_ESCAPE = re.compile("#015|#012|#011")


def from_text(raw: str, start: str) -> Frame | None:
    """The frame of a rendered event, None if `raw` (which begins with `start`) is none."""
    if "MSWinEventLog" in start:
        return _snare(raw)
    if "WinEvtLog: " in start:
        return _ossec(raw)
    if "LogName=" in start and "EventCode=" in raw[:_HEAD]:
        return _splunk(raw)
    title = labels.plain(_ESCAPE.split(start, 1)[0].partition("\n")[0])
    code = labels.TITLES.get(title)
    if code is None:
        return None
    text = unescaped(raw)
    failed = code in labels.FAILURES or (code in labels.BOTH and _failed(text))
    head = {
        "channel": "Security",
        "provider": "Microsoft-Windows-Security-Auditing",
        "event_id": code,
        "message": text,
        "outcome": "failure" if failed else "success",
    }
    return build(head, data_of(text, code, head["provider"]), {})


#: How far into Splunk's header lines the event's number must show, characters.
_HEAD = 1_000


def unescaped(text: str) -> str:
    """The text with its line ends and tabs, whether a relay escaped them or not."""
    if "#01" in text:
        text = _ESCAPE.sub(lambda found: _ESCAPED[found[0]], text)
    if "\n" not in text and "\\n" in text:
        text = text.replace("\\r\\n", "\n").replace("\\n", "\n").replace("\\t", "\t")
    return text


def _failed(text: str) -> bool:
    """Whether a text with an error code (4768, 4769, 4776) tells of an error."""
    return _NO_ERROR.search(text) is None


_NO_ERROR = re.compile(r"(?i)(?:result code|error code|failure code|code d.erreur)\s*:\s*0x0\b")


def _splunk(raw: str) -> Frame | None:
    """Splunk's WinEventLog: an optional time, `Name=value` lines, `Message=` and the text."""
    head_text, _, message = raw.partition("Message=")
    head: dict[str, Any] = {}
    stamp = head_text.lstrip().partition("\n")[0].strip()
    if "=" not in stamp:
        head["time"] = stamp
    for line in head_text.splitlines():
        name, equals, value = line.partition("=")
        if equals and (field := _SPLUNK.get(name.strip())) and value.strip():
            head[field] = value.strip()
    if "event_id" not in head:
        return None
    message = unescaped(message.strip())
    head["message"] = message
    return build(head, data_of(message, head["event_id"], head.get("provider", "")), {})


_SPLUNK = {
    "LogName": "channel",
    "SourceName": "provider",
    "EventCode": "event_id",
    "Type": "level",
    "ComputerName": "computer",
    "User": "user_name",
    "Sid": "user_sid",
    "TaskCategory": "task",
    "OpCode": "opcode",
    "RecordNumber": "record_id",
    "Keywords": "keywords",
}


def _snare(raw: str) -> Frame | None:
    """Snare: fourteen columns behind `MSWinEventLog`, split by tabs."""
    columns = unescaped(raw).partition("MSWinEventLog")[2].lstrip("\t, ").split("\t", 13)
    if len(columns) < 12 or not columns[4].isdecimal():
        return None
    _, channel, _, time, code, source, user, _, kind, computer, category, *rest = columns
    message = next((text for text in rest if len(text) > 8), "")
    provider = f"Microsoft-Windows-{source}" if source == "Security-Auditing" else source
    head = {
        "channel": channel,
        "provider": provider,
        "event_id": code,
        "computer": computer,
        "time": time,
        "level": kind,
        "keywords": kind,
        "task": category,
        "user_name": None if user in ("N/A", "Unknown User") else user,
        "message": message,
    }
    return build(head, data_of(message, code, provider), {})


#: `WinEvtLog: Security: AUDIT_FAILURE(4625): provider: user: domain: computer: text`
_OSSEC = re.compile(
    r"(?:(?P<time>\d{4} \w{3} +\d{1,2} [\d:]{8}) )?WinEvtLog: (?P<channel>[^:]{1,200}): "
    r"(?P<keywords>\w{1,40})\((?P<code>\d{1,6})\): (?P<provider>[^:]{1,200}): "
    r"(?P<user>[^:]{1,200}): (?P<domain>[^:]{1,200}): (?P<computer>[^:]{1,255}): (?P<message>.*)",
    re.ASCII | re.DOTALL,
)


def _ossec(raw: str) -> Frame | None:
    """The line that OSSEC's agent (and Wazuh's of before 3.8) makes of an event."""
    match = _OSSEC.search(raw)
    if match is None:
        return None
    user = match["user"] if not match["user"].startswith("(no user") else None
    head = {
        "channel": match["channel"],
        "provider": match["provider"],
        "event_id": match["code"],
        "computer": match["computer"],
        "time": match["time"],
        "level": match["keywords"],
        "keywords": match["keywords"],
        "user_name": user,
        "user_domain": match["domain"] if user is not None else None,
        "message": match["message"],
    }
    return build(head, data_of(match["message"], match["code"], match["provider"]), {})


def data_of(message: str, code: str, provider: str) -> dict[str, Any]:
    """The names of EventData that a rendered text gives away; empty where it gives none."""
    text = unescaped(message)
    if provider in SYSMON:
        return _sysmon(text)
    data: dict[str, Any] = {}
    section = ""
    for line in text.splitlines()[1:MAX_LINES]:
        label, colon, value = line.partition(":")
        if not colon:
            continue
        label, value = labels.plain(label), value.strip()
        indented = line[:1] in "\t "
        if not value and not indented:
            section = labels.SECTIONS.get(label, "")
        elif value:
            name = labels.data_name(section if indented else "", label, code)
            if name and name not in data:
                data[name] = value
    return data


def _sysmon(text: str) -> dict[str, Any]:
    """Sysmon writes the names of its data themselves."""
    data: dict[str, Any] = {}
    for line in text.splitlines()[1:MAX_LINES]:
        name, colon, value = line.partition(":")
        if colon and name.isalnum() and name.isascii():
            data[name] = value.strip()
    return data
