"""What a line of text says by itself: times, addresses and their sides, users, requests, outcomes.

For lines whose author is unknown, so only what is common to many of them is looked for, and always
with less weight than a field with a name. Every pattern is linear and the text bounded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ingest.document import PORT_MAX, address, whole
from ingest.generic.outcomes import said
from ingest.generic.words import spelled, words_of
from ingest.mapping import convert

if TYPE_CHECKING:
    from ingest.generic.candidates import Candidates
    from ingest.generic.resolve import Resolver

#: How much of a text is looked at, characters.
MAX_TEXT = 8_192

#: How much of it may stand before its time.
MAX_LEAD = 256

#: Most addresses, and most pairs, that are looked at.
MAX_ADDRESSES = 16
MAX_PAIRS = 64

#: Time of day with an optional fraction.
_CLOCK = r"\d\d?:\d\d:\d\d(?:[.,]\d{1,9})?"
_TIME = re.compile(
    r"(?<![\w.:/-])(?:"
    rf"\d{{4}}[-/.]\d\d?[-/.]\d\d?[T _]{_CLOCK}(?: ?(?:Z|UTC|GMT|[+-]\d\d:?\d\d))?"
    rf"|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{4}}[ :,T]{{1,2}}{_CLOCK}(?: ?[AP]M)?(?: ?(?:UTC|GMT))?"
    rf"|\d{{1,2}}[-/ ][A-Za-z][a-z]{{2}}[-/ ]\d{{4}}[: ]{_CLOCK}(?: [+-]\d{{4}})?"
    rf"|(?:[A-Z][a-z]{{2}},? )?"
    rf"[A-Z][a-z]{{2}} {{1,2}}\d{{1,2}},? (?:\d{{4}} )?{_CLOCK}(?: \d{{4}})?"
    r"|1\d{9}(?:\.\d{1,9}|\d{3})?(?=[\s,|])"
    r")(?!\d)",
    re.ASCII,
)
_COLON = re.compile(r"(/\d{1,2}/\d{4}):", re.ASCII)
_EPOCH_START = re.compile(r"\s?1\d{9}", re.ASCII)

_REQUEST = re.compile(
    r"(?<![\w/])(GET|POST|PUT|DELETE|HEAD|OPTIONS|PATCH|CONNECT|TRACE|PROPFIND|SEARCH) "
    r"([^\s\"]{1,4096})(?: HTTP/(\d(?:\.\d)?))?(?:\"\s?(?:\S{1,8} )??([1-5]\d\d)\b)?",
    re.ASCII,
)
_COMMON_LOG = re.compile(
    r"\s{0,4}(?:(\S{1,255}) )??(\S{1,255}) (\S{1,128}) (\S{1,255}) \[[^\]]{10,40}\] \"", re.ASCII
)
_PROXY_LOG = re.compile(
    r"\s{0,4}(?:(\S{1,255}) )??(\S{1,255}) (\S{1,128}) \[[^\]]{10,40}\] \"", re.ASCII
)
_URL = re.compile(r"(?<![\w])(?:https?|ftp)://[^\s\"'<>|\\^`{}]{1,2048}", re.ASCII)
_AGENT = re.compile(
    r"\"((?:Mozilla|curl|Wget|python-requests|Go-http-client|Java|okhttp|Apache-HttpClient)/"
    r"[^\"]{1,512})\"|(Mozilla/\d\.\d \([^\"|]{1,512}?)(?= - |\"|$)",
    re.ASCII,
)
_ADDRESS = re.compile(
    r"(?<![\w.:-])(?P<label>[A-Za-z][\w-]{0,40}:(?=\d{1,3}\.\d))?"
    r"(?:(?P<name>[A-Za-z0-9_][\w.-]{0,253})[\[(])?\[?"
    r"(?P<ip>\d{1,3}(?:\.\d{1,3}){3}|"
    r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,6}(?::[0-9A-Fa-f.]{0,15})?)(?![\w.]*[A-Za-z_])\]?"
    r"(?:\)?(?P<mark>[:/#(]| ?: ?)(?P<port>\d{1,5})(?![\w.:/])|"
    r",? port[:= ]{1,2}(?P<named>\d{1,5})\b)?",
    re.ASCII,
)
_BEFORE = re.compile(r"[A-Za-z_][\w.-]{0,40}|->|=>|>", re.ASCII)
_MAILBOX = re.compile(r"@[\w.-]{1,64}", re.ASCII)
_MAC = re.compile(
    r"(?<![\w:.-])(?:[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}|[0-9A-Fa-f]{2}(?:-[0-9A-Fa-f]{2}){5}|"
    r"[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4})(?![\w:.-])",
    re.ASCII,
)
_PAIR = re.compile(
    r"(?<![\w.\-/@])([A-Za-z][\w.\-]{1,40}) ?(=|: ?) ?"
    r"(\"[^\"]{0,1024}\"|'[^']{0,1024}'|\[[^\]\s]{0,256}\]|<[^>\s]{0,256}>|[^\s,;|()\[\]\"'<>]{1,1024})"
)
_LABELLED = re.compile(
    r"(?:^|[,;|\t\n]) {0,3}([A-Z][A-Za-z0-9]{0,30}(?:[ /_-][A-Za-z0-9]{1,30}){0,3}) ?: ?"
    r"([^,;|\t\n]{1,1024})"
)
_USER = re.compile(
    r"\b(?:user(?: ?name| id)?|login|account|acct|logname|usr|principal)\b"
    r"(?: ?(?:name|id|account))?[ :=]{1,3}['\"\[(<]{0,2}([\w.@\\$+/-]{1,128})",
    re.ASCII | re.IGNORECASE,
)
_QUOTED_USER = re.compile(
    r"\b[Uu]ser(?:name)?(?:[ :=]{1,3}(?:'([^']{1,128})'|\"([^\"]{1,128})\")|"
    r"[ :=]{0,3}\[([^\]]{1,128})\])"
)
_FOR = re.compile(
    r"\b(?i:log(?:in|on)|password|publickey|auth\w{0,12}|sessions?|opened|closed|accepted|failed|"
    r"failure|access|\w{1,24}_authenticator)\b[^.;:]{0,40}? "
    r"for (?:invalid |illegal |unknown )?(?:user )?['\"]?([A-Za-z_][\w.@\\$-]{0,63})['\"]?"
    r"(?= from\b|\(uid| \((?:client|from|ip|uid)\b| by\b|,|$)",
    re.ASCII,
)
_DN = re.compile(r"\b(?:uid|UID|cn|CN)=([^,\s\"]{1,128}),", re.ASCII)
_NOT_USERS = spelled(
    "is was no not has had have from for logged authentication authenticated login logout log in "
    "out to at on by with and or the a an failed failure succeeded success invalid unknown "
    "name names id ids does did do can cannot could may session sessions account accounts "
    "password agent group access accepted rejected denied created deleted removed added "
    "changed disconnected connected request type data profile information info lookup error "
    "true false null none nil via of as using tried attempt attempted connection timeout "
    "locked unlocked enabled disabled database db role "
)
_QUESTION = re.compile(
    r"([A-Za-z0-9_*\\][\w.\\*-]{0,253}?)\.? (?:IN|CH) ([A-Z][A-Z0-9]{0,9})\b", re.ASCII
)
_QUERY = re.compile(r"\bquery(?:\[([A-Z0-9]{1,10})\])?:? ([\w.-]{1,254})\b", re.ASCII)
_PROGRAM = re.compile(
    r"(?:\S{1,255} )?([A-Za-z][\w.\-/()]{0,63})\[(\d{1,10})\](?::|(?= \[))", re.ASCII
)
_MNEMONIC = re.compile(r"%([A-Z][\w/]{1,40})-(?:[A-Z0-9_]{1,20}-)?([0-7])-(\w{2,60}):", re.ASCII)
_TRANSPORT = re.compile(r"\b(tcp|udp|icmp|sctp|igmp)\b", re.ASCII | re.IGNORECASE)
_COLUMNS = re.compile(r",\s?|\t|\|| ")

_NO_NAMES = frozenset({"unknown", "client", "ip", "from", "peer", "host"})
_SOURCE_WORDS = frozenset({"src", "client", "remote", "actor", "sender", "user", "on", "of"})
_DESTINATION_WORDS = frozenset({"dst", "relay", "server", "target", "->", "=>", ">"})
_NEITHER = spelled(
    "via nat gateway router dns mask subnet network netmask virtual proxy observer local pool"
)
_PREPOSITIONS = {"from": "source", "to": "destination", "->": "destination", "=>": "destination"}


def read(
    text: str, found: Candidates, resolver: Resolver, ceiling: int, *, whole: bool = True
) -> None:
    """Offer what `text` says, with scores up to `ceiling` and a little more where it is sure.

    `whole` is False for the message of a log whose fields say the rest.
    """
    text = text[:MAX_TEXT]
    if "\\r\\n" in text:
        text = text.replace("\\r\\n", "\n")  # lines that were escaped on their way
    if whole:
        _time(text, found, ceiling)
        _program(text, found, ceiling)
        _request(text, found, ceiling)
    if whole:
        _labelled(text, found, resolver, ceiling)
    pairs = _pairs(text, found, resolver, ceiling)
    _addresses(text, found, ceiling)
    _names(text, found, ceiling, pairs)
    if "user" not in found.by_target and "user.name" not in found.by_target:
        _users(text, found, ceiling)
    for match in _MAC.finditer(text):
        found.offer("source.mac", ceiling - 20, match[0])
        break
    if (outcome := said(text)) is not None:
        found.offer("event.outcome", ceiling - 25, outcome)


def _time(text: str, found: Candidates, ceiling: int) -> None:
    head = text[:MAX_LEAD]
    match = _TIME.search(head)
    if match is None:
        return
    if match[0][0] == "1" and match[0][1:10].isdigit() and _EPOCH_START.match(text) is None:
        return  # ten digits anywhere are a counter
    found.offer("~time", ceiling, _COLON.sub(r"\1 ", match[0]))


def _program(text: str, found: Candidates, ceiling: int) -> None:
    head = text[:128]
    time = _TIME.match(head.lstrip("[ "))
    start = (time.end() + len(head) - len(head.lstrip("[ "))) if time is not None else 0
    match = _PROGRAM.match(text[start : start + 400].lstrip("] "))
    if match is not None:
        found.offer("process.name", ceiling - 15, match[1].rpartition("/")[2])
        found.offer("process.pid", ceiling - 15, match[2])
    if (mnemonic := _MNEMONIC.search(text, 0, 512)) is not None:
        found.offer("event.code", ceiling, mnemonic[3])
        found.offer("event.severity", ceiling, mnemonic[2])


def _request(text: str, found: Candidates, ceiling: int) -> None:
    """A request line, the combined log format around it, and URLs."""
    match = _REQUEST.search(text) if "/" in text else None
    if match is not None and (match[3] or match[2][0] in "/*h" or match[1] == "CONNECT"):
        found.offer("http.request.method", ceiling + 10, match[1])
        found.offer("url", ceiling + 10, match[2])
        if match[3]:
            found.offer("http.version", ceiling, match[3])
        if match[4]:
            found.offer("http.response.status_code", ceiling, match[4])
        if (common := _COMMON_LOG.match(text)) is not None:
            found.offer("source", ceiling + 10, common[2])
            if common[4] != "-":
                found.offer("user", ceiling + 10, common[4])
            if common[1] and common[1] != "-":
                found.offer("destination", ceiling - 5, common[1])
        elif (short := _PROXY_LOG.match(text)) is not None and address(short[2]) is not None:
            found.offer("source", ceiling + 10, short[2])
            if short[3] != "-":
                found.offer("user", ceiling, short[3])
    elif "://" in text and (url := _URL.search(text)) is not None:
        found.offer("url", ceiling - 10, url[0].rstrip(".,;:!?)]"))
    if (agent := _AGENT.search(text)) is not None:
        found.offer("user_agent", ceiling, agent[1] or agent[2])


def _pairs(text: str, found: Candidates, resolver: Resolver, ceiling: int) -> set[str]:
    """`name=value` and `name: value` within a sentence; the targets they filled."""
    filled: set[str] = set()
    if "=" not in text and ": " not in text:
        return filled
    for count, match in enumerate(_PAIR.finditer(text)):
        if count >= MAX_PAIRS:
            break
        name, mark, value = match.groups()
        value = value.strip("\"'[]<>")
        if not value or (value[0] == "/" and "//" in value[:2]):
            continue
        for target, score in resolver(name).targets:
            if target == "~time" or target.startswith("~etype"):
                continue
            if mark != "=" and not _plain(target, value):
                continue
            if "user" in target and value.lower() in _NOT_USERS:
                continue
            found.offer(target, min(score - 15, ceiling + 12), value)
            filled.add(target)
    return filled


#: So many `Name of it: value` between separators are fields, not prose.
LABELS = 3


def _labelled(text: str, found: Candidates, resolver: Resolver, ceiling: int) -> None:
    """`Computer name: ws-7,Risk name: X`: names of several words, with separators between pairs."""
    if text.count(": ") < LABELS:
        return
    pairs = _LABELLED.findall(text)[:MAX_PAIRS]
    if len(pairs) < LABELS:
        return
    for name, written in pairs:
        value = written.strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        if not value or value.lower() in _NOT_USERS:
            continue
        for target, score in resolver(name).targets:
            if "user" in target and value[-1] == ")":
                value = value.partition(" (")[0]  # what it is of the event: `ann (initiator)`
            found.offer(target, min(score - 10, ceiling + 14), value)


def _plain(target: str, value: str) -> bool:
    """Whether `name: value` can be trusted: prose writes colons too."""
    if target.endswith((".ip", ".port", "~ip", ".mac")) or target in ("source", "destination"):
        return value[0].isdigit() or ":" in value
    return target.startswith(
        ("user", "source.user", "destination.user", "process.", "url", "file.")
    )


def _addresses(text: str, found: Candidates, ceiling: int) -> None:
    """Addresses, sided by the words before them; without, the first is the source."""
    sided: dict[str, int] = {}
    loose: list[tuple[str, str | None, str | None]] = []
    if text.count(".") < 3 and text.count(":") < 2:
        return
    for count, match in enumerate(_ADDRESS.finditer(text)):
        if count >= MAX_ADDRESSES:
            break
        ip = address(match["ip"])
        if ip is None or ip == "::" or ip.startswith("255.") or ip.endswith(".0.0"):
            continue  # nothing, a mask, a network or a version
        port = match["named"] or match["port"]
        if port and match["mark"] == "/" and int(port) <= 32 and ":" not in ip:
            continue  # a network
        found.addresses[ip] = None
        start = match.end("label") if match["label"] else match.start()
        side = _side(text[max(0, start - 48) : start])
        name = match["name"]
        if name and (name.isdigit() or name.lower() in _NO_NAMES):
            name = None
        if side == "neither":
            continue
        if side is None or side in sided:
            loose.append((ip, port, name))
            continue
        sided[side] = 1
        _offer_side(found, side, ip, port, name, ceiling)
    for ip, port, name in loose:
        side = next((s for s in ("source", "destination") if s not in sided), None)
        if side is None:
            break
        if ip in [value for s in sided for _, value in found.by_target.get(f"{s}.ip", ())]:
            continue
        sided[side] = 1
        _offer_side(found, side, ip, port, name, ceiling - 12)


def _offer_side(
    found: Candidates, side: str, ip: str, port: str | None, name: str | None, score: int
) -> None:
    found.offer(f"{side}.ip", score, ip)
    if port:
        found.offer(f"{side}.port", score, port)
    if name and convert.host(name):
        found.offer(f"{side}.domain", score, name)


def _side(before: str) -> str | None:
    """The side that the words right before an address give it."""
    words = _BEFORE.findall(_MAILBOX.sub(" ", before))
    for word in reversed(words[-3:]):
        lower = word.lower()
        if lower.endswith(".local") or lower == "inside":
            continue  # a name of a host or a domain, or of a network interface
        if lower in _PREPOSITIONS:
            return _PREPOSITIONS[lower]
        parts = words_of(word)
        if not _NEITHER.isdisjoint(parts) or lower in _NEITHER:
            return "neither"
        if not _DESTINATION_WORDS.isdisjoint(parts):
            return "destination"
        if not _SOURCE_WORDS.isdisjoint(parts):
            return "source"
    return None


def _names(text: str, found: Candidates, ceiling: int, pairs: set[str]) -> None:
    """Questions of name servers, and a transport's name."""
    match = _QUESTION.search(text) if " IN " in text or " CH " in text else None
    if match is not None:
        found.offer("dns.question.name", ceiling, match[1])
        found.offer("dns.question.type", ceiling, match[2])
    elif (query := _QUERY.search(text)) is not None and "." in query[2]:
        found.offer("dns.question.name", ceiling - 10, query[2])
        if query[1]:
            found.offer("dns.question.type", ceiling - 10, query[1])
    if "network.transport" not in pairs and (found.has("source.ip") or found.has("destination.ip")):
        transport = _TRANSPORT.search(text)
        if transport is not None:
            found.offer("network.transport", ceiling - 15, transport[1].lower())


