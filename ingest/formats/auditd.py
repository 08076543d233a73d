"""Linux audit records, one or several that are one event.

The kernel reports one event (one system call, one login) as several records that share an audit
id, `msg=audit(seconds.millis:serial)`: SYSCALL, then EXECVE, CWD, PATH …, PROCTITLE. `frame` reads
one record or the lines of several, which sources join (`auditd_joining`).

Sources: the record types of linux/audit.h and auditd(8); field names of the audit field dictionary.
"""

from __future__ import annotations

import re
from typing import Any

from ingest.formats import kv
from ingest.formats.cef import UNPARSED, add

#: Records that end an event of several.
LAST = frozenset({"EOE", "PROCTITLE"})

#: Records that belong to an event of several; every other type stands alone.
PARTS = frozenset(
    {
        *("SYSCALL", "EXECVE", "CWD", "PATH", "SOCKADDR", "SOCKETCALL", "FD_PAIR", "IPC", "MMAP"),
        *("IPC_SET_PERM", "MQ_OPEN", "MQ_SENDRECV", "MQ_NOTIFY", "MQ_GETSETATTR", "CAPSET"),
        *("BPRM_FCAPS", "OBJ_PID", "TTY", "NETFILTER_CFG", "KERN_MODULE", "BPF", "OPENAT2"),
        *(
            "CONFIG_CHANGE",
            "AVC",
            "SELINUX_ERR",
            "SECCOMP",
            "INTEGRITY_RULE",
            "URINGOP",
            "FANOTIFY",
        ),
        *("TIME_INJOFFSET", "TIME_ADJNTPVAL", "ANOM_ABEND", "ANOM_PROMISCUOUS", "ANOM_LINK"),
        *("LOGIN", "FANOTIFY", "APPARMOR", "DM_CTRL", "DM_EVENT", "LANDLOCK_ACCESS", *LAST),
    }
)

_RECORD = re.compile(
    r"\s?(?:audispd: |audit: )?(?:\[ *\d+\.\d+\] )?(?:node=(?P<node>\S{1,255}) )?"
    r"type=(?P<type>[\w\[\]]{1,64}) (?:msg=)?"
    r"audit\((?P<time>\d{1,12}(?:\.\d{1,9})?):(?P<serial>\d{1,20})\): ?",
    re.ASCII,
)
#: How much of a record is read, characters; the rest stays whole under `unparsed`. The kernel
#: writes at most 8,970 bytes (MAX_AUDIT_MESSAGE_LENGTH), of which enriched ones are a few times.
MAX_BODY = 131_072

_INNER = re.compile(r"(?:\A|\s)msg='([^']*)'", re.DOTALL)
_ARGUMENT = re.compile(r'(?:\A|\s)a(\d{1,4})(?:\[(\d{1,4})\])?=("[^"]*"|\S*)', re.ASCII)
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){2,}", re.ASCII)

#: Fields that the kernel writes as hexadecimal digits where they are no plain text.
_ENCODED = frozenset(
    {
        *("proctitle", "name", "comm", "exe", "cwd", "cmd", "acct", "path", "dir", "key", "data"),
        *("old", "new", "file", "vm", "grp", "terminal", "unit", "cgroup", "ocomm", "device"),
    }
)

#: Kernel messages give the number of a type (linux/audit.h); those of security modules.
NUMBERS = {
    **{"1100": "USER_AUTH", "1101": "USER_ACCT", "1103": "CRED_ACQ", "1104": "CRED_DISP"},
    **{"1105": "USER_START", "1106": "USER_END", "1112": "USER_LOGIN", "1123": "USER_CMD"},
    **{"1300": "SYSCALL", "1302": "PATH", "1305": "CONFIG_CHANGE", "1307": "CWD"},
    **{"1306": "SOCKADDR", "1309": "EXECVE", "1320": "EOE", "1325": "NETFILTER_CFG"},
    **{"1326": "SECCOMP", "1327": "PROCTITLE", "1400": "AVC", "1130": "SERVICE_START"},
    **{"1131": "SERVICE_STOP", "1006": "LOGIN", "1701": "ANOM_ABEND", "1334": "BPF"},
}


