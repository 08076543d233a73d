"""`tocsin lab`: what is injected can be scored, into a company and into a real stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from click.testing import CliRunner

from tocsin.cli.lab import lab
from tocsin.errors import BadInput, ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SMALL = ("--users", "10", "--days", "3", "--times", "1")


def run(*arguments: str) -> str:
    """What a command says; its errors come through."""
    result = CliRunner().invoke(lab, arguments, catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def test_what_is_injected_is_scored(tmp_path: Path) -> None:
    """A stream is written with its labels, scored from the file, and used as a background."""
    out, mixed = tmp_path / "events.jsonl", tmp_path / "mixed.jsonl"
    chosen = ("--scenario", "impossible_travel", "--scenario", "password_spraying")
    told = run("inject", "--seed", "3", "--out", str(out), *SMALL, *chosen)
    assert "2 labels" in told
    times = [orjson.loads(line)["@timestamp"] for line in out.read_bytes().splitlines()]
    assert times == sorted(times)
    body = orjson.loads(run("score", "--events", str(out), "--json"))
    assert body["events"] == len(times)
    by_name = {row["scenario"]: row for row in body["scenarios"]}
    assert by_name["impossible_travel"]["found"] == 1
    assert {"impossible_travel", "password_spraying"} <= {r["detector"] for r in body["detectors"]}
    run("inject", "--out", str(mixed), "--background", str(out), "--scenario", "beacon")
    assert len(mixed.read_bytes().splitlines()) > len(times)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    """An unknown scenario, and a line that is no event."""
    out = tmp_path / "events.jsonl"
    with pytest.raises(ConfigError, match="no scenario earthquake; there are stolen_credentials"):
        run("inject", "--out", str(out), "--scenario", "earthquake")
    out.write_bytes(b'{"user": {"name": "ana"}}\n[]\n')
    with pytest.raises(BadInput, match=r"events\.jsonl:2 is no JSON object"):
        run("inject", "--out", str(tmp_path / "x"), "--background", str(out))