def _users(text: str, found: Candidates, ceiling: int) -> None:
    quoted = _QUOTED_USER.search(text)
    if quoted is not None:
        found.offer("user", ceiling, quoted[1] or quoted[2] or quoted[3])
        return
    for match in _USER.finditer(text):
        name = match[1].rstrip(".,:;/-")
        if name and name.lower() not in _NOT_USERS and address(name) is None:
            found.offer("user", ceiling - 5, name)
            return
    for pattern in (_FOR, _DN):
        match_ = pattern.search(text)
        if match_ is not None and match_[1].lower() not in _NOT_USERS:
            found.offer("user", ceiling - 10, match_[1])
            return


#: How much of a text is looked at as separated values, characters.
MAX_COLUMNS = 32_768


def columns(text: str, found: Candidates, ceiling: int) -> None:
    """Separated values without names: two addresses, side by side before their ports or each
    before its own.

    Firewalls and flow logs write them in this order: source before destination.
    """
    cells = _COLUMNS.split(text[:MAX_COLUMNS], 128)
    if len(cells) < 8:
        return
    cells = [cell.strip('" ') for cell in cells]
    for at, cell in enumerate(cells):
        if (first := address(cell)) is None:
            continue
        behind = cells[at + 1 : at + 4]
        if behind and (second := address(behind[0])) is not None:
            ports = behind[1:]
        elif len(behind) == 3 and (second := address(behind[1])) is not None:
            ports = behind[::2]
            if not _are_ports(ports):
                continue
        else:
            continue
        found.offer("source.ip", ceiling, first)
        found.offer("destination.ip", ceiling, second)
        if _are_ports(ports):
            found.offer("source.port", ceiling, ports[0])
            found.offer("destination.port", ceiling, ports[1])
        return


def _are_ports(cells: list[str]) -> bool:
    return len(cells) == 2 and all(whole(cell, PORT_MAX) is not None for cell in cells)
