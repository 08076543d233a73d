"""What the AWS connectors share: signed requests (Signature Version 4) and their answers.

botocore signs (extra `aws`); the request goes the way of all connectors. Keys are references;
without them the credentials of the environment, the profile or the machine's role are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from urllib.parse import urlencode
from xml.etree import ElementTree

import orjson
from pydantic import Field

from responders.product import OptionalSecret, Product, ProductConfig, Url
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    from responders.base import Call
    from responders.http import Answer
    from tocsin.clock import Clock

SECRETS = ("access_key_id", "secret_access_key", "session_token")

_FORM = "application/x-www-form-urlencoded; charset=utf-8"

# Errors that say "too often" and not "wrong", whatever their status.
_THROTTLED = ("Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests")
_DENIED = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthFailure",
           "InvalidClientTokenId", "SignatureDoesNotMatch", "UnrecognizedClientException",
           "ExpiredToken", "ExpiredTokenException")  # fmt: skip


class AwsConfig(ProductConfig):
    """`endpoint` only for something that speaks as AWS does; else the region's own."""

    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]
    access_key_id: OptionalSecret = ""
    secret_access_key: OptionalSecret = ""
    session_token: OptionalSecret = ""
    endpoint: Url | None = None


class AwsError(ConnectorError):
    """A refusal of AWS; `name` is its error code."""

    def __init__(self, name: str, message: str) -> None:
        self.name = name
        kind = "http_4xx"
        if name.startswith(_THROTTLED):
            kind = "rate_limited"
        elif name in _DENIED:
            kind = "denied"
        super().__init__(kind, f"AWS answered {name}: {message[:200]}")


A = TypeVar("A", bound=AwsConfig)


class Aws(Product[A]):
    """One service of one account and region."""

    #: The service's name in a signature and in its host.
    SERVICE: str

    def __init__(
        self,
        config: A,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(config, transport, clock)
        region = "" if self.SERVICE == "iam" else f".{config.region}"
        self._url = config.endpoint or f"https://{self.SERVICE}{region}.amazonaws.com"

    async def query(self, call: Call, action: str, version: str, **given: str) -> dict[str, Any]:
        """A call of the query protocol; the answer's XML as dicts, lists and texts."""
        body = urlencode({"Action": action, "Version": version, **given}).encode()
        answer = await self._signed(call, body, {"content-type": _FORM})
        parsed = _parsed(answer.body)
        if answer.status >= 300:
            error = _first(parsed, "Error")
            raise self._error(str(error.get("Code", "")), str(error.get("Message", "")))
        return parsed

    async def json_rpc(self, call: Call, target: str, **given: Any) -> dict[str, Any]:
        """A call of the JSON 1.1 protocol."""
        headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": target}
        answer = await self._signed(call, orjson.dumps(given), headers)
        if answer.status >= 300:
            said = answer.object()
            name = str(said.get("__type", "")).rpartition("#")[2]
            raise self._error(name, str(said.get("message") or said.get("Message") or ""))
        return answer.object()

    def _error(self, name: str, message: str) -> AwsError:
        return AwsError(name or "an unnamed error", str(self.refused(message)))

    async def _signed(self, call: Call, body: bytes, headers: Mapping[str, str]) -> Answer:
        signed = self._sign(body, headers)
        # 400 and 403 carry the name of the error, which says more than the status.
        return await self.send(
            call, "POST", f"{self._url}/", headers=signed, content=body, accept=(400, 403, 404, 409)
        )

    def _sign(self, body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        try:
            from botocore.auth import SigV4Auth
            from botocore.awsrequest import AWSRequest
        except ImportError:
            message = "the AWS connectors need the extra: pip install 'tocsin[aws]'"
            raise ConnectorError("unavailable", message) from None
        request = AWSRequest("POST", f"{self._url}/", headers=dict(headers), data=body)
        region = "us-east-1" if self.SERVICE == "iam" else self._config.region
        SigV4Auth(self._credentials(), self.SERVICE, region).add_auth(request)
        self.hide(request.headers["Authorization"])
        return dict(request.headers.items())

    def _credentials(self) -> Any:
        from botocore.credentials import Credentials
        from botocore.session import Session

        key, hidden = self._config.access_key_id, self._config.secret_access_key
        if not key or not hidden:
            found = Session().get_credentials()
            if found is None:
                message = "no AWS credentials: set access_key_id and secret_access_key"
                raise ConnectorError("denied", message)
            frozen = found.get_frozen_credentials()
            for value in (frozen.secret_key, frozen.token or ""):
                self.hide(value)
            return frozen
        token = self._config.session_token
        return Credentials(
            self.secret(key), self.secret(hidden), self.secret(token) if token else None
        )


def items(value: Any) -> list[dict[str, Any]]:
    """The members of a list of the query protocol ("item" in EC2, "member" in IAM)."""
    found = (value.get("item") or value.get("member") or []) if isinstance(value, dict) else []
    found = found if isinstance(found, list) else [found]
    return [each for each in found if isinstance(each, dict)]


def _parsed(data: bytes) -> dict[str, Any]:
    """XML without its namespaces; {} where it is none.

    A document type is refused, so no entity can grow; the size is bounded by the reader.
    """
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        return {}
    try:
        root = ElementTree.fromstring(data)  # noqa: S314
    except ElementTree.ParseError:
        return {}
    tree = _tree(root)
    return tree if isinstance(tree, dict) else {}


def _tree(element: ElementTree.Element) -> Any:
    if not len(element):
        return (element.text or "").strip()
    found: dict[str, Any] = {}
    for child in element:
        name, value = child.tag.rpartition("}")[2], _tree(child)
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def _first(value: Any, name: str) -> dict[str, Any]:
    """The first object of that name, however deep (error documents differ)."""
    if isinstance(value, dict):
        if isinstance(value.get(name), dict):
            return dict(value[name])
        for each in value.values():
            if found := _first(each, name):
                return found
    return {}
