"""Where people are told: chat, pagers, tickets; as their documentation says they behave."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

from tests.responders.vendors.identity import CANARY
from tests.responders.vendors.server import Reply, Request, Vendor, route


class SlackVendor(Vendor):
    """Refusals have status 200."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []

    def handle(self, request: Request) -> Reply:
        if request.headers.get("authorization") != f"Bearer {CANARY}":
            self.requests.append(request)
            return Reply(200, {"ok": False, "error": "invalid_auth"})
        return super().handle(request)

    @route("POST", "/auth.test")
    def _me(self, request: Request) -> Reply:
        return Reply(200, {"ok": True, "user": "tocsin"})

    @route("POST", "/chat.postMessage")
    def _post(self, request: Request) -> Reply:
        if request.json["channel"] != "C1":
            return Reply(200, {"ok": False, "error": "channel_not_found"})
        self.effects += 1
        self.messages.insert(0, request.json | {"ts": f"1700000000.{len(self.messages)}"})
        return Reply(200, {"ok": True, "channel": "C1", "ts": self.messages[0]["ts"]})

    @route("GET", "/conversations.history")
    def _history(self, request: Request) -> Reply:
        shown = self.messages
        if request.query.get("include_all_metadata") != "true":
            shown = [{"ts": each["ts"], "text": each["text"]} for each in shown]
        return Reply(200, {"ok": True, "messages": shown})


class TeamsVendor(Vendor):
    @route("POST", "/workflows/1/invoke")
    def _invoke(self, request: Request) -> Reply:
        card = request.json["attachments"][0]["content"]
        return Reply(202) if card["type"] == "AdaptiveCard" else Reply(400)


class PagerdutyVendor(Vendor):
    def __init__(self) -> None:
        super().__init__()
        self.open: set[str] = set()

    @route("POST", "/v2/enqueue")
    def _enqueue(self, request: Request) -> Reply:
        event = request.json
        if event["routing_key"] != CANARY:
            return Reply(400, {"status": "invalid event", "message": "bad routing key"})
        if event["event_action"] == "trigger":
            self.effects += event["dedup_key"] not in self.open
            self.open.add(event["dedup_key"])
        else:
            self.open.discard(event["dedup_key"])
        return Reply(202, {"status": "success", "dedup_key": event["dedup_key"]})


class JiraVendor(Vendor):
    """Creates a ticket each time it is asked to."""

    needs: ClassVar[tuple[str, str] | None] = (
        "authorization",
        f"Basic {base64.b64encode(f'bot@example.com:{CANARY}'.encode()).decode()}",
    )

    def __init__(self) -> None:
        super().__init__()
        self.issues: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []

    @route("GET", "/rest/api/3/project/SOC")
    def _project(self, request: Request) -> Reply:
        return Reply(200, {"key": "SOC", "name": "Security"})

    @route("POST", "/rest/api/3/search/jql")
    def _search(self, request: Request) -> Reply:
        found = [{"key": each["key"]} for each in self.issues
                 if f'"{each["fields"]["labels"][1]}"' in request.json["jql"]]  # fmt: skip
        return Reply(200, {"issues": found[: request.json["maxResults"]], "isLast": True})

    @route("POST", "/rest/api/3/issue")
    def _create(self, request: Request) -> Reply:
        self.effects += 1
        key = f"SOC-{len(self.issues) + 1}"
        self.issues.append(request.json | {"key": key})
        return Reply(201, {"id": "1", "key": key})

    @route("POST", "/rest/api/3/issue/(SOC-[0-9]+)/comment")
    def _comment(self, request: Request, key: str) -> Reply:
        self.comments.append(request.json | {"id": str(len(self.comments))})
        return Reply(201, self.comments[-1])

    @route("GET", "/rest/api/3/issue/(SOC-[0-9]+)/comment")
    def _comments(self, request: Request, key: str) -> Reply:
        return Reply(200, {"comments": self.comments[::-1]})


class JiraWithTicket(JiraVendor):
    """Has the ticket of case-1."""

    def __init__(self) -> None:
        super().__init__()
        from responders.jira import _label

        fields = {"labels": ["tocsin", _label("case-1")]}
        self.issues.append({"key": "SOC-1", "fields": fields})


class ThehiveVendor(Vendor):
    needs: ClassVar[tuple[str, str] | None] = ("authorization", f"Bearer {CANARY}")

    def __init__(self) -> None:
        super().__init__()
        self.alerts: dict[str, dict[str, Any]] = {}
        self.comments: list[dict[str, Any]] = []

    @route("GET", "/api/v1/user/current")
    def _me(self, request: Request) -> Reply:
        return Reply(200, {"login": "tocsin@example.com"})

    @route("POST", "/api/v1/alert")
    def _create(self, request: Request) -> Reply:
        reference = request.json["sourceRef"]
        if reference in self.alerts:
            return Reply(400, {"type": "CreateError", "message": "Alert already exists"})
        self.effects += 1
        self.alerts[reference] = request.json | {"_id": "~41"}
        return Reply(201, self.alerts[reference])

    @route("POST", "/api/v1/query")
    def _query(self, request: Request) -> Reply:
        first, *rest = request.json["query"]
        if first["_name"] == "getAlert":
            return Reply(200, self.comments)
        wanted = rest[0]["_and"][1]["_eq"]["_value"]
        return Reply(200, [self.alerts[wanted]] if wanted in self.alerts else [])

    @route("POST", "/api/v1/alert/~41/comment")
    def _comment(self, request: Request) -> Reply:
        self.comments.append(request.json | {"_id": "~7"})
        return Reply(201, self.comments[-1])


class IrisVendor(Vendor):
    """Takes the same alert twice; its filter finds parts of texts."""

    needs: ClassVar[tuple[str, str] | None] = ("authorization", f"Bearer {CANARY}")

    def __init__(self) -> None:
        super().__init__()
        self.alerts = [{"alert_id": 1, "alert_source_ref": "case-10"}]

    @route("GET", "/api/ping")
    def _ping(self, request: Request) -> Reply:
        return Reply(200, {"status": "success", "message": "pong", "data": []})

    @route("GET", "/alerts/filter")
    def _filter(self, request: Request) -> Reply:
        wanted = request.query["source_reference"]
        found = [each for each in self.alerts if wanted in str(each["alert_source_ref"])]
        return Reply(200, {"status": "success", "data": {"alerts": found, "total": len(found)}})

    @route("POST", "/alerts/add")
    def _add(self, request: Request) -> Reply:
        self.effects += 1
        self.alerts.append(request.json | {"alert_id": len(self.alerts) + 1})
        return Reply(200, {"status": "success", "data": self.alerts[-1]})


class FirewallVendor(Vendor):
    """An API of one's own, for the generic connector."""

    needs: ClassVar[tuple[str, str] | None] = ("x-key", CANARY)

    def __init__(self) -> None:
        super().__init__()
        self.blocked: set[str] = set()

    @route("PUT", "/v1/blocks/([^/]+)")
    def _block(self, request: Request, entity: str) -> Reply:
        self.effects += entity not in self.blocked
        self.blocked.add(entity)
        return Reply(200, {"ok": True})

    @route("GET", "/v1/blocks/([^/]+)")
    def _held(self, request: Request, entity: str) -> Reply:
        return Reply(200, {"entity": entity}) if entity in self.blocked else Reply(404)

    @route("DELETE", "/v1/blocks/([^/]+)")
    def _free(self, request: Request, entity: str) -> Reply:
        if entity not in self.blocked:
            return Reply(404, {"message": "not blocked"})
        self.blocked.discard(entity)
        return Reply(204)
