"""Products of each idempotence behind one counting HTTP server, and the connector to them.

What a repeated call does is the product's nature: `natural` is as before, `keyed` knows the key,
`probe` and `none` do it again, which is a duplicate.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson

from responders import http
from responders.base import (
    Action,
    ActionClass,
    Call,
    EntityKind,
    Idempotence,
    Inputs,
    Manifest,
)
from tests.playbooks.counting_target import CountingTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The products of the cases, by name; `slow` and `twin` are keyed like `keyed`.
PRODUCTS: dict[str, Idempotence] = {
    "natural": Idempotence.NATURAL,
    "keyed": Idempotence.KEYED,
    "probe": Idempotence.PROBE,
    "none": Idempotence.NONE,
    "slow": Idempotence.KEYED,
}

#: Calls of one product at a time.
POOL = 32


class Target(CountingTarget):
    """What the products are asked at `/PRODUCT/apply`, `/undo`, `/tell`, `/look`, `/held`.

    `effects` counts by product and entity how often an application changed something.
    """

    def __init__(self) -> None:
        super().__init__()
        self.effects: Counter[tuple[str, str]] = Counter()
        self.in_force: set[tuple[str, str]] = set()
        self.told: Counter[str] = Counter()

    def act(self, path: str, key: str, body: Mapping[str, str]) -> None:
        product, _, what = path.strip("/").partition("/")
        known = bool(self.keys[path][key])
        self.keys[path][key] += 1
        at = (product, body.get("entity", ""))
        match what:
            case "apply":
                nature = PRODUCTS[product]
                same = nature is Idempotence.NATURAL and at in self.in_force
                if not same and not (nature is Idempotence.KEYED and known):
                    self.effects[at] += 1
                self.in_force.add(at)
            case "undo":
                self.in_force.discard(at)
            case "tell" if not known:
                self.told[at[1]] += 1

    def said(self, path: str, body: Mapping[str, str]) -> dict[str, Any]:
        product, _, what = path.strip("/").partition("/")
        if what == "held":
            return {"held": (product, body["entity"]) in self.in_force}
        return {"ok": True}


class Block(Inputs):
    """An address to shut out or to look up."""

    ip: str


class Tell(Inputs):
    """A message to a channel."""

    channel: str = "default"
    message: str = ""


def actions(product: str) -> tuple[Action, ...]:
    """The verbs `block.PRODUCT`, `tell.PRODUCT` and `look.PRODUCT`."""
    nature = PRODUCTS[product]
    block = Action(
        f"block.{product}",
        ActionClass.CONTAIN,
        nature,
        Block,
        "ip",
        EntityKind.ADDRESS,
        reversible=True,
        residual="What the product does not see.",
    )
    tell = Action(
        f"tell.{product}", ActionClass.NOTIFY, nature, Tell, "channel", EntityKind.CHANNEL
    )
    look = Action(
        f"look.{product}",
        ActionClass.READ,
        Idempotence.NATURAL,
        Block,
        "ip",
        EntityKind.ADDRESS,
    )
    return block, tell, look


ACTIONS: dict[str, Action] = {each.verb: each for name in PRODUCTS for each in actions(name)}
BINDINGS: dict[str, str] = {each.verb: name for name in PRODUCTS for each in actions(name)}


class Doom:
    """Whether and where this process kills itself: at the `count`th call that reaches `point`."""

    def __init__(self, point: str = "", count: int = 1) -> None:
        self.point = point
        self._left = count

    def reached(self, point: str) -> bool:
        """Whether the caller is at the point: then it must go no further, death is near."""
        if point != self.point:
            return False
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return True


class Product:
    """The connector to one product."""

    def __init__(self, name: str, url: str, doom: Doom | None = None) -> None:
        self._name = name
        self._url = url
        self._doom = doom or Doom()
        self._http = http.client()
        self._manifest = Manifest(name, "", actions(name), max_concurrency=POOL)

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    async def act(self, call: Call) -> dict[str, Any]:
        await self._at("after_started")
        what = {"block": "apply"}.get(verb := call.verb.partition(".")[0], verb)
        answer = await self._ask(what, call)
        await self._at("after_effect")
        return {"answer": answer}

    async def _at(self, point: str) -> None:
        if self._doom.reached(point):
            await asyncio.Event().wait()  # the process ends here

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        return await self._ask("undo", call)

    async def probe(self, call: Call) -> dict[str, Any] | None:
        answer = await self._ask("held", call)
        return answer if answer["held"] else None

    async def _ask(self, what: str, call: Call) -> dict[str, Any]:
        headers = {"content-type": "application/json", "idempotency-key": call.key}
        body = orjson.dumps({"entity": call.target})
        return await http.post(
            self._http, f"{self._url}/{self._name}/{what}", body, headers, call.timeout
        )

    async def check(self) -> str:
        return "fine"

    async def close(self) -> None:
        await self._http.aclose()
