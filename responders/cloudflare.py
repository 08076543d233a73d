"""Blocks addresses by an IP list of Cloudflare, which a WAF rule of yours refers to.

Changes of a list are bulk operations: the answer is an id to poll, and there is one at a time for
an account (429 while another runs). Always the exact address, never a range around it: a range
could hold an address that a guard protects.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from responders.base import Call, Manifest
from responders.product import (
    ALREADY,
    Deed,
    Done,
    Product,
    ProductConfig,
    Secret,
    Url,
    as_was,
    dig,
    exact,
    rows,
    segment,
)
from responders.verbs import BLOCK_IP
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping


#: Most pages of a list that are read.
MAX_PAGES = 100

#: Pause between two looks at a bulk operation, seconds.
POLL_SECONDS = 0.5

MANIFEST = Manifest(
    name="cloudflare",
    summary="Blocks addresses by an IP list of Cloudflare",
    actions=(
        replace(
            BLOCK_IP,
            residual="Seconds until all edges have it. Only traffic through Cloudflare: who knows "
            "the origin's address can still reach it.",
        ),
    ),
    max_concurrency=1,
    secrets=("token",),
)


class CloudflareConfig(ProductConfig):
    """A token that may edit the account's filter lists."""

    account: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    list_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    token: Secret
    url: Url = "https://api.cloudflare.com/client/v4"


class Cloudflare(Product[CloudflareConfig]):
    """One list of one account."""

    MANIFEST = MANIFEST

    @property
    def _lists(self) -> str:
        return f"/accounts/{self._config.account}/rules/lists"

    def deeds(self) -> Mapping[str, Deed]:
        return {BLOCK_IP.verb: Deed(self._block, self._unblock, self._blocked)}

    async def ping(self) -> str:
        """Read the list's head."""
        call = Call("", "", {}, "", 10_000)
        head = await self._ask(call, "GET", f"{self._lists}/{self._config.list_id}")
        return f"cloudflare: the list has {dig(head, 'result', 'num_items')} items"

    async def held(self, verb: str, timeout: int) -> list[str]:
        """See Listing: all items of the list, as comments can be edited."""
        call, cursor, found = Call(verb, "", {}, "", timeout), "", set[str]()
        for _ in range(MAX_PAGES):
            params = {"per_page": "500"} | ({"cursor": cursor} if cursor else {})
            path = f"{self._lists}/{self._config.list_id}/items"
            answer = await self._ask(call, "GET", path, params=params)
            found |= {str(each["ip"]) for each in rows(answer, "result") if "ip" in each}
            cursor = str(dig(answer, "result_info", "cursors", "after") or "")
            if not cursor:
                return sorted(found)
        raise self.refused(f"the list has more than {MAX_PAGES} pages")

    async def _block(self, call: Call) -> Done:
        entry = exact(call.target)
        if await self._item(call) is not None:
            return {"item": entry, ALREADY: True}
        comment = str(call.inputs.get("comment") or "tocsin")
        await self._bulk(call, "POST", [{"ip": entry, "comment": comment}])
        return {"item": entry, ALREADY: False}

    async def _unblock(self, call: Call, proof: Mapping[str, Any]) -> Done:
        if proof.get(ALREADY):
            return as_was(f"{call.target} was in the list")
        if (found := await self._item(call)) is not None:
            await self._bulk(call, "DELETE", {"items": [{"id": found.get("id")}]})
        return {"removed": exact(call.target)}

    async def _blocked(self, call: Call) -> Done | None:
        return None if await self._item(call) is None else {"item": exact(call.target)}

    async def _item(self, call: Call) -> dict[str, Any] | None:
        entry, cursor = exact(call.target), ""
        for _ in range(20):
            params = {"search": entry} | ({"cursor": cursor} if cursor else {})
            path = f"{self._lists}/{self._config.list_id}/items"
            answer = await self._ask(call, "GET", path, params=params)
            for each in rows(answer, "result"):
                if each.get("ip") == entry:
                    return each
            cursor = str(dig(answer, "result_info", "cursors", "after") or "")
            if not cursor:
                return None
        raise self.refused("the search for one address has too many pages")

    async def _bulk(self, call: Call, method: str, body: Any) -> None:
        """Change the list and wait for the end of the operation, within the call's time."""
        path = f"{self._lists}/{self._config.list_id}/items"
        begun = await self._ask(call, method, path, json=body)
        number = dig(begun, "result", "operation_id")
        if not isinstance(number, str):
            raise self.refused("the answer has no operation_id")
        where = f"{self._lists}/bulk_operations/{segment(number)}"
        for _ in range(max(int(call.timeout / 1000 / POLL_SECONDS), 1)):
            answer = await self._ask(call, "GET", where)
            match dig(answer, "result", "status"):
                case "completed":
                    return
                case "failed":
                    raise self.refused(dig(answer, "result", "error"), "the operation failed")
            await asyncio.sleep(POLL_SECONDS)
        message = f"the bulk operation was not done in {call.timeout} ms"
        raise ConnectorError("timeout", message, after_send=True)

    async def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.secret(self._config.token)}"}
        url = self._config.url + path
        answer = await self.send(call, method, url, headers=headers, params=params, json=json)
        if (told := answer.object()).get("success") is not True:
            raise self.refused(dig(told, "errors", 0, "message"))
        return told
