"""From the name of a field to the words it is made of, in one spelling.

Vendors write `srcip`, `SrcIP`, `source_ip`, `sourceIPAddress`, `c-ip`, `IP Source`: all become the
words `src ip`. A name is cut at punctuation and at changes of case; what is left is cut into
words of the vocabulary, the fewest that fit. Synonyms become one word; words that say nothing
(`data`, `info`, `properties`) go.
"""

from __future__ import annotations

import re
from functools import lru_cache


def spelled(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


#: Canonical word → its spellings. A spelling belongs to one word only.
_WORDS = {
    # who and which side
    "src": "src source sources srce orig originating originator origination attacker offender",
    "client": "client clients clt cli requester requestor caller calling visitor",
    "remote": "remote peer external connecting rem",
    "local": "local internal inside",
    "dst": "dst dest destination dests destinations responder victim dstn",
    "server": "server srv",
    "target": "target targets targeted affected impacted aimed",
    "actor": "actor actors performer performed initiator initiated initiating executor executed "
    "executing invoked operator acting author triggered modified changed",
    "by": "by",
    "public": "public wan",
    "nat": "nat natted xlate xlated translated tran translation mapped postnat snat dnat",
    "parent": "parent parents creator",
    "grand": "grandparent grand ancestor",
    "old": "old previous prev prior before former last",
    "new": "new",
    # who
    "user": "user users usr who username uname login logon principal member identity person "
    "employee operatorname accountname loginname userprincipal",
    "account": "account accounts acct acc",
    "upn": "upn",
    "admin": "admin administrator",
    "group": "group groups",
    "role": "role roles",
    # what
    "host": "host hosts computer computers machine workstation asset endpoint endpoints "
    "hostmachine nodename pc vm station",
    "device": "device devices dev dvc appliance",
    "agent": "agent agents sensor",
    "observer": "observer observers reporter reporting collector gateway firewall probe",
    "process": "process processes proc prc image program",
    "file": "file files filename attachment attachments",
    "directory": "directory folder dir folders",
    "registry": "registry reg",
    "key": "key keys",
    "link": "link links href weblink",
    "url": "url urls uri uris",
    "http": "http https web",
    "request": "request requests requested req",
    "response": "response responses resp reply",
    "dns": "dns ddr",
    "query": "query queries qry",
    "question": "question questions rrname qname",
    "tls": "tls ssl",
    "certificate": "cert certificate certificates",
    "email": "email emails mails e-mail mailbox smtp",
    "mail": "mail message_mail",
    "sender": "sender senders from mailfrom",
    "recipient": "recipient recipients receiver receivers rcpt rcpts to mailto rcptto",
    "subject": "subject subjects",
    "rule": "rule rules policy policies signature signatures acl",
    "threat": "threat threats malware virus attack attacks exploit ioc",
    "technique": "technique techniques mitre attackid",
    "tactic": "tactic tactics",
    "alert": "alert alerts detection detections detected incident incidents alarm alarms finding "
    "findings",
    "cloud": "cloud aws azure gcp",
    "tenant": "tenant tenants",
    "subscription": "subscription",
    "project": "project projects",
    "organization": "org organization organisation company customer",
    "region": "region",
    "service": "service services svc",
    "app": "app apps application applications",
    "network": "network net",
    "session": "session sessions sess",
    "connection": "connection connections conn",
    "event": "event events evt",
    "interface": "interface intf iface ifname",
    "zone": "zone",
    "module": "module dll",
    "script": "script",
    "container": "container pod",
    "resource": "resource resources entity entities",
    # which property
    "ip": "ip ips ipaddr ipaddress ipaddresses ipv ipno ipadress",
    "address": "address addresses addr addrs adr",
    "port": "port ports",
    "mac": "mac macs macaddr macaddress hwaddr ether",
    "name": "name names nm",
    "display": "display displayed friendly full",
    "id": "id ids identifier uuid guid uid",
    "path": "path paths fullpath filepath pathname stem",
    "domain": "domain domains",
    "fqdn": "fqdn",
    "hash": "hash hashes digest checksum fingerprint",
    "md5": "md5 md5sum md5hash",
    "sha1": "sha1 sha1sum sha1hash",
    "sha256": "sha256 sha256sum sha256hash",
    "sha512": "sha512",
    "imphash": "imphash",
    "pid": "pid",
    "cmdline": "cmdline cmdlines commandline cmd",
    "command": "command commands",
    "executable": "executable exe binary exec",
    "size": "size length len",
    "bytes": "bytes byte octets",
    "packets": "packets packet pkts pkt",
    "sent": "sent out outgoing xmit transmitted tx uploaded upload outbound",
    "received": "received rcvd rcv recv incoming rx downloaded download inbound",
    "version": "version versions ver",
    "class": "class",
    "type": "type types kind",
    "category": "category categories cat subtype subcategory",
    "code": "code codes",
    "status": "status state statuses",
    "method": "method methods verb",
    "useragent": "useragent ua agentstring",
    "referer": "referer referrer",
    "sni": "sni",
    "protocol": "protocol protocols proto prot",
    "transport": "transport l4proto",
    "direction": "direction",
    "result": "result results res",
    "outcome": "outcome disposition verdict",
    "success": "success succeeded successful succeed isok",
    "failure": "failure failed fail",
    "reason": "reason reasons cause",
    "error": "error errors err exception",
    "severity": "severity sev prio priority criticality urgency",
    "level": "level lvl",
    "risk": "risk score",
    "action": "action actions act",
    "operation": "operation operations op activity activities task",
    "description": "description desc descr details_text summary title text",
    "message": "message messages msg",
    "reported": "reported",
    # when
    "time": "time timestamp timestamps datetime ts tstamp when utctime isotimestamp timestr",
    "date": "date day",
    "at": "at on",
    "created": "created create creation creating createddatetime",
    "occurred": "occurred occured occurence occurrence occur happened",
    "generated": "generated generation raised logged published issued emitted recorded observed",
    "start": "start started begin began beginning",
    "end": "end ended finish finished stop closed close",
    "first": "first earliest",
    "update": "update updated modification changedon modify lastmodified seen found",
    "ingest": "ingest ingested ingestion indexed index insert inserted backend sync synced "
    "processing processed persistence upload_time",
    "expire": "expire expires expiry expired expiration valid validity until due",
    "timezone": "timezone tz utcoffset",
    "duration": "duration elapsed took",
    # seen within names, and never what we look for
    "count": "count counter total num number_of amount cnt",
    "flag": "is has enabled allowed can should flag flags",
    "owner": "owner owners",
    "geo": "geo geoip location locations country countrycode city latitude longitude lat lon lng "
    "continent postal asn isp geolocation",
    "mask": "mask netmask subnet cidr prefix range",
    "config": "config configuration settings setting option options template",
    "os": "os platform windows linux",
    "hw": "model manufacturer vendor product build",
    "serial": "serial serialnumber serialno",
    "mode": "mode format",
    "default": "default backup secondary",
    "license": "license",
    "ttl": "ttl",
    "list": "list",
    "window": "window",
    "management": "management mgmt",
    "proxy": "proxy forwarded forward forwardedfor xff",
    "virtual": "virtual vip",
    "token": "token secret password",
    "tag": "tag tags label labels",
    "value": "value values val",
    "original": "original origin",
    "effective": "effective",
    "logname": "logname",
}

#: Spellings that stand for several words.
_COMPOUNDS = {
    "srcip": "src ip",
    "sip": "src ip",
    "saddr": "src ip",
    "sourceaddress": "src address",
    "dip": "dst ip",
    "daddr": "dst ip",
    "cip": "client ip",
    "spt": "src port",
    "sport": "src port",
    "dpt": "dst port",
    "dport": "dst port",
    "smac": "src mac",
    "dmac": "dst mac",
    "suser": "src user",
    "duser": "dst user",
    "shost": "src host",
    "dhost": "dst host",
    "rhost": "client host",
    "ruser": "src user",
    "raddr": "remote ip",
    "rport": "remote port",
    "laddr": "local ip",
    "lport": "local port",
    "hostname": "host name",
    "username": "user name",
    "ppid": "parent process pid",
    "euid": "effective user id",
    "pname": "process name",
    "cmdline": "cmdline",
    "fname": "file name",
    "filename": "file name",
    "filepath": "file path",
    "xff": "client ip",
    "remip": "remote ip",
    "remport": "remote port",
    "locip": "local ip",
    "locport": "local port",
    "sessionid": "session id",
    "threatname": "threat name",
    "virusname": "threat name",
    "attackname": "threat name",
    "devname": "device name",
    "sentbyte": "sent bytes",
    "rcvdbyte": "received bytes",
    "urlpath": "url path",
    "sha": "hash",
    "auid": "audit id",
    "userid": "user id",
    "usersid": "user id",
    "accountid": "account id",
    "eventid": "event id",
    "ruleid": "rule id",
    "clientip": "client ip",
    "workstationname": "host name",
    "hostip": "host ip",
    "subjectusername": "user name",
}

#: Words that say nothing about a field.
_NOISE = spelled(
    "data datas info infos information detail details properties property attributes attribute "
    "field fields raw json payload body record records meta metadata context extensions "
    "additional extra entry entries obj content contents params parameters param params parameter "
    "string str text_value the of in a an and for common base basic general main primary "
    "core custom x e related log logs audit eventdata security the_ v hit source_ "
    "evidence evidences attrs ctx doc"
)

#: Neighbouring words that are one.
_PHRASES = {
    ("user", "agent"): "useragent",
    ("browser", "agent"): "useragent",
    ("command", "line"): "cmdline",
    ("cmdline", "line"): "cmdline",
    ("ip", "address"): "ip",
    ("mac", "address"): "mac",
    ("ether", "address"): "mac",
    ("email", "address"): "email",
    ("mail", "address"): "email",
    ("e", "mail"): "email",
    ("time", "zone"): "timezone",
    ("time", "stamp"): "time",
    ("date", "time"): "time",
    ("file", "hash"): "file hash",
    ("server", "name"): "servername",
    ("source", "type"): "sourcetype",
    ("src", "type"): "sourcetype",
    ("service", "user"): "serviceprincipal",
    ("service", "account"): "user",
    ("event", "src"): "provider",
    ("log", "src"): "provider",
    ("first", "name"): "fullname",
    ("old", "name"): "fullname",
    ("given", "name"): "fullname",
    ("full", "name"): "fullname",
    ("display", "name"): "displayname",
    ("sur", "name"): "fullname",
    ("url", "path"): "url path",
    ("user", "by"): "actor",
    ("actor", "by"): "actor",
    ("created", "by"): "actor",
    ("update", "by"): "actor",
    ("request", "by"): "actor",
    ("request", "url"): "url",
    ("request", "path"): "url path",
    ("account", "sid"): "user id",
    ("security", "id"): "user id",
    ("referring", "url"): "referer",
    ("referer", "url"): "referer",
    ("alternate", "id"): "alternateid",
    ("http", "referer"): "referer",
    ("external", "id"): "externalid",
    ("host", "machine"): "host",
    ("access", "key"): "token",
    ("key", "id"): "token",
    ("network", "app"): "app",
    ("target", "name"): "target name",
    ("dst", "service"): "service",
    ("command", "and"): "c2",
}

#: Spelling → its canonical words, none for a word that says nothing.
VOCABULARY: dict[str, tuple[str, ...]] = {
    spelling: (word,) for word, spellings in _WORDS.items() for spelling in spellings.split()
}
VOCABULARY |= {spelling: tuple(words.split()) for spelling, words in _COMPOUNDS.items()}
VOCABULARY |= {word: () for word in _NOISE if word not in VOCABULARY}

#: Longest name that is looked at, characters, and most words of a path.
MAX_NAME = 96
MAX_WORDS = 12

_IP_VERSION = re.compile(r"[iI][pP]_?-?[vV][46]")
_CLIENT, _SERVER = "(?:client|cli|src)", "(?:server|srv|dst)"
_FLOWS = (
    (
        re.compile(rf"(?i){_CLIENT}[_-]?(?:to|2)[_-]?{_SERVER}|to[_-]?server|from[_-]?client"),
        "Sent",
    ),
    (
        re.compile(rf"(?i){_SERVER}[_-]?(?:to|2)[_-]?{_CLIENT}|to[_-]?client|from[_-]?server"),
        "Received",
    ),
)
_PLURAL = re.compile(r"(ID|IP|URL|URI)s(?=$|[A-Z_])")
_PIECE = re.compile(
    r"[A-Z]{2,}(?=[A-Z][a-z])|[A-Z]+\d*(?![a-z])|[A-Z]?[a-z]+\d*|\d+|[^\W\d_a-zA-Z]+"
)


@lru_cache(16_384)
def words_of(name: str) -> tuple[str, ...]:
    """The canonical words of one name (a key of an object, a column, a label).

    Unknown words stay as they are, in lower case.
    """
    name = _PLURAL.sub(r"\1", _IP_VERSION.sub("Ip", name[:MAX_NAME]))
    whole = VOCABULARY.get(name.lower())
    if whole is not None:
        return whole
    for flow, word in _FLOWS:
        name = flow.sub(word, name)
    found: list[str] = []
    for piece in _PIECE.findall(name):
        found += _known(piece.lower())
    return tuple(found[:MAX_WORDS])


def _known(piece: str) -> tuple[str, ...]:
    """The words of one piece of a name: itself, or the fewest words it can be cut into."""
    for spelling in (piece, piece.rstrip("0123456789"), piece.removesuffix("s")):
        known = VOCABULARY.get(spelling)
        if known is not None:
            return known
    if len(piece) < 5 or len(piece) > 40:
        return (piece,)
    parts = _segment(piece)
    if parts is None:
        return (piece,)
    return tuple(word for part in parts for word in VOCABULARY[part])


#: Spellings that may be part of a longer one: short ones would be found everywhere.
_PARTS = frozenset(
    {spelling for spelling in VOCABULARY if len(spelling) >= 3}
    | {"ip", "id", "os", "by", "at", "op", "ua", "ts"}
) - {"out", "lat", "lon", "act", "net", "res", "err", "rem", "acc", "reg", "the", "for", "and"}


def _segment(piece: str) -> list[str] | None:
    """The fewest parts of the vocabulary that make up `piece`, None if there are none."""
    best: list[list[str] | None] = [[], *[None] * len(piece)]
    for start in range(len(piece) - 1):
        before = best[start]
        if before is None:
            continue
        for end in range(start + 2, min(start + LONGEST, len(piece)) + 1):
            known = best[end]
            if piece[start:end] in _PARTS and (known is None or len(known) > len(before) + 1):
                best[end] = [*before, piece[start:end]]
    return best[-1]


#: Longest part that a name is cut into, characters.
LONGEST = 16


def path_words(path: str) -> tuple[str, ...]:
    """The words of a dotted path, phrases joined; a segment `#x` is the word `x` itself."""
    found: list[str] = []
    for segment in path.split("."):
        if segment[:1] == "#":
            found.append(segment[1:])
            continue
        found += _role_first(words_of(segment))
    return _joined(found)


#: Words that say whose property the word before or behind them is.
ROLES = frozenset({"src", "client", "remote", "local", "dst", "server", "target", "actor"})
_PROPERTIES = frozenset({"ip", "address", "port", "mac", "host", "name", "user", "domain", "bytes"})


def _role_first(words: tuple[str, ...]) -> tuple[str, ...]:
    """`ip src` as `src ip`."""
    if len(words) >= 2 and words[-1] in ROLES and words[-2] in _PROPERTIES:
        return (*words[:-2], words[-1], words[-2])
    return words


def _joined(words: list[str]) -> tuple[str, ...]:
    found: list[str] = []
    for word in words:
        if found and found[-1] == word:
            continue
        phrase = _PHRASES.get((found[-1], word)) if found else None
        if phrase is None:
            found.append(word)
        else:
            found[-1:] = phrase.split()
    return tuple(found[-MAX_WORDS:])
