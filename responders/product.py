"""What the connectors of web APIs have in common, so that each file only says what is its own.

A connector lists *deeds*: for each verb how it is done, undone and asked for. Secrets are fields
of type `Secret`; they are read anew for each call, so that a rotation needs no restart, and an
error that repeats one shows stars.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict

from responders import http
from tocsin.clock import SystemClock
from tocsin.config import secret
from tocsin.errors import ConfigError, ConnectorError
from tocsin.ids import canonical_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from responders.base import Call, Manifest
    from tocsin.clock import Clock


def _reference(value: str) -> str:
    scheme, _, name = value.partition(":")
    if scheme not in ("env", "file") or not name:
        raise ValueError("a secret must be a reference, env:NAME or file:/path")
    return value


def _base(value: str) -> str:
    try:
        url = httpx.URL(value)
    except httpx.InvalidURL:
        raise ValueError("this is no url") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or url.query:
        raise ValueError("write https://host/path, without user, password and query")
    return value.rstrip("/")


@dataclass(frozen=True, slots=True)
class SecretField:
    """Marks a configuration field as a reference to a secret."""


#: A reference to a secret, env:NAME or file:/path; the secret itself is refused.
Secret = Annotated[str, AfterValidator(_reference), SecretField()]

#: The same, or nothing.
OptionalSecret = Annotated[str, AfterValidator(lambda v: v and _reference(v)), SecretField()]

#: Where an API is, without a final slash.
Url = Annotated[str, AfterValidator(_base)]


class ProductConfig(BaseModel):
    """Plain http is refused unless `allow_http`; `ca_file` names authorities of your own."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    ca_file: str = ""
    allow_http: bool = False


Done = dict[str, Any]
C = TypeVar("C", bound=ProductConfig)

#: CrowdSec refuses a login whose agent is not "name/version", with 401.
AGENT = "tocsin/1"

#: Key of a proof: what was asked for was so already. Undoing leaves it, as somebody else did it.
ALREADY = "already"

#: Key of the answer of an undo that left everything as it was.
AS_WAS = "left_as_was"


@dataclass(frozen=True, slots=True)
class Deed:
    """How a verb is done; `undo` and `probe` where there is something to undo and to ask for."""

    act: Callable[[Call], Awaitable[Done]]
    undo: Callable[[Call, Mapping[str, Any]], Awaitable[Done]] | None = None
    probe: Callable[[Call], Awaitable[Done | None]] | None = None