def frame(text: str) -> dict[str, Any] | None:
    """The fields of an audit event, None if the first line of `text` is no audit record.

    `text` is one record, or those of one event, a line each. Fields of the record that names the
    event (SYSCALL, or the only one) and of the text within `msg='…'` stand at the top, decoded
    where the kernel wrote hexadecimal digits; further `type`, `types` (of all records), `time`
    (seconds, text), `serial`, `node`; `argv` of EXECVE, `cwd`, `proctitle`, `sockaddr`
    (`family`, `addr`, `port`, `path`) and `paths`, a list of PATH records. Fields of the other
    records are added where the name is free; lines that are no record are under `unparsed`.
    """
    if _RECORD.match(text) is None:
        return None
    fields: dict[str, Any] = {}
    types: list[str] = []
    spare: list[dict[str, Any]] = []
    for line in text.split("\n"):
        match = _RECORD.match(line)
        if match is None:
            if line.strip():
                add(fields, UNPARSED, line.strip())
            continue
        kind = _kind(match["type"])
        types.append(kind)
        text = line[match.end() :]
        if len(text) > MAX_BODY:
            add(fields, UNPARSED, text[MAX_BODY:])
            text = text[:MAX_BODY]
        body = {"argv": _argv(text)} if kind == "EXECVE" else _body(text)
        if len(types) == 1:
            fields |= {"type": kind, "time": match["time"], "serial": match["serial"]}
            if match["node"]:
                fields["node"] = match["node"]
        elif kind == "SYSCALL":
            fields["type"] = kind
        _place(fields, spare, kind, body)
    for body in spare:
        for name, value in body.items():
            fields.setdefault(name, value)
    fields["types"] = types
    return fields


def _kind(text: str) -> str:
    number = text.removeprefix("UNKNOWN[").removesuffix("]")
    return NUMBERS.get(number, text)


def _place(
    fields: dict[str, Any], spare: list[dict[str, Any]], kind: str, body: dict[str, Any]
) -> None:
    """Put the fields of one record where `frame` promises them."""
    if kind == "EXECVE":
        fields["argv"] = body["argv"]
    elif kind == "CWD" or kind == "PROCTITLE":
        spare.append(body)
    elif kind == "PATH":
        fields.setdefault("paths", []).append(body)
    elif kind == "SOCKADDR":
        fields["sockaddr"] = sockaddr(str(body.get("saddr", ""))) or body
        fields.setdefault("saddr", body.get("saddr", ""))
    elif kind == "SYSCALL":
        fields |= body
    else:
        spare.append(body)


def _body(text: str) -> dict[str, Any]:
    """The pairs of a record, those within `msg='…'` and the enriched ones (behind \\x1d) too."""
    inner = _INNER.search(text)
    if inner is not None:
        text = f"{text[: inner.start()]} {inner[1]} {text[inner.end() :]}"
    plain, _, enriched = text.partition("\x1d")
    fields = kv.pairs(plain)
    for name, value in fields.items():
        if name in _ENCODED and _is_encoded(plain, name, value):
            fields[name] = _text(value, " " if name == "proctitle" else "")
    if enriched:
        for name, value in kv.pairs(enriched).items():
            fields.setdefault(name, value)
    return fields


def _is_encoded(text: str, name: str, value: object) -> bool:
    """True for hexadecimal digits that stand without quotes: the kernel quotes plain text."""
    if not isinstance(value, str) or _HEX.fullmatch(value) is None:
        return False
    return f"{name}={value}" in text


def _text(digits: str, between: str) -> str:
    """The text of hexadecimal digits; digits that spell control characters stay as they are."""
    text = bytes.fromhex(digits).decode("utf-8", "replace").rstrip("\0")
    text = text.replace("\0", between)
    return text if text.isprintable() or "\n" in text else digits


def _argv(text: str) -> list[str]:
    """The arguments of an EXECVE record in order, long ones (`a1[0]`, `a1[1]`) joined."""
    parts = sorted(
        (int(match[1]), int(match[2] or 0), match[3]) for match in _ARGUMENT.finditer(text)
    )
    pieces: dict[int, list[str]] = {}
    for number, _, value in parts:
        pieces.setdefault(number, []).append(value.strip('"'))
    argv = {number: "".join(values) for number, values in pieces.items()}
    encoded = {number for number, _, value in parts if _HEX.fullmatch(value) is not None}
    return [_text(value, "") if number in encoded else value for number, value in argv.items()]


def sockaddr(digits: str) -> dict[str, Any] | None:
    """`family`, `addr`, `port` or `path` of a `saddr` in hexadecimal digits, None if it is none.

    The layout is struct sockaddr of a little-endian kernel; ports are in network order.
    """
    if _HEX.fullmatch(digits) is None:
        return None
    data = bytes.fromhex(digits)
    family = int.from_bytes(data[:2], "little")
    if family == 2 and len(data) >= 8:
        address = ".".join(str(number) for number in data[4:8])
        return {"family": "ipv4", "addr": address, "port": int.from_bytes(data[2:4], "big")}
    if family == 10 and len(data) >= 24:
        groups = (data[8 + at : 10 + at].hex() for at in range(0, 16, 2))
        return {
            "family": "ipv6",
            "addr": ":".join(groups),
            "port": int.from_bytes(data[2:4], "big"),
        }
    if family == 1:
        path = data[2:].lstrip(b"\0").partition(b"\0")[0]
        return {"family": "unix", "path": path.decode("utf-8", "replace")}
    return {"family": "netlink"} if family == 16 else None
