"""Tickets in Jira Cloud (REST API v3).

Creating is not idempotent: every ticket has a label made of the case, which is searched for first
and after a crash. Comments carry the effect's id in their text for the same reason.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from responders.base import Call, Manifest
from responders.product import Deed, Done, Product, ProductConfig, Secret, Url, dig, rows, segment
from responders.verbs import COMMENT, TICKET
from tocsin.errors import ConnectorError
from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Mapping


_PRIORITIES = ((85, "Highest"), (70, "High"), (40, "Medium"), (20, "Low"), (0, "Lowest"))

MANIFEST = Manifest(
    name="jira",
    summary="Tickets in Jira",
    actions=(TICKET, COMMENT),
    max_concurrency=2,
    secrets=("token",),
)


class JiraConfig(ProductConfig):
    """`email` and an API token of it; `priorities: false` where the project has none."""

    url: Url
    email: str
    token: Secret
    project: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,30}$")]
    issue_type: str = "Task"
    priorities: bool = True


class Jira(Product[JiraConfig]):
    """One project."""

    MANIFEST = MANIFEST

    def deeds(self) -> Mapping[str, Deed]:
        return {
            TICKET.verb: Deed(self._create, probe=self._ticket),
            COMMENT.verb: Deed(self._comment, probe=self._commented),
        }

    async def ping(self) -> str:
        """Read the project."""
        call, path = Call("", "", {}, "", 10_000), f"project/{segment(self._config.project)}"
        project = await self._ask(call, "GET", path)
        return f"jira: project {project.get('name', self._config.project)} answers"

    async def _create(self, call: Call) -> Done:
        if (found := await self._ticket(call)) is not None:
            return found
        fields: dict[str, Any] = {
            "project": {"key": self._config.project},
            "issuetype": {"name": self._config.issue_type},
            "summary": " ".join(call.inputs["title"].split())[:250],
            "description": _document(str(call.inputs.get("description") or "")),
            "labels": ["tocsin", _label(call.target)],
        }
        if self._config.priorities:
            severity = int(call.inputs.get("severity", 50))
            name = next(name for least, name in _PRIORITIES if severity >= least)
            fields["priority"] = {"name": name}
        made = await self._ask(call, "POST", "issue", json={"fields": fields})
        if not made.get("key"):
            raise self.refused(made)
        return self._told(made["key"])

    async def _ticket(self, call: Call) -> Done | None:
        query = f'project = {self._config.project} AND labels = "{_label(call.target)}"'
        body = {"jql": f"{query} ORDER BY created ASC", "maxResults": 1, "fields": ["summary"]}
        found = await self._ask(call, "POST", "search/jql", json=body)
        if not isinstance(found.get("issues"), list):
            raise self.refused("the search has no issues")
        key = dig(found, "issues", 0, "key")
        return self._told(key) if key else None

    async def _comment(self, call: Call) -> Done:
        key = await self._existing(call)
        text = f"{call.inputs['text']}\n{_mark(call)}"
        made = await self._ask(
            call, "POST", f"issue/{segment(key)}/comment", json={"body": _document(text)}
        )
        return self._told(key) | {"comment": str(made.get("id", ""))}

    async def _commented(self, call: Call) -> Done | None:
        key = await self._existing(call)
        params = {"orderBy": "-created", "maxResults": "100"}
        told = await self._ask(call, "GET", f"issue/{segment(key)}/comment", params=params)
        for each in rows(told, "comments"):
            if _mark(call) in str(each.get("body")):
                return self._told(key) | {"comment": str(each.get("id", ""))}
        return None

    async def _existing(self, call: Call) -> str:
        if (found := await self._ticket(call)) is None:
            raise ConnectorError("invalid", f"case {call.target} has no ticket to comment on")
        return str(found["ticket"])

    def _told(self, key: object) -> Done:
        return {"ticket": str(key), "url": f"{self._config.url}/browse/{segment(key)}"}

    async def _ask(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        pair = f"{self._config.email}:{self.secret(self._config.token)}"
        encoded = self.hide(base64.b64encode(pair.encode()).decode())
        headers = {"authorization": f"Basic {encoded}"}
        url = f"{self._config.url}/rest/api/3/{path}"
        answer = await self.send(call, method, url, headers=headers, params=params, json=json)
        return answer.object()


def _label(case: str) -> str:
    """A label has no blanks; a digest has no surprises either."""
    return f"tocsin-{digest('case', case)[:32]}"


def _mark(call: Call) -> str:
    return f"[tocsin {digest('effect', call.key)[:16]}]"


def _document(text: str) -> dict[str, Any]:
    """Plain text as Atlassian's document format: no markup of an attacker's takes effect."""
    paragraphs = [
        {"type": "paragraph", "content": [{"type": "text", "text": line}] if line else []}
        for line in text.split("\n")
    ]
    return {"type": "doc", "version": 1, "content": paragraphs}
