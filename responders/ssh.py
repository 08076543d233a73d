"""Commands on another machine through OpenSSH's `ssh`: its keys, its agents, its known hosts.

Never a password, never an unknown host key, never a terminal. The words of a command are quoted
for the shell of the other side (POSIX sh), so that a value is always one word.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from responders import process
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from responders.process import Ended

CONNECT_SECONDS = 5

#: What ssh exits with when it could not connect or lost the connection; else the command's own.
SSH_FAILED = 255

_DENIED = ("Permission denied", "Host key verification failed", "REMOTE HOST IDENTIFICATION")
_NOT_SENT = (
    "Connection refused",
    "Connection timed out",
    "Could not resolve",
    "No route to host",
    "Network is unreachable",
    "Bad configuration",
    "No such file",
)


class SshTarget(BaseModel):
    """Where to log in and with what; paths are absolute (or of ~). Empty: what ssh's own
    configuration says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.:_-]{0,252}$")]
    user: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9._-]{0,63}$|^$")] = ""
    port: Annotated[int, Field(ge=1, le=65_535)] = 22
    identity_file: Annotated[str, Field(pattern=r"^[/~].*$|^$")] = ""
    known_hosts: Annotated[str, Field(pattern=r"^[/~].*$|^$")] = ""
    program: str = "ssh"

    def argv(self, words: Sequence[str]) -> tuple[str, ...]:
        """The local command that runs `words` there."""
        options = [
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "ForwardAgent=no",
            "ClearAllForwardings=yes",
            f"ConnectTimeout={CONNECT_SECONDS}",
        ]
        if self.known_hosts:
            options.append(f"UserKnownHostsFile={self.known_hosts}")
        if self.identity_file:
            options += ["IdentitiesOnly=yes", f"IdentityFile={self.identity_file}"]
        argv = [self.program, "-T", "-p", str(self.port)]
        argv += [part for option in options for part in ("-o", option)]
        argv += ["-l", self.user] if self.user else []
        return (*argv, "--", self.host, shlex.join(words))


async def run(target: SshTarget, words: Sequence[str], data: bytes = b"") -> Ended:
    """Run `words` on the target; its end whatever its status.

    Raises ConnectorError if ssh cannot be started or cannot connect, or if the output is too
    long.
    """
    ended = await process.run(target.argv(words), data, advice="install the OpenSSH client")
    if ended.status != SSH_FAILED:
        return ended
    told = next((line for line in ended.err.splitlines()[::-1] if line.strip()), "no reason given")
    message = f"ssh to {target.host}: {told.strip()[:200]}"
    if any(words in ended.err for words in _DENIED):
        raise ConnectorError("denied", message)
    unsent = any(words in ended.err for words in _NOT_SENT)
    raise ConnectorError("unavailable", message, after_send=not unsent)