class Product(ABC, Generic[C]):
    """A configured product that is reached over HTTP; `_config` is its configuration."""

    #: What this type of connector can do; a configured one may serve less.
    MANIFEST: ClassVar[Manifest]

    def __init__(
        self,
        config: C,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._config = config
        self._http = http.client(transport, verify=config.ca_file or True)
        self._clock = clock or SystemClock()
        self._shown: set[str] = set()

    @property
    def manifest(self) -> Manifest:
        return self.MANIFEST

    @abstractmethod
    def deeds(self) -> Mapping[str, Deed]:
        """How each verb of the manifest is done."""

    @abstractmethod
    async def ping(self) -> str:
        """Ask the product something harmless that needs the rights; one sentence."""

    async def act(self, call: Call) -> Done:
        """Do it; see Connector. What remains open is told along with the proof."""
        output = await self._deed(call).act(call)
        action = self.manifest.action(call.verb)
        return output | {"residual": action.residual} if action and action.residual else output

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> Done:
        """Undo it; raises ConnectorError where that cannot be."""
        undo = self._deed(call).undo
        if undo is None:
            raise ConnectorError("invalid", f"{call.verb} cannot be undone")
        return await undo(call, proof)

    async def probe(self, call: Call) -> Done | None:
        """Ask for it; raises ConnectorError where it leaves nothing to ask for."""
        probe = self._deed(call).probe
        if probe is None:
            raise ConnectorError("invalid", f"{call.verb} leaves nothing to ask for")
        return await probe(call)

    async def check(self) -> str:
        """See Connector: every secret is there, and the product answers."""
        for name in self.manifest.secrets:
            if getattr(self._config, name):
                self.secret(getattr(self._config, name))
        # A sentence may repeat what the product said, and that what it was sent.
        return http.hidden(await self.ping(), self._shown)

    async def close(self) -> None:
        """Close idle connections."""
        await self._http.aclose()

    def secret(self, reference: str) -> str:
        """The secret a reference names, from now on hidden in errors.

        Raises ConnectorError if it is not there.
        """
        try:
            value = secret(reference)
        except ConfigError as error:
            raise ConnectorError("denied", f"{self.manifest.name}: {error}") from None
        return self.hide(value)

    def hide(self, value: str) -> str:
        """Remember a secret (also a token that was made from one) so that no error shows it."""
        if len(self._shown) > 64:
            self._shown.clear()
        self._shown.add(value)
        return value

    async def send(
        self,
        call: Call,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        content: bytes | None = None,
        accept: Collection[int] = (),
    ) -> http.Answer:
        """One request with a body as JSON, as a form, or as it is; see responders.http.send."""
        if not url.startswith("https://") and not self._config.allow_http:
            host = httpx.URL(url).host
            message = f"http to {host} is refused: use https, or set allow_http: true"
            raise ConnectorError("invalid", message)
        kind, body = _body(json, form, content)
        sent = {"accept": "application/json", "user-agent": AGENT, **kind, **(headers or {})}
        return await http.send(
            self._http, method, url, sent, call.timeout,
            body=body, params=params, accept=accept, secrets=self._shown,
        )  # fmt: skip

    def _deed(self, call: Call) -> Deed:
        deed = self.deeds().get(call.verb)
        if deed is None:
            raise ConnectorError("invalid", f"{self.manifest.name} does not serve {call.verb}")
        return deed

    def refused(self, told: object, what: str = "refused") -> ConnectorError:
        """What a product answered with success and meant as a failure."""
        said = http.hidden(str(told), self._shown)[: http.MAX_TOLD]
        return ConnectorError("invalid", f"{self.manifest.name} {what}: {said}")


def _body(
    json: Any, form: Mapping[str, str] | None, content: bytes | None
) -> tuple[dict[str, str], bytes | None]:
    if form is not None:
        encoded = str(httpx.QueryParams(dict(form))).encode()
        return {"content-type": "application/x-www-form-urlencoded"}, encoded
    if json is not None:
        return {"content-type": "application/json"}, canonical_json(json)
    return {}, content


def segment(value: object) -> str:
    """Text as one part of a URL's path, whatever it holds."""
    return quote(str(value), safe="")


def exact(target: str) -> str:
    """The address in its canonical spelling; raises ConnectorError for ranges and names."""
    try:
        return str(ip_address(target))
    except ValueError:
        message = f"'{target}' is no single address: this connector blocks no ranges"
        raise ConnectorError("invalid", message) from None


def cidr(target: str) -> str:
    """The address as the narrowest range, for products that keep ranges."""
    address = ip_address(exact(target))
    return f"{address}/{address.max_prefixlen}"


def as_was(what: str) -> Done:
    """The answer of an undo that undoes nothing: it was so before we came."""
    return {AS_WAS: f"{what} before this was asked for; it is left so"}


def alone(range_: str) -> str:
    """A range of one address as that address; any other range as it is."""
    address, _, length = range_.partition("/")
    widest = "128" if ":" in address else "32"
    return address if length == widest else range_


def dig(value: Any, *path: str | int) -> Any:
    """What stands at a path of an answer; None where any part of it is missing."""
    for part in path:
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and -len(value) <= part < len(value):
            value = value[part]
        else:
            return None
    return value


def rows(value: Any, *path: str | int) -> list[dict[str, Any]]:
    """The objects of a list in an answer; [] where there is none."""
    found = dig(value, *path) if path else value
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
