"""What depends on several fields of a log, decided when all of them are known.

A protocol that may be of any layer, an outcome that only an action tells: rules offer such values
for targets that begin with `~`, and each decision takes those it is about and offers them for the
fields they are. Users, processes and addresses are decided in ingest.generic.actors.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ingest.document import address
from ingest.generic.actors import ACTORS, MAX_ACTION
from ingest.generic.outcomes import done, named, of_value, said, words_within
from ingest.generic.words import spelled
from ingest.mapping import convert

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.generic.candidates import Candidate, Candidates

_TRANSPORTS = spelled("tcp udp icmp ipv6-icmp igmp gre esp ah sctp ospf pim vrrp ipip dccp udplite")


#: SMTP by the names of its extensions (RFC 3848).
_EXTENDED = frozenset({"esmtp", "esmtpa", "esmtps", "esmtpsa"})


def _protocol(found: Candidates) -> None:
    """Of a protocol's name or number: transport or application."""
    for score, value in found.take("~protocol"):
        name = convert.transport(value)
        if name is None:
            continue
        for written in name.replace("/", ":").split(":")[:4]:
            part = "smtp" if written in _EXTENDED else written
            if part in _TRANSPORTS:
                found.offer("network.transport", score, part)
            elif not part.isdigit() and len(part) <= 24:
                found.offer("network.protocol", score, part)


def _outcome(found: Candidates) -> None:
    """Words of success and failure; a code of zero is success where it is a result."""
    action = found.best("~action")
    if isinstance(action, str) and not _REFUSED.isdisjoint(words_within(action)):
        found.offer("event.outcome", REFUSED, "failure")
    for score, value in found.take("~outcome"):
        made = of_value(value)
        if made is not None:
            found.offer("event.outcome", score, made)
    for score, value in found.take("~blocked"):
        if (blocked := convert.boolean(value)) is not None:
            found.offer("event.outcome", score, "failure" if blocked else "success")


def _responses(found: Candidates) -> None:
    """Beside a request's method a bare status is the response's, a bare path the request's."""
    if found.best("http.request.method") not in _METHODS:
        return
    for score, value in found.by_target.get("~outcome", ()):
        status = convert.whole(value)
        if status is not None and 100 <= status < 600:
            found.offer("http.response.status_code", score - 4, status)
    if found.has("url") or found.has("url.path") or found.has("~request"):
        return
    files = found.take("file.path")
    for score, value in files:
        bare = isinstance(value, str) and value.startswith("/") and score <= BARE_PATH
        found.offer("url" if bare else "file.path", score, value)


#: What a path is worth as a file's if nothing says whose it is.
BARE_PATH = 66

#: Words of an action that say by themselves that it failed (`UserLoginFailed`), and their worth:
#: more than that of a status, which may be that of the report.
_REFUSED = spelled("failed failure denied rejected refused")
REFUSED = 96


def _action(found: Candidates) -> None:
    for score, value in found.take("~action"):
        if not isinstance(value, str) or len(value) > MAX_ACTION:
            continue
        if value in _METHODS:
            found.offer("http.request.method", score - 15, value)
        else:
            found.offer("event.action", score, value)


_METHODS = frozenset({"GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH", "CONNECT"})


def _concluded(found: Candidates) -> None:
    """An outcome that no field tells: of a response, of what was done, of words in a message."""
    acted = found.take("~acted")
    if found.has("event.outcome"):
        return
    for _, value in found.by_target.get("http.response.status_code", ()):
        status = convert.whole(value)
        if status is not None and 100 <= status < 600:
            found.offer("event.outcome", 30, "success" if status < 400 else "failure")
    for told in (
        *(value for _, value in acted),
        *(found.best(target) for target in ("event.action", "event.reason", "message")),
    ):
        if isinstance(told, str) and (outcome := said(told)) is not None:
            found.offer("event.outcome", 20, outcome)
            return
    for _, value in found.by_target.get("~etype", ()):
        if (outcome := named(value)) is not None:
            found.offer("event.outcome", 15, outcome)
            return
    if found.has("error.code") or found.has("error.message"):
        found.offer("event.outcome", 10, "failure")
    elif done(found.best("event.action")):
        found.offer("event.outcome", 10, "success")


#: What identifies one event, and no kind of events.
_OPAQUE_CODE = re.compile(
    r"\{?[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}?|[0-9A-Fa-f]{16,128}|\d{13,}|"
    r"[0-9A-Z]{24,64}",
    re.ASCII,
)

