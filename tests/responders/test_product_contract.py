"""What every connector of a web API must survive, on a server that acts before it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from playbooks.act_calls import invoke
from playbooks.act_model import Invocation
from responders.base import Action, ActionClass, Idempotence, Listing
from responders.catalog import KINDS
from responders.product import ALREADY
from tests.responders.vendors.cases import CASES, Case, okta
from tests.responders.vendors.identity import OktaVendor
from tests.responders.vendors.server import Vendor
from tocsin.errors import ConnectorError

Mount = Callable[[Vendor], str]
Ended = dict[str, Any] | ConnectorError


async def tried(case: Case, vendor: Vendor, url: str, timeout: int = 10_000) -> Ended:
    """One call by a connector of its own: what it answered or raised."""
    connector = case.make(url)
    try:
        async with asyncio.timeout(30):
            return await connector.act(case.call(timeout))
    except ConnectorError as error:
        return error
    finally:
        vendor.released.set()
        await connector.close()


async def struck(
    mount: Mount, fault: str, timeout: int = 10_000
) -> list[tuple[Case, Vendor, Ended]]:
    """Every action while each request that acts suffers the fault."""

    async def one(case: Case) -> tuple[Case, Vendor, Ended]:
        vendor = case.vendor()
        vendor.arm(fault, case.on, case.refusal)
        return case, vendor, await tried(case, vendor, mount(vendor), timeout)

    wanted = [case for case in CASES if fault != "refusal" or case.refusal is not None]
    if fault == "hang":
        return list(await asyncio.gather(*map(one, wanted)))
    return [await one(case) for case in wanted]


def told(case: Case, ended: Ended) -> tuple[str, str, bool, int | None]:
    assert isinstance(ended, ConnectorError), f"{case.name} answered {ended}"
    for secret in ("canary", "hidden-signature"):
        assert secret not in str(ended), f"{case.name} tells a secret: {ended}"
    return case.name, ended.kind, ended.after_send, ended.retry_after


def promised(case: Case, action: Action, output: dict[str, Any]) -> None:
    """What the manifest says of the answer is there, and of that type or None."""
    assert action.outputs or action.action_class is not ActionClass.READ or case.verb == "http.read"
    for name, kind in action.outputs.items():
        assert name in output, f"{case.name}: {case.verb} answers without {name}"
        assert isinstance(output[name], kind | None), f"{case.name}: {name} is {output[name]!r}"


async def test_success_undo_and_probe(mount: Mount, caplog: pytest.LogCaptureFixture) -> None:
    """Done once however often, there when asked, gone after the undo, and again."""
    caplog.set_level(logging.DEBUG)
    for case in CASES:
        vendor = case.vendor()
        connector = case.make(mount(vendor))
        action = connector.manifest.action(case.verb)
        assert action is not None, case.name
        contains = action.action_class is ActionClass.CONTAIN
        if contains:
            assert await connector.probe(case.call()) is None, case.name
        outputs = [await connector.act(case.call())]
        outputs.append(await connector.act(case.call()))
        promised(case, action, outputs[0])
        if case.effects is not None and not case.asked_first:
            assert vendor.effects == case.effects, case.name
        if contains:
            assert await connector.probe(case.call()) is not None, case.name
            if isinstance(connector, Listing):
                assert case.target in await connector.held(case.verb, 5_000), case.name
            for _ in range(2):
                outputs.append(await connector.undo(case.call(), outputs[0]))
                assert await connector.probe(case.call()) is None, case.name
            if isinstance(connector, Listing):
                assert case.target not in await connector.held(case.verb, 5_000), case.name
        assert "canary" not in await connector.check(), case.name
        written = orjson.dumps(outputs).decode()
        assert "canary" not in written, case.name
        for request in vendor.requests:
            assert "canary" not in f"{request.path} {request.query}", case.name
        await connector.close()
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("fault", "kind", "after_send", "pause"),
    [
        ("401", "denied", False, None),
        ("403", "denied", False, None),
        ("429", "rate_limited", False, 7000),
        ("500", "http_5xx", True, None),
        ("302", "redirect", False, None),
        ("oversized", "oversized", True, None),
        ("drop", "unavailable", True, None),
    ],
)
async def test_faults(
    mount: Mount, fault: str, kind: str, after_send: bool, pause: int | None
) -> None:
    for case, _, ended in await struck(mount, fault):
        assert told(case, ended) == (case.name, kind, after_send, pause)


async def test_a_hang(mount: Mount) -> None:
    for case, _, ended in await struck(mount, "hang", 1_500):
        assert told(case, ended) == (case.name, "timeout", True, None)


async def test_not_found(mount: Mount) -> None:
    """Never mistaken for success of an act; for a question it is an answer."""
    for case, vendor, ended in await struck(mount, "404"):
        if isinstance(ended, ConnectorError):
            assert told(case, ended)[1] in ("http_4xx", "invalid", "internal")
        else:
            assert vendor.effects == 0, case.name
            action = case.make("https://192.0.2.1").manifest.action(case.verb)
            assert action is not None, case.name
            promised(case, action, ended)


async def test_success_that_is_a_refusal(mount: Mount) -> None:
    for case, _, ended in await struck(mount, "refusal"):
        assert told(case, ended)[1] in ("invalid", "denied", "rate_limited"), case.name


async def test_repeating_after_a_drop_acts_once(mount: Mount) -> None:
    for case in CASES:
        if case.effects is None:
            continue
        vendor = case.vendor()
        url = mount(vendor)
        vendor.arm("drop", case.on)
        assert isinstance(await tried(case, vendor, url), ConnectorError), case.name
        vendor.arm("")
        connector = case.make(url)
        action = connector.manifest.action(case.verb)
        asks = action is not None and action.idempotence is Idempotence.PROBE
        if await _held(case, connector.probe, asks=asks) is None:
            await connector.act(case.call())
        await connector.close()
        assert vendor.effects == case.effects, case.name


async def _held(case: Case, probe: Callable[..., Awaitable[Any]], *, asks: bool) -> Any:
    """As the engine does after a crash: an action that is no natural one is asked for first."""
    return await probe(case.call()) if asks else None


async def test_what_was_so_before_stays_so_after_the_undo(mount: Mount) -> None:
    for case in CASES:
        vendor = case.vendor()
        connector = case.make(mount(vendor))
        action = connector.manifest.action(case.verb)
        assert action is not None
        if action.action_class is ActionClass.CONTAIN:
            await connector.act(case.call(key="somebody"))
            proof = await connector.act(case.call())
            if proof.get(ALREADY):
                assert "left_as_was" in await connector.undo(case.call(), proof), case.name
                assert await connector.probe(case.call()) is not None, case.name
        await connector.close()


async def test_every_connector_of_a_web_api_is_among_the_cases(mount: Mount) -> None:
    """Its own tests have the rest: AWS (moto), DNS, mail, SSH, nftables, files, the webhook."""
    elsewhere = {"aws_iam", "aws_instance", "aws_nacl", "aws_waf", "dns", "geoip", "inventory",
                 "isolation", "nftables", "report", "smtp", "ssh", "webhook"}  # fmt: skip
    tried_here = set()
    for case in CASES:
        connector = case.make(mount(case.vendor()))
        tried_here.add(connector.manifest.name)
        await connector.close()
    assert tried_here | elsewhere == set(KINDS)
    assert not tried_here & elsewhere


async def test_an_undo_that_leaves_what_was_is_no_failure_of_the_engine(mount: Mount) -> None:
    """Somebody suspended the account before: it stays so, and nobody is alarmed about it."""
    vendor = OktaVendor("SUSPENDED")
    connector = okta(mount(vendor))
    call = next(case for case in CASES if case.name == "okta-suspend").call()
    proof = await connector.act(call)
    invocation = Invocation("okta", call, Idempotence.NATURAL, 0, undo=True, proof=proof)
    outcome = await invoke(connector, invocation)
    assert outcome.failure is None
    assert outcome.output["verified"] is False
    assert vendor.status == "SUSPENDED"
    await connector.close()
