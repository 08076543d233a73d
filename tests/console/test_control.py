"""Who may ask a running pipeline for something, and in what form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import Field

from tocsin.console.control import MAX_REQUEST, Asked, Control, Operation
from tocsin.errors import ConfigError, LogUnavailable

if TYPE_CHECKING:
    import httpx

    from tests.console.conftest import Site

TOKEN = "a-token-of-this-test"  # noqa: S105  (guards nothing)
PATH = "/api/bell/ring"
GOOD = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


class Ring(Asked):
    times: Annotated[int, Field(le=3)] = 1


class Bell:
    def __init__(self) -> None:
        self.rung = 0
        self.error: Exception | None = None

    async def ring(self, asked: Ring) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.rung += asked.times
        return {"rung": self.rung}


@pytest.fixture
def bell() -> Bell:
    return Bell()


async def post(site: Site, bell: Bell, body: bytes = b"{}", **options: Any) -> httpx.Response:
    headers = GOOD | options.pop("headers", {})
    control = Control(TOKEN, {"bell/ring": Operation(Ring, bell.ring)})
    kept = {name: value for name, value in headers.items() if value is not None}
    return await site.ask("POST", PATH, control=control, content=body, headers=kept, **options)


async def test_who_has_the_token_is_answered(site: Site, bell: Bell) -> None:
    answer = await post(site, bell, b'{"times": 2}')
    assert (answer.status_code, answer.json()) == (200, {"rung": 2})


@pytest.mark.parametrize(
    ("headers", "status", "told"),
    [
        ({"Authorization": None}, 401, "token"),
        ({"Authorization": "Bearer "}, 401, "token"),
        ({"Authorization": f"Bearer {TOKEN}x"}, 401, "token"),
        ({"Authorization": f"Basic {TOKEN}"}, 401, "token"),
        ({"Authorization": "Bearer \xff"}, 401, "token"),
        ({"Origin": "http://attacker.example.com"}, 403, "web pages"),
        ({"Origin": "http://127.0.0.1:8790"}, 403, "web pages"),
        ({"Origin": "null"}, 403, "web pages"),
        ({"Host": "attacker.example.com"}, 400, ""),
        ({"Content-Type": "text/plain"}, 415, "application/json"),
        ({"Content-Type": None}, 415, "application/json"),
    ],
)
async def test_others_are_refused_and_nothing_happens(
    site: Site, bell: Bell, headers: dict[str, str | None], status: int, told: str
) -> None:
    encoded = {k: v.encode("latin-1") if v else None for k, v in headers.items()}
    answer = await post(site, bell, headers=encoded)
    assert answer.status_code == status
    assert told in answer.text
    assert TOKEN not in answer.text
    assert bell.rung == 0


@pytest.mark.parametrize("client", [("192.0.2.9", 4_000), ("2001:db8::1", 4_000)])
async def test_another_machine_is_refused_even_with_the_token(
    site: Site, bell: Bell, client: tuple[str, int]
) -> None:
    assert (await post(site, bell, client=client)).status_code == 403
    assert bell.rung == 0


async def test_a_forwarded_address_is_not_believed(site: Site, bell: Bell) -> None:
    headers = {"X-Forwarded-For": "127.0.0.1"}
    answer = await post(site, bell, headers=headers, client=("192.0.2.9", 4_000))
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "Invalid JSON"),
        (b"[]", "object"),
        (b'{"times": "many"}', "times: "),
        (b'{"times": 9}', "times: "),
        (b'{"loudly": true}', "loudly: "),
        (b"\xff", "Invalid JSON"),
        (b"[" * 10_000, "Invalid JSON"),
    ],
)
async def test_a_body_that_is_no_request_is_400_and_says_where(
    site: Site, bell: Bell, body: bytes, told: str
) -> None:
    answer = await post(site, bell, body)
    assert answer.status_code == 400
    assert told in answer.json()["error"]
    assert bell.rung == 0


async def test_a_body_is_read_no_further_than_its_limit(site: Site, bell: Bell) -> None:
    taken = 0

    async def endless() -> Any:
        nonlocal taken
        while taken < MAX_REQUEST * 100:
            taken += 1024
            yield b" " * 1024

    control = Control(TOKEN, {"bell/ring": Operation(Ring, bell.ring)})
    answer = await site.ask("POST", PATH, control=control, content=endless(), headers=GOOD)
    assert answer.status_code == 413
    assert taken <= MAX_REQUEST + 2048


@pytest.mark.parametrize(
    ("error", "status"),
    [(ConfigError("there is no bell"), 422), (LogUnavailable("the disk is full"), 503)],
)
async def test_what_could_not_be_done_is_told(
    site: Site, bell: Bell, error: Exception, status: int
) -> None:
    bell.error = error
    answer = await post(site, bell)
    assert (answer.status_code, answer.json()) == (status, {"error": str(error)})


async def test_only_post_asks(site: Site, bell: Bell) -> None:
    control = Control(TOKEN, {"bell/ring": Operation(Ring, bell.ring)})
    assert (await site.ask("GET", PATH, control=control, headers=GOOD)).status_code == 405


def test_a_control_without_a_token_is_refused() -> None:
    with pytest.raises(ValueError, match="open to everyone"):
        Control("", {})
