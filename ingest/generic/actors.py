"""Who did it to whom, decided when all fields of a log are known: users, processes, addresses.

Which of two addresses is the far one, which of two processes is the event's own: rules offer such
values for targets that begin with `~`, and each decision offers them for the fields they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ingest.document import address
from ingest.mapping import convert

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.generic.candidates import Candidate, Candidates

#: Longest id of a user that may be a name, characters.
MAX_LOGIN = 20

#: Longest name of an action, characters: longer ones are sentences.
MAX_ACTION = 256

#: What an id of a user looks like that is no name: digits, a GUID, a SID, hexadecimal digits.
_OPAQUE = re.compile(
    r"\{?[0-9A-Fa-f]{1,64}(?:-[0-9A-Fa-f]{1,64}){0,8}\}?|S-1-[\d-]{1,64}", re.ASCII
)


#: Windows' codes for texts, digests, and punctuation.
_NO_USER = re.compile(r"%%\d{1,8}|[0-9a-f]{32,128}|\W{1,8}", re.ASCII)
_COMMON_NAME = re.compile(r"(?:cn|uid)=([^,=]{1,128}),", re.ASCII | re.IGNORECASE)


def _users(found: Candidates) -> None:
    """A user that is a SID is an id, and an id that is a name or an address is also the user.

    Of a distinguished name the first part is the user; an address or a pair is none.
    """
    for target in ("user", "source.user", "destination.user", "user.target"):
        users: list[Candidate] = []
        for score, value in found.take(target):
            if not isinstance(value, str):
                if not isinstance(value, bool):
                    users.append((score, value))
            elif _NO_USER.fullmatch(value) is not None:
                continue
            elif value.startswith("S-1-"):
                found.offer(f"{target}.id", score - 10, value)
            elif (named := _COMMON_NAME.match(value)) is not None:
                users.append((score, named[1]))
            elif value[0] == "<" and value[-1] == ">":
                continue  # the sender or recipient of a mail
            elif "@" in value and (ip := address(value.rpartition("@")[2])) is not None:
                users.append((score, value.rpartition("@")[0]))
                found.offer("source.ip", 40, ip)
            elif "=" not in value and address(value.strip(" .")) is None:
                users.append((score, value))
        if users:
            found.by_target[target] = users
    kept: list[Candidate] = []
    for score, value in found.take("user.id"):
        if isinstance(value, str) and ("@" in value or "\\" in value):
            found.offer("user", score - 8, value)
            score = 30
        elif found.has("user.email"):
            pass  # whose account it is, is known by something better than an id
        elif isinstance(value, str) and len(value) <= MAX_LOGIN and not _OPAQUE.fullmatch(value):
            found.offer("user", 40, value)
        kept.append((score, value))
    if kept:
        found.by_target["user.id"] = kept


def _paths(found: Candidates) -> None:
    """A name that is a path."""
    for name, path in _PATH_OF.items():
        for prefix in ("", "~actor.", "~target."):
            known = found.by_target.get(prefix + name)
            if known is None:
                continue
            for score, value in known:
                if isinstance(value, str) and ("\\" in value or "/" in value):
                    found.offer(prefix + path, score - 1, value)
            kept = [one for one in known if not _is_path(one[1])]
            if kept:
                found.by_target[prefix + name] = kept
            else:
                del found.by_target[prefix + name]


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and ("\\" in value or "/" in value)


_PATH_OF = {
    "process.name": "process.executable",
    "process.parent.name": "process.parent.executable",
    "file.name": "file.path",
}


def _processes(found: Candidates) -> None:
    """A process that acts upon another process is its parent; else it is the event's own.

    A file with a command line, and no process, is a process.
    """
    own = any(found.has(name) for name in _OWN)
    acting = any(name.startswith("~actor.") for name in found.by_target)
    targeted = any(name.startswith("~target.") for name in found.by_target)
    if targeted and not own and (not acting or _starts(found.best("~action"))):
        _take_processes(found, "~target.", "process")
        own = True
    _take_processes(found, "~target.", "")
    _take_processes(found, "~actor.", "process.parent" if own else "process")
    for name, path in (("process.name", "process.executable"), ("file.name", "file.path")):
        _join(found, name, path)
    if not found.has("process.command_line", 60) or found.has("process.executable", 60):
        return
    if found.has("process.name"):
        return
    for name, target in (("file.path", "process.executable"), ("file.name", "process.name")):
        for score, value in found.by_target.get(name, ()):
            found.offer(target, score - 20, value)
    for kind in ("sha256", "md5", "sha1"):
        for score, value in found.by_target.get(f"file.hash.{kind}", ()):
            found.offer(f"process.hash.{kind}", score - 20, value)


def _join(found: Candidates, name: str, path: str) -> None:
    """A directory in the place of a path gets the file's name behind it."""
    last = found.best(name) or (found.best("file.name") if name == "process.name" else None)
    for at, (score, value) in enumerate(found.by_target.get(path, ())):
        if isinstance(value, str) and value[-1:] in ("/", "\\") and isinstance(last, str):
            found.by_target[path][at] = (score, value + last)


