"""Anything else: a JSON object of an unknown vendor, or a line of text.

A JSON object stays whole under `json`; names that mean one thing wherever they appear (`src_ip`,
`username`, `hostname` …) are also copied to ECS. Text becomes `message`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ingest.document import address, endpoint, put, whole
from ingest.formats.ecs import OUTCOME_WORDS
from ingest.times import epoch, iso8601, rfc3339
from tocsin.errors import BadInput

if TYPE_CHECKING:
    from tocsin.contracts import Document

#: Names of a time, most trusted first, compared without case, `_` and `-`.
TIMES = (
    *("@timestamp", "timestamp", "eventtime", "time", "datetime", "ts", "eventtimestamp"),
    *("timegenerated", "createdat", "createddatetime", "published", "creationtime", "date"),
    *("activitydatetime", "occurredat", "occurtime", "logtime", "starttime"),
)

#: Names that mean one ECS text field, compared without case, `_` and `-`.
TEXTS = {
    "user": "user.name",
    "username": "user.name",
    "useremail": "user.email",
    "userid": "user.id",
    "host": "host.name",
    "hostname": "host.name",
    "computer": "host.name",
    "computername": "host.name",
    "processname": "process.name",
    "commandline": "process.command_line",
    "cmdline": "process.command_line",
    "useragent": "user_agent.original",
    "httpmethod": "http.request.method",
    "requestmethod": "http.request.method",
    "eventname": "event.action",
    "eventtype": "event.action",
    "action": "event.action",
    "eventid": "event.code",
    "url": "url.original",
    "filepath": "file.path",
    "filename": "file.name",
    "sha256": "file.hash.sha256",
    "md5": "file.hash.md5",
    "message": "message",
    "msg": "message",
    "loglevel": "log.level",
    "level": "log.level",
}

#: Names of an address or host name → the ECS object that it is an endpoint of.
ENDPOINTS = {
    **dict.fromkeys(
        (
            *("srcip", "sourceip", "sourceipaddress", "clientip", "remoteip", "remoteaddr"),
            *("ipaddress", "clientipaddress", "callerip", "actorip", "srcaddr", "sourceaddress"),
        ),
        "source",
    ),
    **dict.fromkeys(
        ("dstip", "destip", "destinationip", "destinationipaddress", "targetip", "dstaddr"),
        "destination",
    ),
}

#: Names of a port → the ECS object that it belongs to.
PORTS = {
    **dict.fromkeys(("srcport", "sourceport", "clientport"), "source"),
    **dict.fromkeys(("dstport", "destport", "destinationport"), "destination"),
}

#: Names of an outcome.
OUTCOMES = ("outcome", "result", "status", "eventoutcome")

#: Longest text copied to a field, characters.
MAX_COPY = 8_192

_SPELLING = str.maketrans("", "", "_-")
_LEADING_TIME = re.compile(
    r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)\]?[\s|,;:]",
    re.ASCII,
)
_CONTROL = {code: None for code in range(32) if code not in (9, 10, 13)} | {
    0x7F: None,
    0xFFFD: None,
}

#: The largest share of control and undecodable characters that a text may have.
MAX_CONTROL_SHARE = 0.1


def parse_json(record: dict[str, Any], received: int, zone: str) -> tuple[Document, int, str]:
    """The event of an unknown JSON object; without a readable time it happened on arrival."""
    names = {
        name.lower().translate(_SPELLING): value
        for name, value in record.items()
        if value is not None and value != ""
    }
    at, written = _instant(names, received, zone)
    event: dict[str, Any] = {"kind": "event", "dataset": "json"}
    document: Document = {"@timestamp": written, "event": event, "json": record}
    for name, value in names.items():
        if (path := TEXTS.get(name)) is not None:
            _copy(document, path, value)
        elif (owner := ENDPOINTS.get(name)) is not None:
            if isinstance(value, str) and address(value) is not None:
                document[owner] = endpoint(value) | _port_of(document, owner)
        elif (owner := PORTS.get(name)) is not None:
            if (port := whole(value, 65_535)) is not None:
                put(document, f"{owner}.port", port)
        elif name in OUTCOMES and isinstance(value, (str, bool)):
            outcome = OUTCOME_WORDS.get(str(value).lower())
            if outcome is not None:
                event["outcome"] = outcome
    return document, at, "json"


def _copy(document: Document, path: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return
    text = str(value)
    if len(text) <= MAX_COPY:
        put(document, path, text)


def _port_of(document: Document, owner: str) -> dict[str, Any]:
    body = document.get(owner)
    return {"port": body["port"]} if isinstance(body, dict) and "port" in body else {}


def _instant(names: dict[str, Any], received: int, zone: str) -> tuple[int, str]:
    for name in TIMES:
        value = names.get(name)
        if value is None or isinstance(value, bool):
            continue
        try:
            if isinstance(value, str):
                return _written(value, zone)
            if isinstance(value, (int, float)):
                return epoch(value)
        except ValueError:
            continue  # not a time after all; the next name may be
    return received, rfc3339(received)


def _written(value: str, zone: str) -> tuple[int, str]:
    if len(value) <= 20 and value.replace(".", "", 1).isdecimal() and value.isascii():
        return epoch(float(value) if "." in value else int(value))
    return iso8601(value, zone)


def check_text(text: str) -> None:
    """Raises BadInput `not_text` if too much of a text is control characters."""
    strange = len(text) - len(text.translate(_CONTROL))
    if strange > len(text) * MAX_CONTROL_SHARE:
        raise BadInput(
            "not_text",
            f"{strange} of {len(text)} characters are control characters or no UTF-8: "
            "binary data, or a text in another encoding",
        )


def parse_text(text: str, received: int, zone: str) -> tuple[Document, int, str]:
    """The event of a line of text; its time stands in front of it, or is when it arrived.

    Raises BadInput `not_text` if too much of it is control characters.
    """
    check_text(text)
    at, written = received, ""
    match = _LEADING_TIME.match(text)
    if match is not None:
        try:
            at, written = iso8601(match[1], zone)
        except ValueError:
            written = ""  # looks like a time but is none: the arrival counts
    document: Document = {
        "@timestamp": written or rfc3339(received),
        "message": text,
        "event": {"kind": "event", "dataset": "text"},
    }
    return document, at, "text"
