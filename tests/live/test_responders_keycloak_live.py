"""Keycloak itself: a session that is alive before and refused after; an account off and on.

It takes up to two minutes to start, so it is run only where TOCSIN_KEYCLOAK names the directory of
an unpacked distribution (Maven: org.keycloak:keycloak-quarkus-dist:26.7.3:zip).
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from responders.base import Call
from responders.keycloak import Keycloak, KeycloakConfig
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = os.environ.get("TOCSIN_KEYCLOAK", "")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not HOME, reason="TOCSIN_KEYCLOAK names no distribution"),
]

REVOKE, DISABLE = "identity.revoke_sessions", "identity.disable_user"
LIFESPAN = 120


@dataclass
class Realm:
    url: str
    http: httpx.AsyncClient

    @property
    def oidc(self) -> str:
        return f"{self.url}/realms/corp/protocol/openid-connect"

    async def grant(self, **form: str) -> httpx.Response:
        client = {"client_id": "app", "client_secret": "app-secret"}
        return await self.http.post(f"{self.oidc}/token", data={**client, **form})

    async def login(self) -> httpx.Response:
        return await self.grant(grant_type="password", username="mallory", password="pw")  # noqa: S106

    async def refresh(self, token: str) -> httpx.Response:
        return await self.grant(grant_type="refresh_token", refresh_token=token)

    async def active(self, token: str) -> bool:
        form = {"client_id": "app", "client_secret": "app-secret", "token": token}
        told = await self.http.post(f"{self.oidc}/token/introspect", data=form)
        return bool(told.json()["active"])


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [f"{HOME}/bin/kc.sh", "start-dev", "--db=dev-mem", "--http-host=127.0.0.1",
            f"--http-port={port}"]  # fmt: skip
    admin = {"KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": "admin"}
    with subprocess.Popen(
        argv, env={**os.environ, **admin}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


async def admin(http: httpx.AsyncClient, url: str) -> dict[str, str]:
    """The administrator's header, once the server is up."""
    form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin",
            "password": "admin"}  # fmt: skip
    async with asyncio.timeout(240):
        while True:
            try:
                told = await http.post(
                    f"{url}/realms/master/protocol/openid-connect/token", data=form
                )
                if told.status_code == 200:
                    return {"authorization": f"Bearer {told.json()['access_token']}"}
            except httpx.TransportError:
                await asyncio.sleep(0.2)
            await asyncio.sleep(0.2)


async def made(http: httpx.AsyncClient, url: str) -> Realm:
    """A realm with a user, an application and Tocsin's client."""
    headers = await admin(http, url)
    audience = {
        "name": "aud",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": {"included.client.audience": "app", "access.token.claim": "true"},
    }
    common: dict[str, Any] = {"publicClient": False, "enabled": True}
    app = common | {"clientId": "app", "secret": "app-secret", "directAccessGrantsEnabled": True,
                    "protocolMappers": [audience]}  # fmt: skip
    ours = common | {
        "clientId": "tocsin",
        "secret": "canary-secret",
        "serviceAccountsEnabled": True,
    }
    user = {
        "username": "mallory", "enabled": True, "firstName": "Mallory", "lastName": "Example",
        "email": "mallory@example.com", "emailVerified": True,
        "credentials": [{"type": "password", "value": "pw", "temporary": False}],
    }  # fmt: skip
    service = {
        "username": "service-account-tocsin",
        "enabled": True,
        "serviceAccountClientId": "tocsin",
        "clientRoles": {"realm-management": ["manage-users", "view-realm"]},
    }
    realm = {"realm": "corp", "enabled": True, "accessTokenLifespan": LIFESPAN,
             "clients": [app, ours], "users": [user, service]}  # fmt: skip
    answer = await http.post(f"{url}/admin/realms", json=realm, headers=headers)
    assert answer.status_code == 201, answer.text
    return Realm(url, http)


async def test_sessions_end_and_an_account_is_off_and_on_again(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KC_SECRET", "canary-secret")
    reference = "env:KC_SECRET"
    config = KeycloakConfig(url=server, realm="corp", client_secret=reference, allow_http=True)
    async with httpx.AsyncClient(timeout=30) as http:
        realm = await made(http, server)
        keycloak = Keycloak(config)
        assert "corp has" in await keycloak.check()
        tokens = (await realm.login()).json()
        # Without this the rest could pass on tokens that never worked.
        assert await realm.active(tokens["access_token"])
        tokens = (await realm.refresh(tokens["refresh_token"])).json()

        def call(verb: str, user: str = "mallory") -> Call:
            return Call(verb, user, {"user": user}, "k", 30_000)

        listed = await keycloak.act(call("identity.list_sessions"))
        assert listed["count"] == 1
        told = await keycloak.act(call(REVOKE, "mallory@example.com"))
        assert (told["revoked"], told["open"], told["residual_seconds"]) == (1, 0, LIFESPAN)
        assert not await realm.active(tokens["access_token"])
        refused = await realm.refresh(tokens["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        assert (await keycloak.act(call(REVOKE)))["revoked"] == 0

        assert await keycloak.probe(call(DISABLE)) is None
        proof = await keycloak.act(call(DISABLE))
        assert await keycloak.probe(call(DISABLE)) is not None
        assert (await realm.login()).status_code == 400
        await keycloak.undo(call(DISABLE), proof)
        assert await keycloak.probe(call(DISABLE)) is None
        back = await realm.login()
        assert back.status_code == 200
        headers = {"authorization": f"Bearer {back.json()['access_token']}"}
        account = await http.get(f"{server}/admin/realms", headers=headers)
        assert account.status_code == 403, "a user is no administrator"
        user = await keycloak._user(call(DISABLE))
        assert (user["firstName"], user["email"]) == ("Mallory", "mallory@example.com")
        with pytest.raises(ConnectorError, match="has no user nobody"):
            await keycloak.act(call(REVOKE, "nobody"))
        await keycloak.close()
