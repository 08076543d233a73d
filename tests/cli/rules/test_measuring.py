"""`tocsin rules coverage | backtest | exceptions`: on files, and on the log beside its writer."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ingest.normalize import NormalizeStage
from tests.cli.rules.conftest import BACKUP, ROOT_SHELL, Place, shell_rule, sudo_line
from tocsin.clock import SystemClock, parse_iso
from tocsin.contracts import Topics, raw_record
from tocsin.log.base import Outgoing, Record, Topic
from tocsin.log.sqlite import SqliteLog
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., Any]

COUNTED = {
    "title": "Several root shells",
    "id": "00000000-0000-4000-8000-00000000c001",
    "level": "critical",
    "tags": ["attack.t1548"],
    "correlation": {
        "type": "event_count",
        "rules": ["root_shell"],
        "group-by": ["host.name"],
        "timespan": "5m",
        "condition": {"gte": 3},
        "generate": True,
    },
}
LINES = [
    *(sudo_line("/bin/sh", minute) for minute in range(4)),
    sudo_line("/bin/sh", 5, user="backup"),
    sudo_line("/bin/ls", 6),
    sudo_line("/bin/sh", 7, day=6),
]


@pytest.fixture
def log(site: Place) -> Path:
    site.write(shell_rule(), COUNTED, BACKUP)
    return site.log(*LINES, '{"cut": "off')


def test_backtest_tells_hits_alerts_exceptions_and_entities(
    run: Run, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("backtest", log, "--json")
    assert ran.code == 0
    rows = {row["id"]: row for row in ran.rows()}
    shell = rows[ROOT_SHELL]
    assert shell["hits"] == 5
    assert shell["excepted"] == {"Not the backup": 1}
    assert shell["alerts"] == sum(shell["alerts_by_day"].values()) == 2
    assert len(shell["alerts_by_day"]) == 2
    assert shell["alerts_per_day"] == 1.0
    assert shell["entities"]["web-1"] == 5
    assert shell["candidates"] >= 5
    assert shell["us_per_event"] > 0
    assert rows[COUNTED["id"]]["alerts"] == 1
    assert rows[COUNTED["id"]]["hits"] == 0
    assert "7 events of" in ran.err
    assert "5 hits, 3 alerts (1.5 for each day that has events)" in ran.err
    assert "auth.log:8: json" in ran.err
    monkeypatch.setenv("COLUMNS", "200")
    assert "Shell as root" in run("backtest", log).out


def test_backtest_of_one_rule(run: Run, log: Path) -> None:
    ran = run("backtest", log, "--json", "--rule", "root_shell")
    assert [row["id"] for row in ran.rows()] == [ROOT_SHELL]
    assert run("backtest", log, "--rule", "nobody").code == 2


def test_backtest_of_directories_gzip_and_wrapped_events(run: Run, site: Place, log: Path) -> None:
    folder = site.directory / "logs"
    folder.mkdir()
    wrapped = [orjson.dumps({"log": line}) for line in LINES]
    (folder / "a.ndjson.gz").write_bytes(gzip.compress(b"\n".join(wrapped)))
    ran = run("backtest", folder, "--input-field", "log", "--json")
    assert {row["id"]: row["hits"] for row in ran.rows()}[ROOT_SHELL] == 5


def test_exceptions_tell_what_they_take_away(run: Run, log: Path) -> None:
    (row,) = run("exceptions", "--json").rows()
    assert row["title"] == "Not the backup"
    assert row["rule_id"] == ROOT_SHELL
    assert "taken" not in row
    (row,) = run("exceptions", log, "--json").rows()
    assert (row["taken"], row["left"]) == (1, 5)
    ran = run("exceptions", log)
    assert "1 exceptions, 1 rules, 7 events" in ran.err


def test_an_exception_that_applies_to_nothing_is_listed(run: Run, site: Place) -> None:
    site.write(shell_rule(), {**BACKUP, "logsource": {"product": "windows"}})
    (row,) = run("exceptions", "--json").rows()
    assert row["rule"] == "(no rule)"


def test_coverage_without_events_counts_rules(run: Run, log: Path, site: Place) -> None:
    layer_file = site.directory / "layer.json"
    ran = run("coverage", "--json", "--layer", layer_file)
    assert ran.code == 0
    sudo = next(row for row in ran.rows() if row["logsource"] == "product=linux service=sudo")
    assert (sudo["rules"], sudo["alerting"], sudo["events"]) == (1, 1, None)
    layer = orjson.loads(layer_file.read_bytes())
    scores = {each["techniqueID"]: each["score"] for each in layer["techniques"]}
    assert scores == {"T1548": 1, "T1548.003": 1}
    assert layer["domain"] == "enterprise-attack"
    assert layer["versions"]["layer"] == "4.5"
    parent = next(each for each in layer["techniques"] if each["techniqueID"] == "T1548")
    assert parent["showSubtechniques"] is True
    assert "Several root shells (critical)" in parent["comment"]


def test_coverage_with_events_counts_what_is_fed(run: Run, site: Place) -> None:
    web = shell_rule(
        id="00000000-0000-4000-8000-000000000002",
        name="web",
        tags=["attack.t1190"],
        logsource={"category": "webserver"},
    )
    site.write(shell_rule(), COUNTED, web)
    log = site.log(*LINES)
    ran = run("coverage", log, "--layer", "-")
    layer = orjson.loads(ran.out)
    scores = {each["techniqueID"]: each["score"] for each in layer["techniques"]}
    assert scores == {"T1190": 0, "T1548": 1, "T1548.003": 1}
    assert "3 techniques, 2 of them by rules with events" in ran.err
    rows = {row["logsource"]: row for row in run("coverage", log, "--json").rows()}
    assert rows["product=linux service=sudo"]["events"] == 7
    assert rows["category=webserver"]["events"] == 0
    assert "events" in run("coverage", log).out


def stored(site: Place, *lines: str) -> None:
    """The embedded log with the events of these lines, as the pipeline writes it."""
    raw = [raw_record(line.encode(), source="web-1", received=NOW) for line in lines]
    records = [
        Record(Topics.RAW, 0, n, None, r.value, r.headers, r.timestamp) for n, r in enumerate(raw)
    ]
    outputs = NormalizeStage().process(records, KeyedState(), NOW).outputs
    asyncio.run(append(site, [o for o in outputs if o.topic == Topics.EVENTS]))


async def append(site: Place, events: list[Outgoing]) -> None:
    log = SqliteLog(site.directory / "data" / "log.sqlite", clock=SystemClock())
    await log.start()
    await log.create([Topic(Topics.EVENTS, partitions=2)])
    await log.append(events)
    await log.close()


NOW = parse_iso("2026-01-07T00:00:00Z")


def test_the_log_is_read_while_a_process_has_it(run: Run, site: Place) -> None:
    site.write(shell_rule(), BACKUP)
    stored(site, *LINES)

    async def beside_a_writer() -> list[Any]:
        held = SqliteLog(site.directory / "data" / "log.sqlite", clock=SystemClock())
        await held.start()
        try:
            return [run("backtest", "--json"), run("exceptions", "--log", "--json")]
        finally:
            await held.close()

    tested, excepted = asyncio.run(beside_a_writer())
    assert {row["id"]: row["hits"] for row in tested.rows()} == {ROOT_SHELL: 5}
    assert [(row["taken"], row["left"]) for row in excepted.rows()] == [(1, 5)]
    assert run("backtest", "--since", "1h", "--json").rows() == []
    assert run("backtest", "--since", "soon").code == 2


def test_a_log_that_is_not_there_is_said(run: Run) -> None:
    ran = run("backtest")
    assert ran.code == 3
    assert "the first `tocsin run` makes it" in ran.err
