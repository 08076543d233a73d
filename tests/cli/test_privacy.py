"""`tocsin privacy`: subjects are listed, erased for good, and opened while their key is there."""

from __future__ import annotations

import asyncio
import io
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from tests.cli.conftest import HOSTILE
from tests.flow.world import records
from tocsin.clock import SystemClock
from tocsin.contracts import Topics
from tocsin.log.sqlite import SqliteLog
from tocsin.subject_keys import SubjectKeys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran

LINES = [
    "Nov 22 08:00:00 web-01 sshd[1]: Accepted password for zcanary from 198.51.100.77 port 1 ssh2",
    "Nov 22 08:00:01 web-01 sshd[2]: Accepted password for other from 198.51.100.78 port 1 ssh2",
    '{"cut": "zcanary',
]
CANARIES = (b"zcanary", b"198.51.100.77")


@pytest.fixture
def config(tmp_path: Path, tocsin: Callable[..., Ran]) -> Path:
    """A site whose pipeline ran over a few lines."""
    (tmp_path / "auth.log").write_text("\n".join(LINES) + "\n", "utf-8")
    (tmp_path / "salt").write_text("a salt that is long enough", "utf-8")
    rules = [
        {"fields": ["user.name"], "action": "encrypt", "subject": "user.name"},
        {"fields": ["source.ip"], "action": "hash"},
    ]
    path = tmp_path / "tocsin.yaml"
    settings = {
        "data_dir": "data",
        "console": {"enabled": False},
        "sources": [{"type": "file", "path": "auth.log", "follow": False, "source": "vpn"}],
        "privacy": {"key": "file:salt", "policies": [{"sources": ["vpn"], "rules": rules}]},
    }
    path.write_text(yaml.safe_dump(settings), "utf-8")
    ran = tocsin("run", "-c", path, "--until-idle", 60)
    assert ran.code == 0, ran.err
    return path


async def topics(directory: Path) -> dict[str, list[Any]]:
    log = SqliteLog(directory / "data" / "log.sqlite", clock=SystemClock())
    await log.start()
    found = {topic: await records(log, topic) for topic in Topics.ALL}
    await log.close()
    return found


def opened(
    tocsin: Callable[..., Ran], config: Path, monkeypatch: pytest.MonkeyPatch, *events: bytes
) -> Ran:
    stdin = io.TextIOWrapper(io.BytesIO(b"\n".join(events)))
    monkeypatch.setattr(sys, "stdin", stdin)
    return tocsin("privacy", "open", "-c", config)


def test_no_canary_leaves_the_door(config: Path, tmp_path: Path) -> None:
    """Nothing but `raw`, which is before the door, has them: no topic, and no store."""
    found = asyncio.run(topics(tmp_path))
    assert len(found[Topics.EVENTS]) == 2
    assert len(found[Topics.DEAD_LETTERS]) == 1
    for topic, there in found.items():
        everything = b"|".join(
            b"".join((r.value, r.key or b"", *(value for _, value in r.headers))) for r in there
        )
        for canary in CANARIES:
            assert (canary in everything) == (topic == Topics.RAW), (topic, canary)
    stored = (tmp_path / "data" / "store.sqlite").read_bytes()
    assert not any(canary in stored for canary in CANARIES)


def test_list_open_and_erase(
    config: Path, tmp_path: Path, tocsin: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tocsin("privacy", "list", "-c", config, "--json").rows()
    assert [row["subject"] for row in rows] == ["other", "source:vpn", "zcanary"]
    assert "zcanary" in tocsin("privacy", "list", "Z", "-c", config).out
    events = [record.value for record in asyncio.run(topics(tmp_path))[Topics.EVENTS]]
    names = [row["user"]["name"] for row in opened(tocsin, config, monkeypatch, *events).rows()]
    assert sorted(names) == ["other", "zcanary"]
    monkeypatch.undo()
    assert tocsin("privacy", "erase", "ZCanary", "-c", config, "--yes").code == 0
    names = [row["user"]["name"] for row in opened(tocsin, config, monkeypatch, *events).rows()]
    assert "other" in names
    assert "zcanary" not in names
    again = tocsin("privacy", "erase", "zcanary", "-c", config, "--yes")
    assert (again.code, "there is no key of zcanary" in again.err) == (2, True)


def test_erasing_asks_first(
    config: Path, tocsin: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"n\n")))
    assert tocsin("privacy", "erase", "zcanary", "-c", config).code == 130
    monkeypatch.undo()
    assert len(tocsin("privacy", "list", "zcanary", "-c", config, "--json").rows()) == 1


