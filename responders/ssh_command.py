"""Commands on other machines: those of an allow-list, with values that match their pattern.

No shell sees a value as anything but one word. Whether a command did its work is told by its exit
status; what it did cannot be asked for, so after a crash a person has to look.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from responders import ssh
from responders.base import Action, ActionClass, Call, EntityKind, Idempotence, Inputs, Manifest
from responders.ssh import SshTarget
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

READ, RUN = "ssh.read", "ssh.run"

#: Longest value of a place, and most that is told of an output, characters.
MAX_VALUE, MAX_TOLD = 256, 16_000

_PLACE = re.compile(r"\{([a-z_]{1,40})\}")


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"'{pattern}' is no regular expression: {error}") from None
    return pattern


Pattern = Annotated[str, Field(max_length=200), AfterValidator(_compiles)]


class Command(BaseModel):
    """`argv` with {places}; `values` says what may stand in each (the whole value must match).

    `reads`: it changes nothing and may be repeated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    argv: Annotated[tuple[str, ...], Field(min_length=1)]
    values: dict[str, Pattern] = {}
    reads: bool = False

    @model_validator(mode="after")
    def _every_place_has_a_pattern(self) -> Command:
        places = {name for word in self.argv for name in _PLACE.findall(word)}
        if places != set(self.values):
            raise ValueError("values must have a pattern for every {place} of argv, and no other")
        return self


class SshConfig(BaseModel):
    """The machines and the commands, by names of ours."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    hosts: Annotated[dict[str, SshTarget], Field(min_length=1)]
    commands: Annotated[dict[str, Command], Field(min_length=1)]


class Run(Inputs):
    """A machine, a command, and the values of its places."""

    host: str
    command: str
    values: dict[str, Annotated[str, Field(max_length=MAX_VALUE)]] = Field(default_factory=dict)


MANIFEST = Manifest(
    name="ssh",
    summary="Allow-listed commands on other machines",
    actions=(
        Action(READ, ActionClass.READ, Idempotence.NATURAL, Run, "host", EntityKind.HOST,
               summary="Run a command that changes nothing"),
        Action(RUN, ActionClass.DESTRUCTIVE, Idempotence.NONE, Run, "host", EntityKind.HOST,
               summary="Run a command", residual="Whatever the command does not do."),
    ),
)  # fmt: skip


class SshCommands:
    """The allow-list."""

    manifest = MANIFEST

    def __init__(self, config: SshConfig) -> None:
        self._hosts = {name.lower(): target for name, target in config.hosts.items()}
        self._commands = config.commands

    async def act(self, call: Call) -> dict[str, Any]:
        """{status, output}; a status that is not 0 is a failure that may have acted."""
        command = _of(self._commands, str(call.inputs["command"]), "command")
        if command.reads != (call.verb == READ):
            verb = READ if command.reads else RUN
            raise ConnectorError("invalid", f"command {call.inputs['command']} is for {verb}")
        target = _of(self._hosts, call.target.lower(), "host")
        words = _words(command, call.inputs.get("values") or {})
        ended = await ssh.run(target, words)
        output = ended.out.decode("utf-8", "replace")[:MAX_TOLD]
        if ended.status != 0:
            told = " ".join(ended.err.split())[:200] or "nothing on standard error"
            message = f"{call.inputs['command']} on {call.target} ended with {ended.status}: {told}"
            raise ConnectorError("internal", message, after_send=not command.reads)
        return {"status": 0, "output": output}

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ConnectorError: what undoes a command is another command."""
        raise ConnectorError("invalid", "a command cannot be undone")

    async def probe(self, call: Call) -> dict[str, Any] | None:
        """Raises ConnectorError: nobody knows what a command leaves behind."""
        raise ConnectorError("invalid", "a command cannot be asked for")

    async def check(self) -> str:
        """Name what there is; no machine is reached, as every connection may be counted."""
        hosts, commands = ", ".join(sorted(self._hosts)), ", ".join(sorted(self._commands))
        return f"ssh may run {commands} on {hosts}; not tried"

    async def close(self) -> None:
        """Nothing is held open."""


def _of(known: Mapping[str, Any], name: str, what: str) -> Any:
    if (found := known.get(name)) is None:
        names = ", ".join(sorted(known))
        raise ConnectorError("invalid", f"{what} {name} is not in the allow-list: {names}")
    return found


def _words(command: Command, values: Mapping[str, str]) -> list[str]:
    """The words with their places filled; raises ConnectorError for what does not match."""
    if set(values) != set(command.values):
        wanted = ", ".join(sorted(command.values)) or "none"
        raise ConnectorError("invalid", f"the command's values are: {wanted}")
    for name, value in values.items():
        if len(value) > MAX_VALUE or not re.fullmatch(command.values[name], value):
            message = f"the value of {name} does not match {command.values[name]}"
            raise ConnectorError("invalid", message)
    return [_PLACE.sub(lambda found: values[found[1]], word) for word in command.argv]
