"""Alarms to whoever is on call (PagerDuty, Events API v2). `dedup_key` makes repeating safe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from responders.base import Action, ActionClass, Call, EntityKind, Idempotence, Inputs, Manifest
from responders.product import Deed, Done, Product, ProductConfig, Secret, Url
from responders.verbs import Line

if TYPE_CHECKING:
    from collections.abc import Mapping


TRIGGER, RESOLVE = "page.trigger", "page.resolve"
_SEVERITIES = ((85, "critical"), (60, "error"), (30, "warning"), (0, "info"))


class Page(Inputs):
    """An alarm for a case; a case has one open alarm."""

    case: Annotated[str, Field(min_length=1, max_length=200)]
    summary: Annotated[str, Field(min_length=1, max_length=1_024)]
    severity: Annotated[int, Field(ge=0, le=100)] = 70
    source: Line = "tocsin"


class Resolved(Inputs):
    """The case whose alarm is over."""

    case: Annotated[str, Field(min_length=1, max_length=200)]


def _action(verb: str, inputs: type[Inputs], summary: str) -> Action:
    return Action(
        verb=verb,
        action_class=ActionClass.NOTIFY,
        idempotence=Idempotence.KEYED,
        inputs=inputs,
        target="case",
        entity=EntityKind.CASE,
        summary=summary,
    )


MANIFEST = Manifest(
    name="pagerduty",
    summary="Alarms to whoever is on call",
    actions=(
        _action(TRIGGER, Page, "Wake whoever is on call"),
        _action(RESOLVE, Resolved, "End the alarm of a case"),
    ),
    secrets=("routing_key",),
)


class PagerdutyConfig(ProductConfig):
    """The integration key of a service."""

    routing_key: Secret
    url: Url = "https://events.pagerduty.com"


class Pagerduty(Product[PagerdutyConfig]):
    """One service."""

    MANIFEST = MANIFEST

    def deeds(self) -> Mapping[str, Deed]:
        return {TRIGGER: Deed(self._trigger), RESOLVE: Deed(self._resolve)}

    async def ping(self) -> str:
        """Nothing is sent: every request is an alarm."""
        return "pagerduty has a routing key; not tried"

    async def _trigger(self, call: Call) -> Done:
        given = int(call.inputs.get("severity", 70))
        payload = {
            "summary": call.inputs["summary"],
            "source": str(call.inputs.get("source") or "tocsin"),
            "severity": next(name for least, name in _SEVERITIES if given >= least),
        }
        return await self._event(call, event_action="trigger", payload=payload)

    async def _resolve(self, call: Call) -> Done:
        return await self._event(call, event_action="resolve")

    async def _event(self, call: Call, **event: Any) -> Done:
        key = f"tocsin/{call.target}"[:255]
        body = event | {"dedup_key": key, "routing_key": self.secret(self._config.routing_key)}
        answer = await self.send(call, "POST", f"{self._config.url}/v2/enqueue", json=body)
        if (told := answer.object()).get("status") != "success":
            raise self.refused(told.get("message") or told.get("status") or "no status")
        return {"dedup_key": key}