def test_a_sealed_dead_letter_is_shown_to_who_has_the_key(
    config: Path, tocsin: Callable[..., Ran]
) -> None:
    (letter,) = tocsin("dead-letters", "list", "-c", config, "--json").rows()
    shown = tocsin("dead-letters", "show", letter["id"], "-c", config)
    assert "zcanary" not in shown.out
    assert "(sealed: see --open)" in shown.out
    assert "zcanary" in tocsin("dead-letters", "show", letter["id"], "-c", config, "--open").out
    (group,) = tocsin("dead-letters", "list", "--groups", "-c", config, "--json").rows()
    assert group["template"] == "<sealed>"
    tocsin("privacy", "erase", "source:vpn", "-c", config, "--yes")
    gone = tocsin("dead-letters", "show", letter["id"], "-c", config, "--open")
    assert gone.code == 2
    assert "the key that these bytes were sealed with is gone" in gone.err


def test_replaying_a_sealed_letter(
    config: Path, tmp_path: Path, tocsin: Callable[..., Ran]
) -> None:
    """Still broken, it is sealed again and its attempts are counted; no canary leaves."""
    assert "replayed 1" in tocsin("dead-letters", "replay", "-c", config).out
    assert tocsin("run", "-c", config, "--until-idle", 60).code == 0
    letters = asyncio.run(topics(tmp_path))[Topics.DEAD_LETTERS]
    # Of several partitions, so in no order.
    assert sorted(orjson.loads(letter.value)["attempts"] for letter in letters) == [1, 2]
    assert not any(b"zcanary" in letter.value for letter in letters)


@pytest.mark.parametrize("line", [b"nonsense", b"7"])
def test_what_is_no_event(
    config: Path, tocsin: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch, line: bytes
) -> None:
    assert opened(tocsin, config, monkeypatch, line).code == 2


def test_altered_events_are_told(
    config: Path, tmp_path: Path, tocsin: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    event = orjson.loads(asyncio.run(topics(tmp_path))[Topics.EVENTS][0].value)
    event["event"]["id"] = "another"
    ran = opened(tocsin, config, monkeypatch, orjson.dumps(event))
    assert (ran.code, "altered" in ran.err) == (2, True)


def test_before_anything_was_sealed(tmp_path: Path, tocsin: Callable[..., Ran]) -> None:
    path = tmp_path / "tocsin.yaml"
    path.write_text("data_dir: data\n", "utf-8")
    ran = tocsin("privacy", "list", "-c", path)
    assert (ran.code, "nothing was sealed yet" in ran.err) == (2, True)
    assert list(tmp_path.iterdir()) == [path]


def test_hostile_names_do_not_drive_the_terminal(config: Path, tocsin: Callable[..., Ran]) -> None:
    keys = SubjectKeys(config.parent / "data" / "subjects.sqlite", SystemClock())
    keys.key(HOSTILE)
    keys.flush()
    keys.close()
    for options in ((), ("--json",)):
        ran = tocsin("privacy", "list", "-c", config, *options)
        assert all(line.isprintable() for line in ran.out.splitlines())


def test_a_policy_without_its_secret_does_not_start(
    config: Path, tocsin: Callable[..., Ran]
) -> None:
    (config.parent / "salt").write_text("short", "utf-8")
    ran = tocsin("run", "-c", config, "--until-idle", 1)
    assert ran.code == 2
    assert "privacy.key must name a secret" in ran.err
