"""Keycloak itself: a session that is alive before and refused after; an account off and on.

First by the connector alone, then by a playbook of the library, from the alert to the lease's end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest
import yaml

from dev.keycloak import ADMIN, ADMIN_PASSWORD
from dev.servers import keycloak
from playbooks.act_undo import release_record
from responders.base import Call
from responders.keycloak import Keycloak, KeycloakConfig
from tests.cli.asking import AT, asking, load_yaml, site
from tocsin.alert_document import alert_document
from tocsin.contracts import Alert, Rule, Topics
from tocsin.errors import ConnectorError
from tocsin.log.base import Outgoing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

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
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with keycloak(tmp_path_factory.mktemp("keycloak")) as started:
        yield started.url


@pytest.fixture
async def realm(server: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Realm]:
    """A realm of its own for each test."""
    monkeypatch.setenv("KC_SECRET", "canary-secret")
    async with httpx.AsyncClient(timeout=30) as http:
        headers = await admin(http, server)
        yield await made(http, server, headers)
        await http.delete(f"{server}/admin/realms/corp", headers=await admin(http, server))


async def admin(http: httpx.AsyncClient, url: str) -> dict[str, str]:
    """The administrator's header."""
    form = {"grant_type": "password", "client_id": "admin-cli", "username": ADMIN,
            "password": ADMIN_PASSWORD}  # fmt: skip
    told = await http.post(f"{url}/realms/master/protocol/openid-connect/token", data=form)
    return {"authorization": f"Bearer {told.raise_for_status().json()['access_token']}"}


async def made(http: httpx.AsyncClient, url: str, headers: dict[str, str]) -> Realm:
    """A realm with a user, an application and Tocsin's client."""
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


async def test_sessions_end_and_an_account_is_off_and_on_again(realm: Realm) -> None:
    reference = "env:KC_SECRET"
    config = KeycloakConfig(url=realm.url, realm="corp", client_secret=reference, allow_http=True)
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
    account = await realm.http.get(f"{realm.url}/admin/realms", headers=headers)
    assert account.status_code == 403, "a user is no administrator"
    user = await keycloak._user(call(DISABLE))
    assert (user["firstName"], user["email"]) == ("Mallory", "mallory@example.com")
    with pytest.raises(ConnectorError, match="has no user nobody"):
        await keycloak.act(call(REVOKE, "nobody"))
    await keycloak.close()


async def test_a_playbook_ends_the_sessions_of_a_stolen_token_and_shuts_the_account_for_a_day(
    realm: Realm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ANA", "BOR", "MALLORY", "SAM"):
        monkeypatch.setenv(f"ASKING_{name}", f"token-of-{name}-for-tests")
    monkeypatch.setenv("ASKING_KEY", "a key that signs nothing but the links of tests")
    before = (await realm.login()).json()
    assert await realm.active(before["access_token"])
    alive = (await realm.refresh(before["refresh_token"])).json()
    assert await realm.active(alive["access_token"])
    async with asking(configured(tmp_path, realm), stolen_token()) as world:
        question = await world.asked()
        assert not await realm.active(alive["access_token"])
        refused = await realm.refresh(alive["refresh_token"])
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
        assert (await realm.login()).status_code == 200, "only the sessions are ended so far"

        ana = world.people.named("ana")
        assert ana is not None
        await world.desk.answer(ana, question, plan=question.plan, approve=True)
        await world.settle()
        assert (await realm.login()).status_code == 400
        record = release_record(DISABLE, "mallory", by="ana", at=world.pipeline.clock.now())
        await world.pipeline.log.append([record])
        await world.settle()
        assert (await realm.login()).status_code == 200
    [report] = list((tmp_path / "reports").rglob("*.md"))
    # After the sign-out, and after the account was disabled.
    assert report.read_text("utf-8").count("At most 2 min") == 2


def configured(directory: Path, realm: Realm) -> Path:
    """A site whose only playbook is the library's, and whose identity provider is this realm."""
    path = site(directory, "http://127.0.0.1:9")
    (directory / "playbooks" / "ask.yml").unlink()
    content = load_yaml(path)
    content["playbooks"] = {"builtin": ["token-theft"]}
    content["response"]["connectors"] = {
        "sso": {
            "type": "keycloak", "url": realm.url, "realm": "corp",
            "client_secret": "env:KC_SECRET", "allow_http": True,
        }
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


def stolen_token() -> Outgoing:
    """A critical alert about a stolen session of the user."""
    made = Alert(
        id=f"{1:032d}",
        rule=Rule(
            id="rule-1", name="Session Cookie From Two Places", hash="h", level="critical",
            tags=("attack.t1539",),
        ),
        severity=99,
        key="mallory",
        window_start=AT - 3_600_000,
        window=3_600_000,
        revision=1,
        count=2,
        first_seen=AT - 60_000,
        last_seen=AT,
        fields={"user.name": "mallory", "source.ip": "203.0.113.9"},
        entities={"user.name": ("mallory",)},
        message="Session Cookie From Two Places: mallory",
    )  # fmt: skip
    value = orjson.dumps(alert_document(made))
    return Outgoing(Topics.ALERTS, value, key=made.id.encode(), timestamp=AT)
