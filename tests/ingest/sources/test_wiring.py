"""From tocsin.yaml to events: the pipeline with listeners, its metrics, and what doctor says."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import yaml
from prometheus_client import generate_latest

from ingest.sources.listening import Listening
from tests.ingest.sources.collected import until
from tests.ingest.sources.memory_log import MemoryLog
from tocsin.cli.main import main
from tocsin.cli.pipeline import Pipeline
from tocsin.cli.sources import build_sources
from tocsin.cli.topics import values
from tocsin.clock import SystemClock
from tocsin.config import load
from tocsin.contracts import Topics
from tocsin.errors import ConfigError

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(autouse=True)
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEC_TOKEN", "t0ken")
    monkeypatch.delenv("TOCSIN_CONFIG", raising=False)


def config(directory: Path, sources: list[dict[str, Any]], **more: Any) -> Path:
    path = directory / "tocsin.yaml"
    content = {"data_dir": "data", "sources": sources, "console": {"enabled": False}, **more}
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


def built(directory: Path, *sources: dict[str, Any]) -> list[Any]:
    settings = load(config(directory, list(sources)))
    return build_sources(settings.sources, MemoryLog(), SystemClock())


def test_the_example_of_the_page_is_a_configuration(tmp_path: Path) -> None:
    examples = re.findall(r"```yaml\n(.*?)```", (DOCS / "sources.md").read_text(), re.DOTALL)
    for example, count in zip(examples, (1, 5, 2), strict=True):
        (tmp_path / "tocsin.yaml").write_text(example)
        assert len(load(tmp_path / "tocsin.yaml").sources) == count


@pytest.mark.parametrize("path", sorted((DOCS.parent / "deploy" / "senders").glob("*.y*ml")))
def test_the_senders_examples_are_yaml_and_hold_no_secret(path: Path) -> None:
    text = path.read_text("utf-8")
    assert isinstance(yaml.safe_load(text), dict)
    assert "tocsin.example.com:8088" in text.replace("\n      port: ", ":")
    assert "${" in text, "no reference to a secret"


def test_every_type_has_its_worker(tmp_path: Path) -> None:
    sources = built(
        tmp_path,
        {"path": "a.log"},
        {"type": "syslog"},
        {"type": "syslog", "transport": "udp", "host": "::1"},
        {"type": "http", "tokens": ["env:HEC_TOKEN"]},
        {"type": "kafka", "topic": "beats"},
    )
    assert [source.name for source in sources] == [
        f"file {tmp_path / 'a.log'}",
        "syslog tcp 127.0.0.1:5514",
        "syslog udp [::1]:5514",
        "http 127.0.0.1:8088",
        "kafka beats",
    ]
    first, second = (s for s in sources if s.name.startswith("syslog"))
    assert first._ids.next() != second._ids.next(), "two sources gave one identity"


def test_the_mistakes_of_all_sources_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        built(
            tmp_path,
            {"type": "http", "tokens": ["env:NOT_SET_ANYWHERE"]},
            {"path": "a.log"},
            {"type": "syslog", "tls": {"certificate_file": "missing.pem"}},
            {"type": "kafka", "topic": "x", "security": {"protocol": "SASL_SSL", "password": "x"}},
            {"path": "a.log"},
        )
    told = str(caught.value)
    assert "sources.0: the environment variable NOT_SET_ANYWHERE is not set" in told
    assert f"sources.2: sources: the TLS files {tmp_path / 'missing.pem'}" in told
    assert "sources.3: a secret must be a reference" in told
    assert f"file {tmp_path / 'a.log'} stands there twice" in told


SSHD = (
    "<38>1 2026-11-22T10:00:0{}Z web-1 sshd 4242 - - "
    "Failed password for root from 192.0.2.7 port 4000{} ssh2"
)


async def address_of(source: Listening) -> tuple[str, int]:
    await source.listening.wait()
    assert source.address is not None
    return source.address


async def test_from_the_wire_to_events(tmp_path: Path) -> None:
    settings = load(
        config(
            tmp_path,
            [
                {"type": "syslog", "port": 0, "source": "dmz", "tenant": "acme"},
                {"type": "syslog", "port": 0, "transport": "udp"},
                {"type": "http", "port": 0, "tokens": ["env:HEC_TOKEN"]},
                {"path": "app.log", "follow": False},
            ],
        )
    )
    (tmp_path / "app.log").write_text(SSHD.format(0, 0) + "\n")
    pipeline = Pipeline(settings, stages=("collect", "normalize"))
    async with pipeline:
        running = asyncio.create_task(pipeline.run())
        tcp, udp, http = [
            await address_of(source) for source in pipeline.sources if isinstance(source, Listening)
        ]
        _, writer = await asyncio.open_connection(*tcp)
        writer.write(SSHD.format(1, 1).encode() + b"\n")
        writer.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(SSHD.format(2, 2).encode(), udp)
        url = "http://{}:{}".format(*http)
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as client:
            headers = {"Authorization": "Splunk t0ken"}
            envelope = {"event": SSHD.format(3, 3), "host": "hec-host", "sourcetype": "linux"}
            answer = await client.post("/services/collector", json=envelope, headers=headers)
            assert answer.status_code == 200
            assert (await client.post("/ingest", content=b"x")).status_code == 401
        await until(lambda: all(source.account.appended for source in pipeline.sources))
        assert await pipeline.settle(30)
        found = [orjson.loads(value) async for value in values(pipeline.log, Topics.EVENTS)]
        metrics = generate_latest(pipeline.metrics.registry).decode()
        pipeline.stop()
        await running
    assert sorted(event["source"]["port"] for event in found) == [40000, 40001, 40002, 40003]
    by_source = {event["tocsin"]["source"]: event["tocsin"]["tenant"] for event in found}
    assert by_source == {
        "dmz": "acme",
        "syslog": "default",
        "http": "default",
        str(tmp_path / "app.log"): "default",
    }
    for line in (
        'tocsin_source_received_total{source="syslog tcp 127.0.0.1:0"} 1.0',
        'tocsin_source_appended_total{source="http 127.0.0.1:0"} 1.0',
        'tocsin_source_refused_total{code="unauthorized",source="http 127.0.0.1:0"} 1.0',
        'tocsin_source_connections{source="syslog tcp 127.0.0.1:0"} 0.0',
    ):
        assert line in metrics
    for source in pipeline.sources:
        assert source.account.waiting == 0, source.name


def test_doctor_looks_at_every_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.log").write_text("x\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        sources: list[dict[str, Any]] = [
            {"path": "*.log", "formats": ["nginx", "web.acess"]},
            {"type": "syslog", "port": 0, "formats": ["cef", "web.access"]},
            {"type": "syslog", "port": taken.getsockname()[1]},
            {"type": "http", "tokens": ["env:NOT_SET_ANYWHERE"]},
        ]
        with pytest.raises(SystemExit) as stopped:
            main(["doctor", "-c", str(config(tmp_path, sources))])
    assert stopped.value.code == 1
    told = capsys.readouterr().out
    assert f"ok   source file {tmp_path / '*.log'}: 1 files" in told
    assert "ok   source syslog tcp 127.0.0.1:0: can listen; reached by this machine" in told
    wrong = "neither a format nor a dataset: web.acess; did you mean web.access?"
    assert f"ILL  source file {tmp_path / '*.log'}: {wrong}" in told
    assert told.count("neither a format") == 1
    assert "cannot listen: Address already in use" in told
    assert "ILL  source 3: the environment variable NOT_SET_ANYWHERE is not set" in told
