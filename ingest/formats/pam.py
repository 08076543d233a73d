"""What PAM modules say through any program, in today's and in the older spelling.

Today: `pam_unix(sshd:auth): authentication failure; …`. Before 2005: the module stood behind
the program, `sshd(pam_unix)[412]: authentication failure; …`, and sshd itself logged elsewhere;
there the failure is the login (`ssh_login`), today it only accompanies sshd's own line, and has
an action of its own so that one attempt is not counted twice.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.phrases import by_word, phrase, recognise

if TYPE_CHECKING:
    from tocsin.contracts import Document

_HEAD = re.compile(r"pam_\w+\((?P<service>[^():]*)(?::(?P<phase>\w+))?\): +(?P<rest>.*)", re.DOTALL)
_LOGNAME = (
    r"logname=\S* uid=\d* euid=\d* tty=(?P<terminal>\S*) ruser=(?P<by>\S*) rhost=(?P<host>\S*)"
)

#: What PAM writes for "by whom" when it is the login program itself.
_NOBODY = frozenset({"", "LOGIN"})

PHRASES = by_word(
    (
        phrase(
            r"session opened for user (?P<user>[^ (]+)(?:\(uid=(?P<uid>\d+)\))?"
            r"(?: by (?P<by>[^ (]*)\(uid=\d+\))?",
            "pam_session_opened",
            "start",
            "success",
            category="session",
        ),
        phrase(
            r"session closed for user (?P<user>\S+)",
            "pam_session_closed",
            "end",
            category="session",
        ),
        phrase(
            rf"authentication failure; {_LOGNAME}(?: +user=(?P<user>.*))?",
            "pam_authentication",
            "start",
            "failure",
        ),
        phrase(
            rf"PAM \d+ more authentication failures?; {_LOGNAME}(?: +user=(?P<user>.*))?",
            "pam_authentication_more",
            outcome="failure",
        ),
        phrase(r"check pass; user unknown", "pam_user_unknown", outcome="failure", word="check"),
        phrase(r"bad username \[(?P<user>.*)\]", "pam_user_unknown", outcome="failure"),
        phrase(
            r"account (?P<user>\S+) has expired.*",
            "pam_account_expired",
            outcome="failure",
        ),
        phrase(
            r'user ["\'\[](?P<user>.*)["\'\]] does not exist in /etc/passwd',
            "pam_user_unknown",
            outcome="failure",
        ),
        phrase(
            r"password changed for (?P<target>\S+)",
            "password_changed",
            "user change",
            "success",
            category="iam",
        ),
        phrase(
            r"Consecutive login failures for user (?P<user>\S+) account temporarily locked",
            "pam_account_locked",
            outcome="failure",
        ),
    )
)


def parse(document: Document, message: str) -> bool:
    """Add what `pam_…(service:phase): …` or `PAM n more …` says; False if it is neither."""
    if message.startswith("PAM "):
        return _say(document, message)
    head = _HEAD.fullmatch(message)
    if head is None:
        return False
    document["event"]["dataset"] = "system.auth"
    return _say(document, head["rest"])


def parse_old(document: Document, program: str, message: str) -> bool:
    """Add what `program(pam_unix)` says."""
    document["event"]["dataset"] = "system.auth"
    known = _say(document, message)
    if program == "sshd" and document["event"].get("action") == "pam_authentication":
        document["event"]["action"] = "ssh_login"
    return known


def _say(document: Document, message: str) -> bool:
    message = message.rstrip()
    entry = recognise(document, message, PHRASES)
    if entry is None:
        return False
    document["event"].setdefault("dataset", "system.auth")
    if entry.action == "pam_session_opened":
        by = (entry.pattern.fullmatch(message) or {"by": ""})["by"] or ""
        if by not in _NOBODY:
            user = document["user"]
            effective = {"name": user.pop("name")}
            if "id" in user:
                effective["id"] = user.pop("id")
            user["name"] = by
            user["effective"] = effective
    if entry.action == "password_changed":
        user = document["user"]
        user.setdefault("name", user["target"]["name"])
    return True
