"""What OpenSSH's server says (sshd, and sshd-session since 9.8).

Names and addresses in these messages come from whoever connects. A user name may itself read
`root from 192.0.2.1 port 22 ssh2`: for a name that does not exist the *last* address is the
server's own word, and for one that exists (no such name exists) the first is. A key's
certificate id follows the address and is the client's too, so a message with two candidate
addresses behind an unknown user name and a key names no source at all: a wrong address would be
contained instead of the attacker's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.phrases import by_word, phrase, recognise

if TYPE_CHECKING:
    from tocsin.contracts import Document

_AT = r"(?P<host>\S+) port (?P<port>\d+)"
_FROM = rf"from {_AT}(?: ssh\d?)?"
_KEY = r"(?:: (?P<signature>.*))?"
_INVALID = r"(?:invalid|illegal) user"

PHRASES = by_word(
    (
        phrase(
            rf"Accepted (?P<method>\S+) for (?P<user>.*?) {_FROM}{_KEY}",
            "ssh_login",
            "start",
            "success",
        ),
        phrase(
            rf"Failed (?P<method>\S+) for {_INVALID} (?P<user>.*) {_FROM}",
            "ssh_login",
            "start",
            "failure",
            reason="invalid user",
        ),
        phrase(
            rf"Failed (?P<method>\S+) for {_INVALID} "
            rf"(?P<user>(?:(?! port ).)*) {_FROM}: (?P<signature>(?:(?! port ).)*)",
            "ssh_login",
            "start",
            "failure",
            reason="invalid user",
        ),
        phrase(
            rf"Failed (?P<method>\S+) for {_INVALID} .*",
            "ssh_login",
            "start",
            "failure",
            reason="invalid user; the message names more than one source",
        ),
        phrase(
            rf"Failed (?P<method>\S+) for (?P<user>.*?) {_FROM}{_KEY}",
            "ssh_login",
            "start",
            "failure",
        ),
        phrase(
            rf"Postponed (?P<method>\S+) for (?:{_INVALID} )?(?P<user>.*) {_FROM}",
            "ssh_login_postponed",
        ),
        phrase(rf"Partial (?P<method>\S+) for (?P<user>.*?) {_FROM}{_KEY}", "ssh_login_partial"),
        phrase(
            r"Invalid user (?P<user>.*) from (?P<host>\S+?)(?: port (?P<port>\d+))?",
            "ssh_invalid_user",
            outcome="failure",
        ),
        phrase(
            r"Illegal user (?P<user>.*) from (?P<host>\S+?)(?: port (?P<port>\d+))?",
            "ssh_invalid_user",
            outcome="failure",
        ),
        phrase(
            r"input_userauth_request: (?:invalid|illegal) user ?(?P<user>.*)",
            "ssh_invalid_user",
            outcome="failure",
        ),
        phrase(
            r"User (?P<user>.*) from (?P<host>\S+) not allowed because (?P<reason>.*)",
            "ssh_user_denied",
            outcome="failure",
        ),
        phrase(
            r"ROOT LOGIN REFUSED FROM (?P<host>\S+)(?: port (?P<port>\d+))?",
            "ssh_user_denied",
            outcome="failure",
        ),
        phrase(
            rf"maximum authentication attempts exceeded for (?:{_INVALID} )?(?P<user>.*) {_FROM}",
            "ssh_max_attempts",
            "end",
            "failure",
        ),
        phrase(
            r"Disconnecting: Too many authentication failures(?: for (?P<user>.*))?",
            "ssh_max_attempts",
            "end",
            "failure",
        ),
        phrase(
            r"Disconnecting (?:invalid|authenticating) user (?P<user>.*) "
            rf"{_AT}: (?P<reason>Too many authentication failures)",
            "ssh_max_attempts",
            "end",
            "failure",
        ),
        phrase(
            r"Disconnecting (?:(?:invalid|authenticating) user (?P<user>.*) )?"
            rf"{_AT}: (?P<reason>.*)",
            "ssh_disconnect",
            "end",
        ),
        phrase(r"Disconnecting: (?P<reason>.*)", "ssh_disconnect", "end"),
        phrase(
            r"Disconnected from (?:(?:invalid |authenticating )?user (?P<user>.*) )?"
            rf"{_AT}",
            "ssh_disconnect",
            "end",
        ),
        phrase(rf"Received disconnect from {_AT}: ?\d+: ?(?P<reason>.*)", "ssh_disconnect", "end"),
        phrase(
            r"Received disconnect from (?P<host>\S+): \d+: ?(?P<reason>.*)",
            "ssh_disconnect",
            "end",
        ),
        phrase(
            r"Connection (?:closed|reset) by "
            rf"(?:(?:invalid|authenticating) user (?P<user>.*) )?{_AT}",
            "ssh_disconnect",
            "end",
        ),
        phrase(r"Connection (?:closed|reset) by (?P<host>\S+)", "ssh_disconnect", "end"),
        phrase(
            rf"Connection from {_AT}(?: on \S+ port \d+)?(?: rdomain .*)?",
            "ssh_connection",
        ),
        phrase(rf"Timeout before authentication for {_AT}", "ssh_timeout", "end", "failure"),
        phrase(
            r"Timeout before authentication for connection from (?P<host>\S+) to .*",
            "ssh_timeout",
            "end",
            "failure",
        ),
        phrase(
            r"drop connection #\d+ from \[(?P<host>[^\]]+)\]:(?P<port>\d+) on \S+ (?P<reason>.*)",
            "ssh_dropped",
            outcome="failure",
        ),
        phrase(
            r"Did not receive identification string from (?P<host>\S+?)(?: port (?P<port>\d+))?",
            "ssh_probe",
            outcome="failure",
        ),
        phrase(
            rf"Bad protocol version identification .* from {_AT}",
            "ssh_probe",
            outcome="failure",
        ),
        phrase(
            rf"banner exchange: Connection from {_AT}: (?P<reason>.*)",
            "ssh_probe",
            outcome="failure",
        ),
        phrase(
            rf"Unable to negotiate with {_AT}: (?P<reason>.*)",
            "ssh_negotiation",
            "end",
            "failure",
        ),
        phrase(
            r"reverse mapping checking getaddrinfo for (?P<domain>[\w.-]+) "
            r"\[?(?P<host>[^\s\]]+)\]? failed.*",
            "ssh_reverse_mapping",
            outcome="failure",
        ),
        phrase(
            r"Address (?P<host>\S+) maps to (?P<domain>[\w.-]+), but this does not map back.*",
            "ssh_reverse_mapping",
            outcome="failure",
        ),
        phrase(
            rf"Starting session: (?P<reason>.*?) for (?P<user>\S+) from {_AT}(?: id \d+)?",
            "ssh_session",
            "start",
            "success",
            category="session",
        ),
        phrase(
            r"subsystem request for (?P<reason>\S+)(?: by user (?P<user>.*))?",
            "ssh_subsystem",
            category="session",
        ),
        phrase(
            rf"Close session: user (?P<user>\S+) from {_AT}(?: id \d+)?",
            "ssh_session",
            "end",
            category="session",
        ),
        phrase(
            r"PAM service\(\S+\) ignoring max retries; \d+ > \d+",
            "ssh_max_attempts",
            outcome="failure",
        ),
        phrase(r"User child is on pid \d+", "ssh_child", category="process"),
        phrase(r"Server listening on \S+ port \d+\.", "ssh_listening", "start", category="process"),
        phrase(r"Received signal \d+; terminating\.", "ssh_terminated", "end", category="process"),
    )
)

_PREFIXES = ("error: ", "fatal: ", "info: ")


def parse(document: Document, message: str) -> bool:
    """Add to `document` what an sshd message says; False where it says nothing known."""
    document["event"]["dataset"] = "system.auth"
    message = message.removesuffix(" [preauth]")
    if message.startswith(_PREFIXES):
        message = message[message.index(" ") + 1 :]
    return recognise(document, message.rstrip(), PHRASES) is not None
