"""What sudo and su say.

sudo writes `who : [complaint ; ]TTY=… ; PWD=… ; USER=… ; … COMMAND=…`. Directory names are the
caller's: the first PWD= and USER= count, and everything behind the first COMMAND= is the
command, so nothing that is in the message is missing from what rules see.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.phrases import MAX_PHRASE, by_word, phrase, recognise

if TYPE_CHECKING:
    from tocsin.contracts import Document

_WHO = re.compile(r"\s*(\S+) : (.*)", re.DOTALL)

#: Remarks that are no refusal.
_HARMLESS = ("(command continued)",)


def parse_sudo(document: Document, message: str) -> bool:
    """Add who ran what as whom, or was refused."""
    event = document["event"]
    event["dataset"] = "system.auth"
    if len(message) > MAX_PHRASE or (match := _WHO.fullmatch(message)) is None:
        return False
    user, said = match.groups()
    head, _, command = said.partition("COMMAND=")
    remark, fields = _fields(head)
    if not command and not remark:
        return False
    refused = bool(remark) and not remark.startswith(_HARMLESS)
    event["action"] = "sudo_command"
    event["category"] = ["authentication" if refused else "process"]
    event["type"] = ["start"]
    event["outcome"] = "failure" if refused else "success"
    if remark:
        event["reason"] = remark
    document["user"] = {"name": user}
    if effective := fields.get("USER"):
        document["user"]["effective"] = {"name": effective}
    process = document["process"]
    if command:
        process["command_line"] = command
    if directory := fields.get("PWD"):
        process["working_directory"] = directory
    if terminal := fields.get("TTY"):
        document["system"] = {"auth": {"terminal": terminal}}
    return True


def _fields(head: str) -> tuple[str, dict[str, str]]:
    """The remark before the fields, and the first value of each field."""
    remark = ""
    fields: dict[str, str] = {}
    for number, part in enumerate(head.split(" ; ")):
        name, equals, value = part.partition("=")
        if equals and name.isupper():
            fields.setdefault(name, value)
        elif number == 0:
            remark = part.strip()
    return remark, fields


SU = by_word(
    (
        phrase(
            r"Successful su for (?P<effective>\S+) by (?P<user>\S+)",
            "su",
            "start",
            "success",
        ),
        phrase(
            r"FAILED su for (?P<effective>\S+) by (?P<user>\S+)",
            "su",
            "start",
            "failure",
        ),
        phrase(
            r"FAILED SU \(to (?P<effective>\S+)\) (?P<user>\S+) on (?P<terminal>\S+)",
            "su",
            "start",
            "failure",
        ),
        phrase(
            r"\(to (?P<effective>\S+)\) (?P<user>\S+) on (?P<terminal>\S+)",
            "su",
            "start",
            "success",
            word="(to",
        ),
        phrase(
            r"\+ (?P<terminal>\S+) (?P<user>[^\s:]+):(?P<effective>\S+)",
            "su_terminal",
            outcome="success",
            word="+",
        ),
        phrase(
            r"- (?P<terminal>\S+) (?P<user>[^\s:]+):(?P<effective>\S+)",
            "su_terminal",
            outcome="failure",
        ),
    )
)


def parse_su(document: Document, message: str) -> bool:
    """Add who became whom, or was refused."""
    document["event"]["dataset"] = "system.auth"
    return recognise(document, message, SU) is not None
