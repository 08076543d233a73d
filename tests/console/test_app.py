"""Every route: what it shows, what it refuses, and that hostile text stays text."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.console.conftest import NOW
from tocsin.clock import iso
from tocsin.console import app as module
from tocsin.console.app import allowed_hosts
from tocsin.errors import StoreUnavailable
from tocsin.stage import Batch

if TYPE_CHECKING:
    from tests.console.conftest import Site

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=y>\x1b[31m\u202e{{ 7*7 }}"


def alert(name: str = "Guessing", severity: int = 73, **changes: Any) -> dict[str, Any]:
    return {
        "@timestamp": iso(NOW),
        "message": f"{name}: 12 events",
        "rule": {"name": name},
        "event": {"severity": severity},
        "threat": {"technique": {"id": ["T1110"]}},
        "tocsin": {"alert": {"id": f"a-{name}", "count": 12, "last_seen": iso(NOW - 125_000)}},
        **changes,
    }


def lease(**changes: Any) -> dict[str, Any]:
    return {
        "state": "active",
        "verb": "firewall.block_ip",
        "target": "203.0.113.9",
        "holders": [{"run_id": "r-1"}],
        "expires": NOW + 2 * 3_600_000,
        "changed": NOW - 60_000,
        **changes,
    }


def event(kind: str, seq: int, step: str = "", **data: Any) -> dict[str, Any]:
    return {
        "run_id": "run-1",
        "seq": seq,
        "at": NOW - 9_000,
        "kind": kind,
        "step": step,
        "data": data,
    }


RUN = [
    event("started", 0, playbook="contain", version=3, mode="enforce", alert="a-Guessing"),
    event("requested", 1, "block", target="203.0.113.9"),
    event("succeeded", 2, "block"),
    event("refused", 3, "tell", reason="quiet hours"),
    event("finished", 4, outcome="completed", duration=1_500),
]


async def page(site: Site) -> str:
    answer = await site.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


async def test_an_empty_page_says_what_would_be_there(site: Site) -> None:
    text = await page(site)
    for said in ("No alert yet", "Nothing is contained", "No playbook ran", "None: every record"):
        assert said in text
    assert "dry run: nothing is contained" in text


async def test_the_page_tells_alerts_containment_runs_and_dead_letters(site: Site) -> None:
    site.mode = "enforce"
    site.documents.kinds = {
        "events": [{}] * 1234,
        "alerts": [alert()],
        "leases": [lease()],
        "runs": list(reversed(RUN)),
        "dead_letters": [
            {
                "id": "d" * 32,
                "at": NOW,
                "stage": "normalize",
                "code": "not_text",
                "origin": "raw/0/1",
            }
        ],
    }
    text = await page(site)
    for said in (
        "enforcing: containment is real",
        "1,234 events in the store",
        '<span class="pill high">high</span>',
        "2 min ago",
        "T1110",
        "203.0.113.9",
        "in 2 h",
        "contain v3",
        '<span class="pill completed">completed</span>',
        "took 1 s",
        "not_text",
    ):
        assert said in text
    assert f'<time datetime="{iso(NOW - 125_000)}"' in text


async def test_stages_are_shown_with_what_became_of_their_records(site: Site) -> None:
    batch = Batch(sent=1, filtered=Counter(no_rule=3), dead=Counter(not_text=1))
    site.metrics.batch("normalize", 5, batch)
    site.metrics.error("normalize", "log_unavailable")
    text = await page(site)
    for said in (
        "normalize",
        "<b>5</b>",
        "1 passed on",
        "3 filtered",
        "1 dead letter<",
        "1 error<",
    ):
        assert said in text


@pytest.mark.parametrize("kind", ["alerts", "leases", "runs", "dead_letters"])
async def test_hostile_text_stays_text(site: Site, kind: str) -> None:
    site.documents.kinds = {
        "alerts": [alert(HOSTILE, message=HOSTILE, threat={"technique": {"id": [HOSTILE]}})],
        "leases": [
            lease(state=HOSTILE, verb=HOSTILE, target=HOSTILE, failure={"message": HOSTILE})
        ],
        "runs": [
            event("failed", 1, HOSTILE, target=HOSTILE, failure={"message": HOSTILE}),
            event("started", 0, playbook=HOSTILE, version=HOSTILE, mode=HOSTILE),
            event("finished", 2, outcome=HOSTILE, reason=HOSTILE),
        ],
        "dead_letters": [dict.fromkeys(("id", "at", "stage", "code", "origin", "reason"), HOSTILE)],
    }
    site.documents.kinds = {kind: site.documents.kinds[kind]}
    text = await page(site)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script" not in text
    assert "<img" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "{{ 7*7 }}" in text


@pytest.mark.parametrize("odd", [{}, {"event": None}, {"tocsin": 3}, {"at": "never", "data": []}])
@pytest.mark.parametrize("kind", ["alerts", "leases", "runs", "dead_letters"])
async def test_an_odd_document_does_not_hide_the_page(site: Site, kind: str, odd: Any) -> None:
    site.documents.kinds = {kind: [odd], "events": [{}]}
    assert "1 events in the store" in await page(site)


@pytest.mark.parametrize("path", ["/", "/style.css", "/api/status", "/metrics", "/healthz"])
async def test_every_answer_forbids_scripts_framing_sniffing_and_caching(
    site: Site, path: str
) -> None:
    headers = (await site.get(path)).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "/style.css", "/api/status", "/metrics", "/healthz"])
@pytest.mark.parametrize(
    "host", ["attacker.example.com", "", "localhost.example.com", "[::2]:8790"]
)
async def test_other_host_names_are_not_answered(site: Site, path: str, host: str) -> None:
    answer = await site.get(path, host=host)
    assert answer.status_code == 400
    assert "Invalid host header" in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8790", "localhost", "LOCALHOST:1", "[::1]:8790"])
async def test_the_own_host_names_are(site: Site, host: str) -> None:
    assert (await site.get("/healthz", host=host)).status_code == 200


def test_a_console_on_another_address_answers_to_it() -> None:
    assert "192.0.2.1" in allowed_hosts("192.0.2.1")
    assert "[2001:db8::1]" in allowed_hosts("2001:db8::1")


@pytest.mark.parametrize("path", ["/", "/api/status", "/healthz", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_can_be_changed_without_a_control(site: Site, path: str, method: str) -> None:
    assert (await site.ask(method, path)).status_code == 405
    assert (await site.ask("POST", "/api/leases/release")).status_code == 404


async def test_health_is_503_while_a_stage_is_down_and_names_it(site: Site) -> None:
    well = await site.get("/healthz")
    assert (well.status_code, well.text) == (200, "ok\n")
    site.down = ["index-events (the store does not answer)"]
    ill = await site.get("/healthz")
    assert (ill.status_code, ill.text) == (503, "down: index-events (the store does not answer)\n")
    assert "Down: index-events (the store does not answer)" in await page(site)


async def test_metrics_are_prometheus_text(site: Site) -> None:
    site.metrics.batch("match", 5, Batch(sent=2, filtered=Counter(no_rule=3)))
    answer = await site.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'tocsin_received_total{stage="match"} 5.0' in answer.text
    assert 'tocsin_filtered_total{reason="no_rule",stage="match"} 3.0' in answer.text


async def test_status_is_json_without_the_bytes_of_dead_letters(site: Site) -> None:
    site.documents.kinds = {"dead_letters": [{"id": "d", "original": "AAAA"}], "events": [{}]}
    site.metrics.batch("match", 1, Batch(sent=1))
    told = (await site.get("/api/status")).json()
    assert told["dead_letters"] == [{"id": "d"}]
    assert (told["mode"], told["events"], told["store"], told["at"]) == ("dry_run", 1, "", NOW)
    assert told["stages"][0]["balanced"] is True


async def test_a_store_that_is_away_is_told_and_the_stages_stay_visible(site: Site) -> None:
    site.metrics.batch("match", 7, Batch(sent=7))
    site.documents.away = StoreUnavailable("es.example.com does not answer")
    text = await page(site)
    assert "es.example.com does not answer" in text
    assert "<b>7</b>" in text


async def test_a_store_that_hangs_does_not_hang_the_page(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)

    async def hang(kind: str, *, limit: int) -> list[dict[str, Any]]:
        await asyncio.Event().wait()
        raise AssertionError

    site.documents.list = hang  # type: ignore[method-assign]  # this shelf only
    assert "no answer within" in await page(site)


async def test_the_style_has_both_colour_schemes(site: Site) -> None:
    answer = await site.get("/style.css")
    assert answer.headers["content-type"].startswith("text/css")
    assert "prefers-color-scheme: dark" in answer.text
    assert "url(" not in answer.text
