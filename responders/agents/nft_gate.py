#!/usr/bin/env python3
"""What a key of Tocsin's may do on a machine with nftables: its own tables, nothing else.

Copy it there (root's, mode 0755) and tie the key to it in root's authorized_keys:

    restrict,command="/usr/local/sbin/tocsin-nft-gate" ssh-ed25519 AAAA… tocsin

It lets through `nft -j -f -` where every command of the input is about a table of Tocsin's, and
`nft get element` of such a table. A stolen key can block addresses; it can neither flush the
ruleset nor run anything else.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from typing import NoReturn

TABLES = ("tocsin", "tocsin_isolation")
MAX_INPUT = 1024 * 1024
VERBS = ("add", "delete", "flush")
OBJECTS = ("table", "chain", "set", "element", "rule")
GET = re.compile(
    r"nft get element inet (?:tocsin|tocsin_isolation) [a-z0-9_]{1,30} \{ [0-9a-z:.]{2,45} \}"
)


def allowed(command: object) -> bool:
    """Whether one command of libnftables' JSON touches nothing but our tables."""
    if not isinstance(command, dict) or len(command) != 1:
        return False
    ((verb, what),) = command.items()
    if not isinstance(what, dict) or len(what) != 1:
        return False
    ((kind, body),) = what.items()
    if not isinstance(body, dict) or body.get("family") != "inet":
        return False
    if verb == "list":
        return bool(kind == "chains" or (kind == "set" and body.get("table") in TABLES))
    name = body.get("name") if kind == "table" else body.get("table")
    return bool(verb in VERBS and kind in OBJECTS and name in TABLES)


def refuse(reason: str) -> NoReturn:
    """Say why, and end as nft does for what it does not take."""
    sys.stderr.write(f"tocsin-nft-gate: {reason}\n")
    sys.exit(1)


def main() -> None:
    """Run what was asked for, if it may be."""
    words = shlex.split(os.environ.get("SSH_ORIGINAL_COMMAND", ""))
    data = b""
    if words == ["nft", "-j", "-f", "-"]:
        data = sys.stdin.buffer.read(MAX_INPUT + 1)
        try:
            commands = list(json.loads(data)["nftables"])
        except (ValueError, KeyError, TypeError):
            refuse("the input is no list of nftables commands")
        if len(data) > MAX_INPUT or not all(map(allowed, commands)):
            refuse("a command is not about a table of Tocsin's")
        # What was looked at is what nft gets: two readers may differ on a doubled key.
        data = json.dumps({"nftables": commands}).encode()
    elif not GET.fullmatch(" ".join(words)):
        refuse("this command is not in the allow-list")
    sys.exit(subprocess.run(words, input=data, timeout=60).returncode)  # noqa: S603  (allow-listed)


if __name__ == "__main__":
    main()
