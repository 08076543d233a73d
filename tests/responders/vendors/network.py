"""Cloudflare, CrowdSec, CrowdStrike and Defender, as their documentation says they behave."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.responders.vendors.identity import CANARY, OAuthVendor
from tests.responders.vendors.server import Reply, Request, Vendor, route

ACCOUNT, LIST = "a" * 32, "b" * 32


class CloudflareVendor(Vendor):
    """Bulk operations end at the second look; a second one meanwhile is refused."""

    needs: ClassVar[tuple[str, str] | None] = ("authorization", f"Bearer {CANARY}")

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, str] = {f"i{n}": f"203.0.113.{n}" for n in range(60, 66)}
        self.pending: list[Any] = []
        self.looks = 0

    def _done(self, result: Any, **info: Any) -> Reply:
        return Reply(200, {"success": True, "errors": [], "result": result, **info})

    @route("GET", f"/accounts/{ACCOUNT}/rules/lists/{LIST}")
    def _head(self, request: Request) -> Reply:
        return self._done({"num_items": len(self.items)})

    @route("GET", f"/accounts/{ACCOUNT}/rules/lists/{LIST}/items")
    def _search(self, request: Request) -> Reply:
        """Pages of two; the search is by prefix."""
        found = [{"id": n, "ip": ip} for n, ip in self.items.items()
                 if ip.startswith(request.query.get("search", "")[:9])]  # fmt: skip
        start = int(request.query.get("cursor") or 0)
        after = {"after": str(start + 2)} if start + 2 < len(found) else {}
        return self._done(found[start : start + 2], result_info={"cursors": after})

    def _begin(self, change: Any) -> Reply:
        if self.pending:
            return Reply(429, {"success": False, "errors": [{"message": "pending"}]})
        self.pending, self.looks = [change], 0
        return self._done({"operation_id": "op-1"})

    @route("POST", f"/accounts/{ACCOUNT}/rules/lists/{LIST}/items")
    def _add(self, request: Request) -> Reply:
        return self._begin([each["ip"] for each in request.json])

    @route("DELETE", f"/accounts/{ACCOUNT}/rules/lists/{LIST}/items")
    def _remove(self, request: Request) -> Reply:
        return self._begin({each["id"] for each in request.json["items"]})

    @route("GET", f"/accounts/{ACCOUNT}/rules/lists/bulk_operations/op-1")
    def _poll(self, request: Request) -> Reply:
        status = "running" if self.pending else "completed"
        return self._done({"id": "op-1", "status": status})

    def handle(self, request: Request) -> Reply:
        """Time passes with requests: an operation ends before the second one after it."""
        self.looks += 1
        if self.pending and self.looks > 1:
            self._apply()
        return super().handle(request)

    def _apply(self) -> None:
        for change in self.pending:
            if isinstance(change, list):
                new = [ip for ip in change if ip not in self.items.values()]
                self.effects += len(new)
                self.items |= {f"n{ip}": ip for ip in new}
            else:
                self.items = {n: ip for n, ip in self.items.items() if n not in change}
        self.pending = []


class CrowdsecVendor(Vendor):
    def __init__(self) -> None:
        super().__init__()
        self.decisions: dict[int, dict[str, Any]] = {
            1: {"id": 1, "value": "203.0.113.66", "scenario": "crowdsecurity/ssh-bf", "type": "ban"}
        }
        self.logins = 0

    def _token(self) -> str:
        return f"canary-jwt-{self.logins}"

    @route("POST", "/v1/watchers/login")
    def _login(self, request: Request) -> Reply:
        if request.headers["user-agent"].count("/") != 1:
            return Reply(401, {"message": "incorrect Username or Password"})
        if request.json["password"] != CANARY:
            return Reply(403, {"message": "incorrect Username or Password"})
        self.logins += 1
        return Reply(200, {"code": 200, "expire": "…", "token": self._token()})

    @route("GET", "/v1/decisions")
    def _list(self, request: Request) -> Reply:
        if request.headers.get("x-api-key") != CANARY:
            return Reply(403, {"message": "access forbidden"})
        value = request.query.get("value")
        found = [each for each in self.decisions.values() if value in (None, each["value"])]
        return Reply(200, found or None)

    @route("POST", "/v1/alerts")
    def _alerts(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {self._token()}":
            return Reply(401, {"message": "token expired"})
        for alert in request.json:
            for decision in alert["decisions"]:
                number = max(self.decisions, default=0) + 1
                self.decisions[number] = decision | {"id": number}
        return Reply(201, ["1"])

    @route("DELETE", "/v1/decisions/([0-9]+)")
    def _delete(self, request: Request, number: str) -> Reply:
        if request.headers.get("authorization") != f"Bearer {self._token()}":
            return Reply(401, {"message": "token expired"})
        gone = self.decisions.pop(int(number), None)
        return Reply(200, {"nbDeleted": "1"}) if gone else Reply(404, {"message": "not found"})


class CrowdstrikeVendor(OAuthVendor):
    """A contained host is pending first, contained at the next look."""

    def __init__(self, hosts: int = 1) -> None:
        super().__init__()
        self.ids = [f"aid-{n}" for n in range(hosts)]
        self.status = "normal"

    @route("POST", "/oauth2/token")
    def _token(self, request: Request) -> Reply:
        return Reply(201, self.token(request).body) if CANARY in str(request.form) else Reply(403)

    @route("GET", "/devices/queries/devices/v1")
    def _query(self, request: Request) -> Reply:
        wanted = request.query.get("filter", "hostname:'web-1'") == "hostname:'web-1'"
        return Reply(200, {"resources": self.ids if wanted else [], "errors": []})

    @route("POST", "/devices/entities/devices/v2")
    def _details(self, request: Request) -> Reply:
        return Reply(200, {"resources": [{"device_id": "aid-0", "status": self.status}]})

    @route("POST", "/devices/entities/devices-actions/v2")
    def _act(self, request: Request) -> Reply:
        contain = request.query["action_name"] == "contain"
        self.effects += contain
        self.status = "containment_pending" if contain else "lift_containment_pending"
        return Reply(202, {"resources": [{"id": "aid-0"}], "errors": []})


class DefenderVendor(OAuthVendor):
    def __init__(self) -> None:
        super().__init__()
        self.actions: list[dict[str, Any]] = [
            {"id": "old", "type": "Isolate", "status": "Failed", "machineId": "m-1"}
        ]

    @route("POST", "/tenant/oauth2/v2.0/token")
    def _token(self, request: Request) -> Reply:
        return self.token(request)

    @route("GET", "/api/machines")
    def _machines(self, request: Request) -> Reply:
        return Reply(200, {"value": [{"id": "m-1", "computerDnsName": "web-1"}]})

    @route("GET", "/api/machineactions")
    def _list(self, request: Request) -> Reply:
        return Reply(200, {"value": self.actions})

    @route("POST", "/api/machines/m-1/(isolate|unisolate)")
    def _act(self, request: Request, way: str) -> Reply:
        if self.actions[-1]["status"] == "Pending" and self.actions[-1]["type"].lower() == way:
            return Reply(
                400, {"error": {"code": "ActiveRequestAlreadyExists", "message": "active"}}
            )
        self.effects += way == "isolate"
        number = len(self.actions)
        made = {"id": f"a{number}", "type": way.capitalize(), "status": "Pending"}
        made["creationDateTimeUtc"] = f"2026-01-01T00:00:{number:02d}Z"
        self.actions.append(made)
        return Reply(201, made)