_OWN = ("process.executable", "process.command_line", "process.name")
_START = re.compile(r"creat|start|launch|spawn|exec", re.ASCII | re.IGNORECASE)


def _starts(action: Any) -> bool:
    """Whether an action is that of a process that starts another one."""
    return isinstance(action, str) and _START.search(action[:MAX_ACTION]) is not None


def _take_processes(found: Candidates, prefix: str, place: str) -> None:
    """Offer the processes of one role as `place`; nowhere, if that is empty."""
    for name in [name for name in found.by_target if name.startswith(prefix)]:
        field = name.removeprefix(f"{prefix}process.")
        for score, value in found.take(name):
            if place == "process":
                found.offer(f"process.{field}", score, value)
            elif place and not field.startswith("parent."):
                found.offer(f"{place}.{field}", score - 6, value)


def _sides(found: Candidates) -> None:
    """Local and remote become source and destination.

    The remote end is the source of what comes in, and where only it is known (a service tells
    who calls); it is the destination of what a host tells about its own connections.
    """
    local, remote = found.has("~local.ip"), found.has("~remote.ip")
    if not (local or remote or found.has("~remote.port") or found.has("~local.port")):
        return
    direction = convert.direction(found.best("network.direction"))
    both = local and remote
    out = both and direction != "inbound"
    near, far = ("source", "destination") if out else ("destination", "source")
    for side, name in (("~local", near), ("~remote", far)):
        if side == "~local" and not both:
            for score, value in found.take("~local.ip"):
                found.offer("host.ip", score, value)
            found.take("~local.port")
            continue
        for score, value in found.take(f"{side}.ip"):
            found.offer(f"{name}.ip", score, value)
        for score, value in found.take(f"{side}.port"):
            found.offer(f"{name}.port", score, value)


def _sources(found: Candidates) -> None:
    """A field that is just called `source` names a host only if its value looks like one.

    A host or domain that is an address is one.
    """
    for name in ("source.domain", "destination.domain"):
        for score, value in found.by_target.get(name, ()):
            if isinstance(value, str) and address(value) is not None:
                found.offer(f"{name.partition('.')[0]}.ip", score - 2, value)
        known = [
            one
            for one in found.take(name)
            if not isinstance(one[1], str) or address(one[1]) is None
        ]
        if known:
            found.by_target[name] = known
    for side in ("source", "destination"):
        known = found.take(side)
        kept = [one for one in known if one[0] > BARE or _is_endpoint(one[1])]
        if kept:
            found.by_target[side] = kept


def _is_endpoint(value: Any) -> bool:
    return isinstance(value, str) and "." in value and "/" not in value and " " not in value


#: What a field called by its side alone is worth at most (ingest.generic.rules).
BARE = 76


def _placeless(found: Candidates) -> None:
    """An address without a side: whoever acts is the source."""
    for score, value in found.take("~ip"):
        if isinstance(value, str) and address(value) is not None:
            found.offer("source.ip", min(score, 50), value)
    if not found.has("source.ip") and not found.has("destination.ip") and found.has_user():
        for score, value in found.by_target.get("host.ip", ()):
            found.offer("source.ip", min(score, 30), value)


#: In order: each takes the candidates it decides about and offers what they are.
ACTORS: tuple[Callable[[Candidates], None], ...] = (
    _users,
    _paths,
    _processes,
    _sides,
    _sources,
    _placeless,
)
