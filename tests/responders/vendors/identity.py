"""Keycloak, Okta, Entra ID and GitHub, as their documentation says they behave."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.responders.vendors.server import Reply, Request, Vendor, route

CANARY = "canary-secret-value"
TOKEN = "canary-access-token"  # noqa: S105

USER = "mallory"


class OAuthVendor(Vendor):
    """Gives an access token for the right secret only."""

    needs: ClassVar[tuple[str, str] | None] = ("authorization", f"Bearer {TOKEN}")
    open_paths: ClassVar[str] = "token$"

    def token(self, request: Request) -> Reply:
        if request.form.get("client_secret") != CANARY:
            return Reply(401, {"error": "invalid_client"})
        return Reply(200, {"access_token": TOKEN, "expires_in": 300, "token_type": "Bearer"})


class KeycloakVendor(OAuthVendor):
    def __init__(self) -> None:
        super().__init__()
        self.user: dict[str, Any] = {
            "id": "u-1",
            "username": USER,
            "firstName": "Mallory",
            "enabled": True,
        }
        self.sessions = [
            {"id": f"s-{n}", "ipAddress": "203.0.113.66", "start": 1, "lastAccess": 2,
             "clients": {"c": "shop"}}
            for n in range(2)
        ]  # fmt: skip

    @route("POST", "/realms/corp/protocol/openid-connect/token")
    def _token(self, request: Request) -> Reply:
        return self.token(request)

    @route("GET", "/admin/realms/corp")
    def _realm(self, request: Request) -> Reply:
        return Reply(200, {"realm": "corp", "accessTokenLifespan": 300})

    @route("GET", "/admin/realms/corp/users/count")
    def _count(self, request: Request) -> Reply:
        return Reply(200, 1)

    @route("GET", "/admin/realms/corp/users")
    def _find(self, request: Request) -> Reply:
        return Reply(200, [self.user] if request.query.get("username") == USER else [])

    @route("GET", "/admin/realms/corp/users/u-1/sessions")
    def _list(self, request: Request) -> Reply:
        return Reply(200, self.sessions)

    @route("POST", "/admin/realms/corp/users/u-1/logout")
    def _logout(self, request: Request) -> Reply:
        self.effects += bool(self.sessions)
        self.sessions = []
        return Reply(204)

    @route("PUT", "/admin/realms/corp/users/u-1")
    def _put(self, request: Request) -> Reply:
        self.effects += request.json["enabled"] is False and self.user["enabled"] is True
        # What is left out is cleared.
        self.user = request.json
        return Reply(204)


class OktaVendor(Vendor):
    needs: ClassVar[tuple[str, str] | None] = ("authorization", f"SSWS {CANARY}")

    def __init__(self, status: str = "ACTIVE") -> None:
        super().__init__()
        self.status, self.sessions, self.tokens = status, 2, 2

    def _user(self) -> dict[str, Any]:
        return {"id": "00u1", "status": self.status, "profile": {"login": USER}}

    @route("GET", "/api/v1/users/([^/]+)")
    def _get(self, request: Request, user: str) -> Reply:
        if user in (USER, "me", "00u1"):
            return Reply(200, self._user())
        return Reply(404, {"errorCode": "E0000007", "errorSummary": "Not found"})

    @route("DELETE", "/api/v1/users/00u1/sessions")
    def _end(self, request: Request) -> Reply:
        self.effects += bool(self.sessions)
        self.sessions = 0
        if request.query.get("oauthTokens") == "true":
            self.tokens = 0
        return Reply(204)

    @route("POST", "/api/v1/users/00u1/lifecycle/(suspend|unsuspend)")
    def _turn(self, request: Request, way: str) -> Reply:
        wanted, after = ("ACTIVE", "SUSPENDED") if way == "suspend" else ("SUSPENDED", "ACTIVE")
        if self.status != wanted:
            return Reply(400, {"errorCode": "E0000001", "errorSummary": "Cannot be done now"})
        self.effects += way == "suspend"
        self.status = after
        return Reply(200, {})


class EntraVendor(OAuthVendor):
    def __init__(self, kind: str = "Member") -> None:
        super().__init__()
        self.user: dict[str, Any] = {"id": "e-1", "accountEnabled": True, "userType": kind}
        self.revoked = False

    @route("POST", "/tenant/oauth2/v2.0/token")
    def _token(self, request: Request) -> Reply:
        return self.token(request)

    @route("GET", "/users")
    def _users(self, request: Request) -> Reply:
        return Reply(200, {"value": [{"id": "e-1"}]})

    @route("GET", "/users/([^/]+)")
    def _get(self, request: Request, user: str) -> Reply:
        if user != USER:
            return Reply(404, {"error": {"code": "Request_ResourceNotFound", "message": "none"}})
        return Reply(200, self.user)

    @route("PATCH", "/users/e-1")
    def _patch(self, request: Request) -> Reply:
        self.effects += request.json == {"accountEnabled": False} and self.user["accountEnabled"]
        self.user |= request.json
        return Reply(204)

    @route("POST", "/users/e-1/revokeSignInSessions")
    def _revoke(self, request: Request) -> Reply:
        self.effects += not self.revoked
        self.revoked = True
        return Reply(200, {"@odata.context": "…", "value": True})


class GithubVendor(Vendor):
    needs: ClassVar[tuple[str, str] | None] = ("authorization", f"Bearer {CANARY}")

    def __init__(self) -> None:
        super().__init__()
        self.blocked: set[str] = set()
        self.credentials = {n: USER for n in range(130)} | {900: "alice"}
        self.keys: dict[int, dict[str, Any]] = {
            n: {"id": n, "title": f"deploy {n}", "key": f"ssh-ed25519 AAAA{n}", "read_only": True}
            for n in range(120)
        }

    @route("GET", "/orgs/corp")
    def _org(self, request: Request) -> Reply:
        return Reply(200, {"login": "corp"})

    @route("GET", "/orgs/corp/blocks/([^/]+)")
    def _is_blocked(self, request: Request, user: str) -> Reply:
        return Reply(204) if user in self.blocked else Reply(404, {"message": "Not Found"})

    @route("PUT", "/orgs/corp/blocks/([^/]+)")
    def _block(self, request: Request, user: str) -> Reply:
        self.effects += user not in self.blocked
        self.blocked.add(user)
        return Reply(204)

    @route("DELETE", "/orgs/corp/blocks/([^/]+)")
    def _unblock(self, request: Request, user: str) -> Reply:
        self.blocked.discard(user)
        return Reply(204)

    @route("GET", "/orgs/corp/credential-authorizations")
    def _credentials(self, request: Request) -> Reply:
        mine = [n for n, user in self.credentials.items() if user == request.query["login"]]
        page = mine[: int(request.query["per_page"])]
        return Reply(200, [{"credential_id": n, "login": USER} for n in page])

    @route("DELETE", "/orgs/corp/credential-authorizations/([0-9]+)")
    def _revoke(self, request: Request, number: str) -> Reply:
        known = self.credentials.pop(int(number), None)
        return Reply(204) if known else Reply(404, {"message": "Not Found"})

    @route("GET", "/repos/corp/shop/keys")
    def _keys(self, request: Request) -> Reply:
        page, size = int(request.query["page"]), int(request.query["per_page"])
        return Reply(200, list(self.keys.values())[(page - 1) * size : page * size])

    @route("DELETE", "/repos/corp/shop/keys/([0-9]+)")
    def _remove(self, request: Request, number: str) -> Reply:
        self.effects += 1
        return Reply(204) if self.keys.pop(int(number), None) else Reply(404)

    @route("POST", "/repos/corp/shop/keys")
    def _add(self, request: Request) -> Reply:
        number = 1 + max(self.keys)
        self.keys[number] = request.json | {"id": number}
        return Reply(201, self.keys[number])
