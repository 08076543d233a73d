"""What cron, systemd and systemd-logind say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.phrases import by_word, phrase, recognise

if TYPE_CHECKING:
    from tocsin.contracts import Document

CRON = (
    phrase(
        r"\((?P<user>[^()]+)\) CMD \((?P<command>.*)\)",
        "cron_command",
        "start",
        category="process",
        word="CMD",
    ),
    phrase(
        r"\((?P<user>[^()]+)\) (?:RELOAD|REPLACE|BEGIN EDIT|END EDIT|LIST|DELETE) .*",
        "cron_table",
        "change",
        category="configuration",
        word="TABLE",
    ),
)

SYSTEMD = by_word(
    (
        phrase(r"Started (?P<reason>.*)\.", "unit_started", "start", "success", category="process"),
        phrase(r"Stopped (?P<reason>.*)\.", "unit_stopped", "end", "success", category="process"),
        phrase(
            r"Failed to start (?P<reason>.*)\.",
            "unit_started",
            "start",
            "failure",
            category="process",
        ),
    )
)

LOGIND = by_word(
    (
        phrase(
            r"New session (?P<session>\S+) of user (?P<user>\S+?)\.?",
            "session_started",
            "start",
            "success",
            category="session",
        ),
        phrase(
            r"Session (?P<session>\S+) logged out\..*", "session_logged_out", category="session"
        ),
        phrase(r"Removed session (?P<session>\S+?)\.", "session_ended", "end", category="session"),
    )
)

#: cron's messages begin with the user's name, so they are looked up by the second word.
_CRON = {"CMD": CRON[:1]} | dict.fromkeys(
    ("RELOAD", "REPLACE", "BEGIN", "END", "LIST", "DELETE"), CRON[1:]
)


def parse_cron(document: Document, message: str) -> bool:
    """Add who runs which command."""
    verb = message.partition(") ")[2].partition(" ")[0]
    table = {message.partition(" ")[0]: _CRON.get(verb, ())}
    if recognise(document, message, table) is None:
        return False
    process = document["process"]
    if "command_line" in process:
        process["command_line"] = process["command_line"].strip()
    return True


def parse_systemd(document: Document, message: str) -> bool:
    """Add which unit started, stopped or failed."""
    return recognise(document, message, SYSTEMD) is not None


def parse_logind(document: Document, message: str) -> bool:
    """Add which session of whom began or ended."""
    document["event"]["dataset"] = "system.auth"
    return recognise(document, message, LOGIND) is not None