#: The id of a mail (RFC 5322, section 3.6.4).
_MESSAGE_ID = re.compile(r"<[^<>\s@]{1,256}@[^<>\s@]{1,256}>", re.ASCII)

#: Longest id of a rule that may be its name, characters.
MAX_RULE = 64

#: A number that is called an id names a kind of event if it is smaller; else the event itself.
MAX_CODE = 10_000_000


def _codes(found: Candidates) -> None:
    """A number for the kind of event is its code; what identifies one event is not."""
    for score, value in found.take("~etype"):
        if isinstance(value, int) or (isinstance(value, str) and value.isdigit()):
            found.offer("event.code", score // 2 + 30, value)
    codes: list[Candidate] = []
    for score, value in found.take("event.code"):
        if isinstance(value, str) and _MESSAGE_ID.fullmatch(value) is not None:
            found.offer("email.message_id", score, value)
        elif not isinstance(value, str) or _OPAQUE_CODE.fullmatch(value) is None:
            codes.append((score, value))
    if codes:
        found.by_target["event.code"] = codes
    for score, value in found.take("~id"):
        if (number := convert.whole(value)) is not None and number < MAX_CODE:
            found.offer("event.code", score, value)
    for score, value in found.by_target.get("rule.id", ()):
        named = isinstance(value, str) and not value.isdigit() and len(value) < MAX_RULE
        if named and _OPAQUE_CODE.fullmatch(value) is None:
            found.offer("rule.name", score // 3, value)


def _devices(found: Candidates) -> None:
    """The device that reports: an observer where it reports others' traffic, else the host."""
    reports = any(found.has(name) for name in ("destination.ip", "source.ip", "destination.port"))
    names = found.take("~dvc.name")
    if names and found.has("destination.ip"):
        for _, value in found.by_target.get("host.name", ()):
            if isinstance(value, str) and "." in value:
                found.offer("destination.domain", 35, value)
    for score, value in names:
        found.offer("host.name", score, value)
        if reports:
            found.offer("observer.name", score, value)
    for score, value in found.take("~agent"):
        browser = isinstance(value, str) and "/" in value
        found.offer("user_agent" if browser else "host.name", score, value)
    for score, value in found.take("~dvc.ip"):
        found.offer("host.ip", score, value)
        found.offer("observer.ip", score, value)


def _mail(found: Candidates) -> None:
    """Users that are addresses of mail on both sides are who wrote to whom."""
    sender, recipient = found.take("~suser"), found.take("~duser")
    if not sender or not recipient:
        return
    if convert.email(sender[0][1]) and convert.email(recipient[0][1]):
        found.offer("email.from.address", 60, sender[0][1])
        found.offer("email.to.address", 60, recipient[0][1])


def _domains(found: Candidates) -> None:
    for score, value in found.take("~name.domain"):
        if isinstance(value, str) and "." in value and (name := convert.host(value)):
            found.offer("destination.domain", score, name)
    hosts = [one for one in found.take("host.name") if "/" not in str(one[1])]
    if hosts:
        found.by_target["host.name"] = hosts
    providers = found.take("cloud.provider")
    if providers:
        found.by_target["cloud.provider"] = [(s, str(v).lower()) for s, v in providers]


#: Numbers of the commonest types of questions (IANA, DNS parameters).
_QUESTIONS = {
    **{"1": "A", "2": "NS", "5": "CNAME", "6": "SOA", "12": "PTR", "15": "MX", "16": "TXT"},
    **{"28": "AAAA", "33": "SRV", "35": "NAPTR", "43": "DS", "46": "RRSIG", "48": "DNSKEY"},
    **{"64": "SVCB", "65": "HTTPS", "255": "ANY", "257": "CAA"},
}
_QUESTION = re.compile(r"(?:\d{1,5} ?\(?)?([A-Za-z][A-Za-z0-9]{0,9})\)?", re.ASCII)


def _questions(found: Candidates) -> None:
    """Types of questions by their names; a question without one of them is no name server's."""
    for score, value in found.take("dns.question.type"):
        text = str(value)
        if (name := _QUESTIONS.get(text)) is not None:
            found.offer("dns.question.type", score, name)
        elif (match := _QUESTION.fullmatch(text)) is not None:
            found.offer("dns.question.type", score, match[1])
            return
        else:
            continue
        return


_REQUEST = re.compile(r"([A-Z]{3,9}) (\S{1,8192})(?: HTTP/([\d.]{1,4}))?", re.ASCII)


def _asked_host(found: Candidates) -> None:
    """Beside a request's method and path, a bare `host` with dots is the one that was asked for."""
    if found.best("http.request.method") not in _METHODS or not found.has("url"):
        return
    kept: list[Candidate] = []
    for score, value in found.take("host.name"):
        name = value if isinstance(value, str) and "." in value and score == BARE_HOST else ""
        if name and (host := convert.host(name.partition(":")[0])) and address(host) is None:
            found.offer("url.domain", score, host)
            found.offer("destination.domain", score - 40, host)
        else:
            kept.append((score, value))
    if kept:
        found.by_target["host.name"] = kept


#: What a field called `host` or `hostname`, and nothing more, is worth as the host's name.
BARE_HOST = 76


def _local_path(url: str) -> str:
    """The path of a file on this machine that a URL names (RFC 8089); "" where it names none."""
    path = url[7:] if url[:8].lower() == "file:///" else ""
    return unquote(path[1:] if path[2:3] == ":" else path)


def _request_lines(found: Candidates) -> None:
    """A request line is a method and a URL."""
    lines = found.take("~request")
    kept: list[Candidate] = []
    for score, value in [*lines, *found.take("url")]:
        if isinstance(value, str) and (path := _local_path(value)):
            found.offer("file.path", score, path)
            continue
        match = _REQUEST.fullmatch(value) if isinstance(value, str) and " " in value else None
        if match is not None and match[1] in _METHODS:
            found.offer("http.request.method", score, match[1])
            kept.append((score, match[2]))
        elif (score, value) not in lines:
            kept.append((score, value))
    if kept:
        found.by_target["url"] = kept


def _requests(found: Candidates) -> None:
    """The name that a client asks for is where it goes."""
    if not found.has("destination.domain"):
        for score, value in found.by_target.get("tls.client.server_name", ()):
            found.offer("destination.domain", score // 2, value)


def _commands(found: Candidates) -> None:
    """A bare number is how many commands there were, or which one: no command line."""
    for score, value in found.take("process.command_line"):
        if not (isinstance(value, str) and value.isdigit()):
            found.offer("process.command_line", score, value)


_ACCOUNT = re.compile(r"[\w.-]{1,64}\\[\w.$-]{1,64}")


def _accounts(found: Candidates) -> None:
    """A display name with a domain before a backslash is an account's."""
    for score, value in found.by_target.get("user.full_name", ()):
        if isinstance(value, str) and _ACCOUNT.fullmatch(value) is not None:
            found.offer("user", score, value)


def _cef(found: Candidates) -> None:
    """Fields of CEF whose place depends on others."""
    for score, value in found.take("~fname"):
        path = isinstance(value, str) and ("/" in value or "\\" in value)
        found.offer("file.path" if path else "file.name", score, value)
    for score, value in found.take("~in"):
        found.offer("source.bytes", score, value)
    for score, value in found.take("~out"):
        found.offer("destination.bytes", score, value)
    for score, value in found.take("~sntdom"):
        found.offer("source.user.domain", score, value)
        found.offer("user.domain", score, value)
    for score, value in found.take("~dntdom"):
        found.offer("destination.user.domain", score, value)


def _clouds(found: Candidates) -> None:
    """What the name of a cloud's resource tells: whose cloud, which account and region."""
    for _, value in found.take("~resource"):
        if value.startswith("arn:"):
            parts = value.split(":", 5)
            if len(parts) == 6 and parts[1].startswith("aws"):
                found.offer("cloud.provider", 50, "aws")
                found.offer("cloud.region", 45, parts[3])
                found.offer("cloud.account.id", 45, parts[4])
        elif value[:15].lower() == "/subscriptions/":
            found.offer("cloud.provider", 50, "azure")
            found.offer("cloud.account.id", 45, value.split("/", 3)[2])
        else:
            found.offer("cloud.provider", 45, "gcp")
    if found.take("~aws"):
        found.offer("cloud.provider", 50, "aws")


#: In order: each takes the candidates it decides about and offers what they are.
DECISIONS: tuple[Callable[[Candidates], None], ...] = (
    _accounts,
    *ACTORS,
    _request_lines,
    _responses,
    _protocol,
    _outcome,
    _action,
    _concluded,
    _codes,
    _devices,
    _domains,
    _questions,
    _asked_host,
    _requests,
    _mail,
    _clouds,
    _cef,
    _commands,
)
