"""Requests to APIs of your own: endpoints of an allow-list, nothing else.

A playbook names an endpoint and fills the places in its path; it chooses neither host nor method.
Every value is one part of the path, whatever it holds. `Idempotency-Key` is sent along always.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from responders.base import Action, ActionClass, Call, EntityKind, Idempotence, Inputs, Manifest
from responders.product import Deed, Done, Product, ProductConfig, Secret, segment
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping


READ, SEND, CONTAIN = "http.read", "http.send", "containment.http"

_PLACE = re.compile(r"\{([a-z_]{1,40})\}")
_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~!$&'()*+,;=:@%{}/-]*)?")


class Endpoint(BaseModel):
    """`url` with places in braces in its path ("https://fw.example.com/v1/blocks/{entity}").

    `headers` are references to secrets. For `contain`, `undo` and `probe` name other endpoints; a
    probe answers 2xx for yes and 404 for no.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: Literal["read", "send", "contain", "part"] = "read"
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: str
    headers: dict[str, Secret] = {}
    undo: str = ""
    probe: str = ""

    @field_validator("url")
    @classmethod
    def _places_in_the_path(cls, value: str) -> str:
        if not _URL.fullmatch(value) or "{" in value.split("/", 3)[2]:
            raise ValueError("write https://host/path, with {places} in the path only")
        return value


class HttpConfig(ProductConfig):
    """The endpoints by name."""

    endpoints: dict[str, Endpoint]


class Request(Inputs):
    """An endpoint, what goes into the places of its path, and a JSON body."""

    endpoint: str
    params: dict[str, str] = Field(default_factory=dict)
    body: dict[str, Any] = Field(default_factory=dict)


class Contained(Inputs):
    """The address for the place {entity} of an endpoint of kind `contain`."""

    entity: str
    endpoint: str
    body: dict[str, Any] = Field(default_factory=dict)


def _action(verb: str, kind: ActionClass, safe: Idempotence, summary: str) -> Action:
    return Action(verb, kind, safe, Request, "endpoint", EntityKind.CHANNEL, summary=summary)


MANIFEST = Manifest(
    name="http",
    summary="Requests to allow-listed endpoints of your own",
    actions=(
        _action(READ, ActionClass.READ, Idempotence.NATURAL, "Ask an API of your own"),
        _action(SEND, ActionClass.NOTIFY, Idempotence.KEYED, "Send to an API of your own"),
        Action(
            verb=CONTAIN,
            action_class=ActionClass.CONTAIN,
            idempotence=Idempotence.KEYED,
            inputs=Contained,
            target="entity",
            entity=EntityKind.ADDRESS,
            reversible=True,
            summary="Have an API of your own contain an address",
            residual="What the API does not reach stays open.",
        ),
    ),
)


class HttpApi(Product[HttpConfig]):
    """The allow-list."""

    MANIFEST = MANIFEST

    def deeds(self) -> Mapping[str, Deed]:
        return {
            READ: Deed(lambda call: self._request(call, "read")),
            SEND: Deed(lambda call: self._request(call, "send")),
            CONTAIN: Deed(self._contain, self._release, self._held),
        }

    async def ping(self) -> str:
        """Check the names and the secrets; nothing is sent."""
        for name, endpoint in self._config.endpoints.items():
            for other in filter(None, (endpoint.undo, endpoint.probe)):
                self._endpoint(other)
            if endpoint.kind == "contain" and not endpoint.undo:
                raise ConnectorError("invalid", f"endpoint {name} contains and names no undo")
            for reference in endpoint.headers.values():
                self.secret(reference)
        return f"http has the endpoints {', '.join(sorted(self._config.endpoints))}; not tried"

    async def _request(self, call: Call, kind: str) -> Done:
        endpoint = self._of_kind(call.target, kind)
        return await self._ask(call, endpoint, dict(call.inputs.get("params") or {}))

    async def _contain(self, call: Call) -> Done:
        return await self._ask(call, self._of_kind(call.inputs["endpoint"], "contain"), {})

    async def _release(self, call: Call, proof: Mapping[str, Any]) -> Done:
        undo = self._of_kind(call.inputs["endpoint"], "contain").undo
        told = await self._ask(call, self._endpoint(undo), {}, accept=(404,))
        return told | {"released": call.target}

    async def _held(self, call: Call) -> Done | None:
        probe = self._of_kind(call.inputs["endpoint"], "contain").probe
        if not probe:
            raise ConnectorError("invalid", f"endpoint {call.inputs['endpoint']} names no probe")
        told = await self._ask(call, self._endpoint(probe), {}, accept=(404,))
        return None if told["status"] == 404 else told

    async def _ask(
        self, call: Call, endpoint: Endpoint, params: dict[str, str], accept: tuple[int, ...] = ()
    ) -> Done:
        given = {**params, "entity": call.target}
        headers = {name: self.secret(value) for name, value in endpoint.headers.items()}
        headers["idempotency-key"] = call.key
        body = dict(call.inputs.get("body") or {}) if endpoint.method != "GET" else None
        url = _filled(endpoint.url, given)
        answer = await self.send(
            call, endpoint.method, url, headers=headers, json=body, accept=accept
        )
        told = answer.json()
        if isinstance(told, dict) and (told.get("ok") is False or told.get("error")):
            raise self.refused(told.get("error") or "ok is false")
        return {"status": answer.status, "answer": told}

    def _endpoint(self, name: str) -> Endpoint:
        if (found := self._config.endpoints.get(name)) is None:
            known = ", ".join(sorted(self._config.endpoints)) or "none"
            raise ConnectorError("invalid", f"no endpoint is called {name}; configured: {known}")
        return found

    def _of_kind(self, name: str, kind: str) -> Endpoint:
        if (found := self._endpoint(name)).kind != kind:
            raise ConnectorError("invalid", f"endpoint {name} is of kind {found.kind}, not {kind}")
        return found


def _filled(url: str, given: Mapping[str, str]) -> str:
    """The url with its places filled, each value one part of the path and never a dot segment."""

    def place(found: re.Match[str]) -> str:
        value = given.get(found[1])
        if value is None or value in ("", ".", ".."):
            raise ConnectorError("invalid", f"the place {{{found[1]}}} of the url has no value")
        return segment(value)

    return _PLACE.sub(place, url)
