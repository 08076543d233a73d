"""Sessions and accounts of a Keycloak realm (admin REST API, Keycloak 26).

Logging a user out ends all sessions and sets "not before": refresh tokens are refused from then
on, and introspection says inactive. Who checks access tokens offline still takes them until they
expire; how long that can be is asked of the realm and told as `residual_seconds`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from responders.base import Call, Manifest
from responders.oauth import Tokens
from responders.product import (
    ALREADY,
    Deed,
    Done,
    Product,
    ProductConfig,
    Secret,
    Url,
    as_was,
    rows,
    segment,
)
from responders.verbs import DISABLE_USER, LIST_SESSIONS, REVOKE_SESSIONS
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping


_TOKENS = "Access tokens that are checked offline live on until they expire (residual_seconds)."

MANIFEST = Manifest(
    name="keycloak",
    summary="Sessions and accounts of a Keycloak realm",
    actions=(
        LIST_SESSIONS,
        replace(REVOKE_SESSIONS, residual=_TOKENS),
        replace(DISABLE_USER, residual=_TOKENS),
    ),
    secrets=("client_secret",),
)


class KeycloakConfig(ProductConfig):
    """A confidential client with a service account that has `manage-users` and `view-realm`."""

    url: Url
    realm: str
    client_id: str = "tocsin"
    client_secret: Secret


class Keycloak(Product[KeycloakConfig]):
    """One realm."""

    MANIFEST = MANIFEST

    @cached_property
    def _tokens(self) -> Tokens:
        url = f"{self._realm('')}/protocol/openid-connect/token"
        return Tokens(self, url, self._config)

    def _realm(self, admin: str) -> str:
        return f"{self._config.url}{admin}/realms/{segment(self._config.realm)}"

    def deeds(self) -> Mapping[str, Deed]:
        return {
            LIST_SESSIONS.verb: Deed(self._list),
            REVOKE_SESSIONS.verb: Deed(self._revoke, probe=self._revoked),
            DISABLE_USER.verb: Deed(self._disable, self._enable, self._disabled),
        }

    async def ping(self) -> str:
        """Count the users that may be seen."""
        count = await self._ask(Call("", "", {}, "", 10_000), "GET", "/users/count")
        if not isinstance(count, int):
            raise self.refused("the answer is no number of users")
        return f"keycloak: realm {self._config.realm} has {count} users"

    async def _list(self, call: Call) -> Done:
        user = await self._user(call)
        sessions = rows(await self._ask(call, "GET", f"/users/{user['id']}/sessions"))
        told = [
            {
                "id": each.get("id", ""),
                "ip": each.get("ipAddress", ""),
                "started": each.get("start", 0),
                "last_access": each.get("lastAccess", 0),
                "clients": sorted((each.get("clients") or {}).values()),
            }
            for each in sessions[:200]
        ]
        return {"count": len(sessions), "sessions": told}

    async def _revoke(self, call: Call) -> Done:
        user = await self._user(call)
        path = f"/users/{user['id']}"
        before = rows(await self._ask(call, "GET", f"{path}/sessions"))
        await self._ask(call, "POST", f"{path}/logout")
        left = rows(await self._ask(call, "GET", f"{path}/sessions"))
        if left:
            message = f"{len(left)} sessions of {call.target} are still open after the logout"
            raise ConnectorError("internal", message, after_send=True)
        return {"revoked": len(before), "open": 0, "residual_seconds": await self._lifespan(call)}

    async def _revoked(self, call: Call) -> Done | None:
        found = await self._list(call)
        return {"open": 0} if not found["count"] else None

    async def _disable(self, call: Call) -> Done:
        user = await self._user(call)
        already = user.get("enabled") is False
        if not already:
            await self._put(call, user, enabled=False)
        return {
            "user_id": user["id"],
            "enabled": False,
            ALREADY: already,
            "residual_seconds": await self._lifespan(call),
        }

    async def _enable(self, call: Call, proof: Mapping[str, Any]) -> Done:
        if proof.get(ALREADY):
            return as_was(f"{call.target} was disabled")
        await self._put(call, await self._user(call), enabled=True)
        return {"enabled": True}

    async def _disabled(self, call: Call) -> Done | None:
        user = await self._user(call)
        return {"user_id": user["id"], "enabled": False} if user.get("enabled") is False else None

    async def _put(self, call: Call, user: dict[str, Any], *, enabled: bool) -> None:
        # The whole representation: what a partial one leaves out would be cleared.
        await self._ask(call, "PUT", f"/users/{user['id']}", user | {"enabled": enabled})

    async def _user(self, call: Call) -> dict[str, Any]:
        for field in ("username", "email") if "@" in call.target else ("username",):
            params = {field: call.target, "exact": "true"}
            if found := rows(await self._ask(call, "GET", "/users", params=params)):
                return found[0] | {"id": segment(found[0].get("id", ""))}
        message = f"realm {self._config.realm} has no user {call.target}"
        raise ConnectorError("invalid", message)

    async def _lifespan(self, call: Call) -> int | None:
        """Longest life of an access token, seconds; None without the right to see it."""
        try:
            realm = await self._ask(call, "GET", "")
        except ConnectorError as error:
            if error.kind == "denied":
                return None
            raise
        found = realm.get("accessTokenLifespan") if isinstance(realm, dict) else None
        return found if isinstance(found, int) else None

    async def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> Any:
        headers = await self._tokens.bearer(call, self._clock.now())
        url = self._realm("/admin") + path
        try:
            answer = await self.send(call, method, url, headers=headers, params=params, json=json)
        except ConnectorError as error:
            if error.kind == "denied":
                self._tokens.forget()
            raise
        return answer.json()
