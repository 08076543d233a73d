"""The end of a changelog says what is newest, and no more of it is read than is allowed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tocsin.cli.changelog_tail import newest
from tocsin.clock import ManualClock
from tocsin.log.base import Outgoing, Topic
from tocsin.log.sqlite import SqliteLog

if TYPE_CHECKING:
    from pathlib import Path

TOPIC = "behavior-changelog"


def wanted(key: str) -> bool:
    return key == "standing" or key.startswith("calibration|")


@pytest.mark.parametrize("faust", [False, True])
async def test_the_newest_values_are_found_back_to_the_last_key(
    tmp_path: Path, *, faust: bool
) -> None:
    """Plain keys, and those that a Faust table writes; what was deleted is not there."""

    def change(key: str, value: str | None) -> Outgoing:
        body = b"" if value is None else value.encode()
        if not faust:
            return Outgoing(TOPIC, body, key.encode(), timestamp=1, partition=0)
        listed = b"[" + body + b"]" if body else b""
        return Outgoing(TOPIC, listed, json.dumps(f"0:{key}").encode(), timestamp=1, partition=0)

    changes = [change("calibration|forgotten", "1"), change("standing", '{"at":1}')]
    changes += [change(f"profile|{n}", '"x"') for n in range(30)]
    changes += [change("standing", '{"at":2}'), change("calibration|travel", "7")]
    changes += [change(f"profile|{n}", '"y"') for n in range(30)]
    changes += [change("calibration|hours", "8"), change("calibration|travel", "9")]
    changes += [change("calibration|gone", "3"), change("calibration|gone", None)]
    log = SqliteLog(tmp_path / "log.db", clock=ManualClock(1))
    await log.start()
    try:
        await log.create([Topic(TOPIC, 1)])
        await log.append(changes)
        tail = await newest(log, TOPIC, wanted, "standing", chunk=7)
        short = await newest(log, TOPIC, wanted, "standing", chunk=7, most=10)
    finally:
        await log.close()
    assert tail.values == {
        (0, "standing"): b'{"at":2}',
        (0, "calibration|travel"): b"9",
        (0, "calibration|hours"): b"8",
    }
    assert tail.short == []
    assert (0, "calibration|hours") in short.values
    assert (0, "standing") not in short.values
    assert short.short == [0]
