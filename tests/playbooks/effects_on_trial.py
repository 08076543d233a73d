"""Effects, actions and connectors for tests of the act stage."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from pydantic import Field

from playbooks.guards import SiteGuards
from responders.base import (
    Action,
    ActionClass,
    Call,
    EntityKind,
    Idempotence,
    Inputs,
    Manifest,
)
from tocsin.contracts import Effect, Hold, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping

T0 = 1_774_000_000_000
HOUR = 3_600_000
IP = "203.0.113.66"


class Block(Inputs):
    ip: str
    comment: str = ""


class Look(Inputs):
    ip: str


class Tell(Inputs):
    channel: str = "default"
    message: str = ""
    extra: dict[str, Any] = Field(default_factory=dict)


def block_action(
    idempotence: Idempotence = Idempotence.NATURAL, *, native_ttl: bool = False
) -> Action:
    return Action(
        "firewall.block_ip", ActionClass.CONTAIN, idempotence, Block, "ip", EntityKind.ADDRESS,
        reversible=True, native_ttl=native_ttl,
    )  # fmt: skip


LOOK = Action("geoip.lookup", ActionClass.READ, Idempotence.NATURAL, Look, "ip", EntityKind.ADDRESS)
TELL = Action(
    "notify.webhook", ActionClass.NOTIFY, Idempotence.KEYED, Tell, "channel", EntityKind.CHANNEL
)


def block(target: str = IP, *, run: str = "run-1", attempt: int = 1, **changes: Any) -> Effect:
    """A block in force for an hour, at most four."""
    given: dict[str, Any] = {
        "id": f"effect-{run}-{target}",
        "run_id": run,
        "playbook": "trial",
        "step": "block",
        "attempt": attempt,
        "verb": "firewall.block_ip",
        "target": target,
        "inputs": {"ip": target},
        "hold": Hold(ttl=HOUR, max=4 * HOUR),
        "mode": Mode.ENFORCE,
        "requested": T0,
        "timeout": 5_000,
    }
    return Effect(**(given | changes))


def look(target: str = IP, *, run: str = "run-1", **changes: Any) -> Effect:
    """A look-up."""
    given: dict[str, Any] = {
        "id": f"look-{run}-{target}", "run_id": run, "step": "look", "verb": "geoip.lookup",
        "target": target, "inputs": {"ip": target}, "mode": Mode.ENFORCE, "requested": T0,
        "timeout": 5_000,
    }  # fmt: skip
    return Effect(**(given | changes))


class Firewall:
    """A product in memory that counts what it is asked; `answers` are raised one after another."""

    def __init__(self, *actions: Action, concurrency: int = 4) -> None:
        self._manifest = Manifest("firewall", "", actions or (block_action(),), concurrency)
        self.blocked: dict[str, Call] = {}
        self.calls: Counter[str] = Counter()
        self.answers: list[Exception] = []
        self.undo_answers: list[Exception] = []
        self.gate: asyncio.Event | None = None
        self.under_way: Counter[str] = Counter()
        self.most_per_target = 0
        self.most = 0
        self._changed = asyncio.Condition()

    async def reached(self, calls: int) -> None:
        """Wait until so many calls were under way at once."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: self.most >= calls)

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    async def act(self, call: Call) -> dict[str, Any]:
        self.calls["act"] += 1
        self.under_way[call.target] += 1
        self.most_per_target = max(self.most_per_target, self.under_way[call.target])
        self.most = max(self.most, self.under_way.total())
        async with self._changed:
            self._changed.notify_all()
        try:
            if self.gate is not None:
                await self.gate.wait()
            if self.answers:
                raise self.answers.pop(0)
            self.blocked[call.target] = call
            return {"rule": call.target}
        finally:
            self.under_way[call.target] -= 1

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        self.calls["undo"] += 1
        if self.undo_answers:
            raise self.undo_answers.pop(0)
        self.blocked.pop(call.target, None)
        return {}

    async def probe(self, call: Call) -> dict[str, Any] | None:
        self.calls["probe"] += 1
        return {"rule": call.target} if call.target in self.blocked else None

    async def check(self) -> str:
        return "fine"

    async def close(self) -> None:
        pass


def no_guards() -> SiteGuards:
    """A site without lists of its own."""
    return SiteGuards()
