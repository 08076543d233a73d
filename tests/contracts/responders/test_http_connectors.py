"""What every connector of a web API must survive: one suite, through httpx's transport seam.

A connector joins by a line in CASES: how it is made on a transport, a call, and a good answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from responders.base import Call
from responders.http import MAX_ANSWER, MAX_RETRY_AFTER, retry_after
from responders.webhook import CONTAIN, NOTIFY, Webhook, WebhookConfig, signature
from tocsin.errors import ConnectorError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from responders.base import Connector

CANARY = "canary-secret-value"


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[httpx.AsyncBaseTransport], Connector]
    call: Call
    refusal: dict[str, Any]
    good: dict[str, Any]
    undo: bool = False


def webhook(transport: httpx.AsyncBaseTransport) -> Connector:
    config = WebhookConfig(
        channels={"default": "https://chat.example.com/hook/canary-path"},
        containment="https://fw.example.com/v1",
        secret="env:WEBHOOK_SECRET",  # noqa: S106
    )
    return Webhook(config, transport)


NOTICE = Call(NOTIFY, "default", {"message": "hello", "data": {}}, "effect-1", 500)
BLOCK = Call(CONTAIN, "203.0.113.66", {"entity": "203.0.113.66"}, "effect-1", 500)
CASES = (
    Case("webhook-notify", webhook, NOTICE, {"ok": False, "error": "no_such"}, {"ok": True}),
    Case("webhook-contain", webhook, BLOCK, {"error": "full"}, {"ok": True}),
    Case("webhook-undo", webhook, BLOCK, {"error": "full"}, {"ok": True}, undo=True),
)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRET", CANARY)


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


class Answering(httpx.AsyncBaseTransport):
    """Answers each request with what `answer` makes, and remembers them."""

    def __init__(self, answer: Callable[[httpx.Request], httpx.Response]) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)


async def ask(case: Case, answer: Callable[[httpx.Request], httpx.Response]) -> dict[str, Any]:
    connector = case.make(Answering(answer))
    try:
        async with asyncio.timeout(5):
            if case.undo:
                return await connector.undo(case.call, {"key": "effect-1"})
            return await connector.act(case.call)
    finally:
        await connector.close()


async def refused(case: Case, answer: Callable[[httpx.Request], httpx.Response]) -> ConnectorError:
    with pytest.raises(ConnectorError) as caught:
        await ask(case, answer)
    assert CANARY not in str(caught.value)
    assert "canary-path" not in str(caught.value)
    return caught.value


def answers(status: int, **given: Any) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(status, request=request, **given)


def raises(error: Exception) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


async def test_success(case: Case) -> None:
    output = await ask(case, answers(200, json=case.good))
    assert output["answer"] == case.good


@pytest.mark.parametrize("status", [401, 403])
async def test_not_permitted(case: Case, status: int) -> None:
    error = await refused(case, answers(status))
    assert (error.kind, error.after_send) == ("denied", False)


async def test_not_found(case: Case) -> None:
    if case.undo:
        assert (await ask(case, answers(404)))["was"] == "not held"
    else:
        error = await refused(case, answers(404))
        assert (error.kind, error.after_send) == ("http_4xx", False)


async def test_rate_limited_with_a_pause(case: Case) -> None:
    error = await refused(case, answers(429, headers={"Retry-After": "7"}))
    assert (error.kind, error.retry_after, error.after_send) == ("rate_limited", 7000, False)


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_server_errors_may_have_acted(case: Case, status: int) -> None:
    error = await refused(case, answers(status))
    assert (error.kind, error.after_send) == ("http_5xx", True)


async def test_a_hang(case: Case) -> None:
    error = await refused(case, raises(httpx.ReadTimeout("too long")))
    assert (error.kind, error.after_send) == ("timeout", True)


@pytest.mark.parametrize(
    "dropped",
    [httpx.RemoteProtocolError("closed"), httpx.ReadError("reset"), httpx.WriteError("pipe")],
    ids=lambda error: type(error).__name__,
)
async def test_a_connection_dropped_after_the_act(case: Case, dropped: Exception) -> None:
    error = await refused(case, raises(dropped))
    assert (error.kind, error.after_send) == ("unavailable", True)


@pytest.mark.parametrize(
    "unmade",
    [httpx.ConnectError("refused"), httpx.ConnectTimeout("slow"), httpx.PoolTimeout("full")],
    ids=lambda error: type(error).__name__,
)
async def test_a_connection_that_was_never_made(case: Case, unmade: Exception) -> None:
    error = await refused(case, raises(unmade))
    assert (error.kind, error.after_send) == ("unavailable", False)


async def test_success_with_an_error_in_the_body(case: Case) -> None:
    error = await refused(case, answers(200, json=case.refusal))
    assert error.kind == "invalid"


async def test_an_oversized_answer(case: Case) -> None:
    read = 0

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal read
            while True:
                read += 16_384
                yield b"x" * 16_384

    error = await refused(case, answers(200, stream=Endless()))
    assert (error.kind, error.after_send) == ("oversized", True)
    assert read < MAX_ANSWER + 100_000


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_refused_and_not_followed(case: Case, status: int) -> None:
    transport = Answering(answers(status, headers={"Location": "http://169.254.169.254/"}))
    connector = case.make(transport)
    asking = connector.undo(case.call, {}) if case.undo else connector.act(case.call)
    with pytest.raises(ConnectorError) as caught:
        await asking
    assert caught.value.kind == "redirect"
    assert len(transport.requests) == 1
    await connector.close()


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"not json", b"\xff\xfe"])
async def test_an_answer_that_is_no_object_is_no_error(case: Case, body: bytes) -> None:
    assert (await ask(case, answers(200, content=body)))["answer"] == {}


async def test_every_attempt_has_the_same_key_and_a_signature_that_verifies(case: Case) -> None:
    transport = Answering(answers(200, json=case.good))
    connector = case.make(transport)
    for _ in range(2):
        if case.undo:
            await connector.undo(case.call, {})
        else:
            await connector.act(case.call)
    await connector.close()
    assert {request.headers["idempotency-key"] for request in transport.requests} == {"effect-1"}
    for request in transport.requests:
        sent = request.headers["x-tocsin-signature"]
        at = int(sent.partition(",")[0].removeprefix("t="))
        assert sent == signature(CANARY.encode(), request.content, at)
        assert sent != signature(b"another", request.content, at)


def test_a_signature_is_what_a_receiver_computes() -> None:
    """HMAC-SHA256 of "1700000000.{}" under "key", computed with openssl dgst -hmac."""
    assert signature(b"key", b"{}", 1_700_000_000) == (
        "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
    )


@pytest.mark.parametrize(
    ("value", "pause"),
    [
        ("7", 7000), (" 7 ", 7000), ("0", 0), ("", None), ("soon", None), ("-1", None),
        ("99999999999999999999", MAX_RETRY_AFTER), ("１", None),  # noqa: RUF001
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90_000), ("Thu, 01 Jan 1970 00:00:01 GMT", 0),
    ],
)  # fmt: skip
def test_retry_after(value: str, pause: int | None) -> None:
    assert retry_after(value, 10.0) == pause


async def test_plain_http_is_refused_unless_allowed() -> None:
    config = WebhookConfig(channels={"default": "http://chat.example.com/"},
                           secret="env:WEBHOOK_SECRET")  # noqa: S106  # fmt: skip
    transport = Answering(answers(200))
    with pytest.raises(ConnectorError, match="allow_http"):
        await Webhook(config, transport).act(NOTICE)
    assert not transport.requests


async def test_an_unknown_channel_names_those_there_are() -> None:
    transport = Answering(answers(200))
    unknown = Call(NOTIFY, "soc", {"message": "hello"}, "k", 500)
    with pytest.raises(ConnectorError, match="configured: default"):
        await webhook(transport).act(unknown)
    assert not transport.requests


async def test_a_missing_secret_is_told_at_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WEBHOOK_SECRET")
    with pytest.raises(ConnectorError, match="WEBHOOK_SECRET"):
        await webhook(Answering(answers(200))).check()


@pytest.mark.parametrize("url", ["ftp://a/", "https:///x", "https://user:pw@a/", "a", "file:///x"])
def test_a_url_that_is_none_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="write http"):
        WebhookConfig(channels={"default": url}, secret="env:X")  # noqa: S106
