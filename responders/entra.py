"""Sessions and accounts of Microsoft Entra ID (Microsoft Graph v1.0).

Revoking sets `signInSessionsValidFromDateTime`; it may take minutes to be seen everywhere, and
access tokens live for up to an hour unless the resource evaluates continuously. Guests sign in at
their own tenant, where we can revoke nothing: they are refused.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from responders.base import Call, Manifest
from responders.microsoft import MicrosoftConfig, tokens
from responders.product import (
    ALREADY,
    Deed,
    Done,
    Product,
    Url,
    as_was,
    segment,
)
from responders.verbs import DISABLE_USER, REVOKE_SESSIONS
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from responders.oauth import Tokens

_TOKENS = (
    "Minutes until all services see it; access tokens live up to an hour where access is not "
    "evaluated continuously."
)
_FIELDS = "id,userPrincipalName,accountEnabled,userType,signInSessionsValidFromDateTime"

MANIFEST = Manifest(
    name="entra",
    summary="Sessions and accounts of Microsoft Entra ID",
    actions=(
        replace(REVOKE_SESSIONS, residual=_TOKENS),
        replace(DISABLE_USER, residual=_TOKENS),
    ),
    secrets=("client_secret",),
)


class EntraConfig(MicrosoftConfig):
    """An application with `User.RevokeSessions.All` and `User.EnableDisableAccount.All`."""

    url: Url = "https://graph.microsoft.com/v1.0"


class Entra(Product[EntraConfig]):
    """One tenant."""

    MANIFEST = MANIFEST

    @cached_property
    def _tokens(self) -> Tokens:
        return tokens(self, self._config, "https://graph.microsoft.com/.default")

    def deeds(self) -> Mapping[str, Deed]:
        return {
            REVOKE_SESSIONS.verb: Deed(self._revoke),
            DISABLE_USER.verb: Deed(self._disable, self._enable, self._disabled),
        }

    async def ping(self) -> str:
        """Get a token; what it may do shows at the first use."""
        call = Call("", "", {}, "", 10_000)
        await self._ask(call, "GET", "/users", params={"$top": "1", "$select": "id"})
        return f"entra: tenant {self._config.tenant} answers"

    async def _revoke(self, call: Call) -> Done:
        user = await self._user(call)
        if user.get("userType") == "Guest":
            raise self.refused(f"{call.target} is a guest; its sessions belong to its own tenant")
        answer = await self._ask(call, "POST", f"/users/{user['id']}/revokeSignInSessions")
        if answer.get("value") is not True:
            raise self.refused(answer.get("value"), "did not revoke")
        return {"user_id": user["id"], "residual_seconds": 3600}

    async def _disable(self, call: Call) -> Done:
        user = await self._user(call)
        already = user.get("accountEnabled") is False
        if not already:
            await self._ask(call, "PATCH", f"/users/{user['id']}", {"accountEnabled": False})
        return {"user_id": user["id"], "enabled": False, ALREADY: already}

    async def _enable(self, call: Call, proof: Mapping[str, Any]) -> Done:
        if proof.get(ALREADY):
            return as_was(f"{call.target} was disabled")
        user = await self._user(call)
        await self._ask(call, "PATCH", f"/users/{user['id']}", {"accountEnabled": True})
        return {"enabled": True}

    async def _disabled(self, call: Call) -> Done | None:
        user = await self._user(call)
        held = user.get("accountEnabled") is False
        return {"user_id": user["id"], "enabled": False} if held else None

    async def _user(self, call: Call) -> dict[str, Any]:
        path, params = f"/users/{segment(call.target)}", {"$select": _FIELDS}
        user = await self._ask(call, "GET", path, params=params, missing=True)
        if not user.get("id"):
            message = f"tenant {self._config.tenant} has no user {call.target}"
            raise ConnectorError("invalid", message)
        return user | {"id": segment(user["id"])}

    async def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        *,
        missing: bool = False,
    ) -> dict[str, Any]:
        headers = await self._tokens.bearer(call, self._clock.now())
        url, accept = self._config.url + path, (404,) if missing else ()
        answer = await self.send(
            call, method, url, headers=headers, params=params, json=json, accept=accept
        )
        return answer.object() if answer.status < 300 else {}
