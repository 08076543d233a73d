"""Sessions and accounts of an Okta organisation (Okta Management API).

Ending sessions without `oauthTokens=true` leaves OAuth tokens alive, so it is always set.
Suspending is reversible and keeps assignments; deactivating is not done.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
    segment,
)
from responders.verbs import DISABLE_USER, REVOKE_SESSIONS
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping


_TOKENS = "Applications keep their own sessions, and access tokens live until they expire."

MANIFEST = Manifest(
    name="okta",
    summary="Sessions and accounts of an Okta organisation",
    actions=(
        replace(REVOKE_SESSIONS, residual=_TOKENS),
        replace(DISABLE_USER, residual=f"Sessions end at their next check. {_TOKENS}"),
    ),
    secrets=("token",),
)


class OktaConfig(ProductConfig):
    """`url` of the organisation; `token` is an API token of a group administrator."""

    url: Url
    token: Secret


class Okta(Product[OktaConfig]):
    """One organisation."""

    MANIFEST = MANIFEST

    def deeds(self) -> Mapping[str, Deed]:
        return {
            REVOKE_SESSIONS.verb: Deed(self._revoke),
            DISABLE_USER.verb: Deed(self._suspend, self._unsuspend, self._suspended),
        }

    async def ping(self) -> str:
        """Ask who the token belongs to."""
        me = await self._ask(Call("", "", {}, "", 10_000), "GET", "/users/me")
        return f"okta answers as {me.get('profile', {}).get('login', 'an unnamed user')}"

    async def _revoke(self, call: Call) -> Done:
        user = await self._user(call)
        path = f"/users/{user['id']}/sessions"
        await self._ask(call, "DELETE", path, params={"oauthTokens": "true"})
        return {"user_id": user["id"], "oauth_tokens": True}

    async def _suspend(self, call: Call) -> Done:
        user = await self._user(call)
        status = user.get("status")
        if status == "SUSPENDED" or status == "DEPROVISIONED":
            return {"user_id": user["id"], "status": status, ALREADY: True}
        if status != "ACTIVE":
            # Okta suspends active accounts only; the others cannot be given their status back.
            raise self.refused(f"{call.target} is {status}, only ACTIVE accounts are suspended")
        await self._ask(call, "POST", f"/users/{user['id']}/lifecycle/suspend")
        return {"user_id": user["id"], "status": "SUSPENDED", ALREADY: False}

    async def _unsuspend(self, call: Call, proof: Mapping[str, Any]) -> Done:
        if proof.get(ALREADY):
            return as_was(f"{call.target} was suspended")
        user = await self._user(call)
        if user.get("status") == "SUSPENDED":
            await self._ask(call, "POST", f"/users/{user['id']}/lifecycle/unsuspend")
        return {"status": "ACTIVE"}

    async def _suspended(self, call: Call) -> Done | None:
        user = await self._user(call)
        held = user.get("status") == "SUSPENDED"
        return {"user_id": user["id"], "status": "SUSPENDED"} if held else None

    async def _user(self, call: Call) -> dict[str, Any]:
        user = await self._ask(call, "GET", f"/users/{segment(call.target)}", missing=True)
        if not user.get("id"):
            raise ConnectorError("invalid", f"okta has no user {call.target}")
        return user | {"id": segment(user["id"])}

    async def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        missing: bool = False,
    ) -> dict[str, Any]:
        headers = {"authorization": f"SSWS {self.secret(self._config.token)}"}
        url = f"{self._config.url}/api/v1{path}"
        accept = (404,) if missing else ()
        answer = await self.send(call, method, url, headers=headers, params=params, accept=accept)
        return answer.object() if answer.status < 300 else {}
