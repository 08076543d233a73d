"""The normalize stage with a door: what leaves it, whole records with keys and headers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ingest.door import UNTOLD, Door
from ingest.enrich import Enricher
from ingest.normalize import NormalizeStage
from ingest.privacy import Policy
from tests.ingest.privacy.keys import MemoryKeys
from tests.ingest.privacy.test_policy import SECRET
from tocsin.contracts import DeadLetter, Document, Topics
from tocsin.deadletters import MAX_PART, joined
from tocsin.enrichment_config import PrivacySettings
from tocsin.errors import StoreUnavailable
from tocsin.log.base import Record
from tocsin.runtime import process_safely
from tocsin.state import KeyedState

if TYPE_CHECKING:
    from tocsin.subjects import SubjectKey

LINE = (
    b"<38>Nov 22 08:00:00 zcanaryhost sshd[4242]: Accepted password for zcanaryuser "
    b"from 198.51.100.77 port 40000 ssh2"
)
CANARIES = (b"zcanaryhost", b"zcanaryuser", b"198.51.100.77")
RULES = [
    {"fields": ["user.name"], "action": "encrypt", "subject": "user.name"},
    {"fields": ["source.ip", "host.name", "host.hostname"], "action": "hash"},
]


def record(value: bytes = LINE, source: bytes = b"vpn-1", **changes: Any) -> Record:
    headers = (("source", source), ("peer", b"198.51.100.77"), ("origin-id", b"a" * 32))
    made = Record(Topics.RAW, 0, 7, b"zcanaryhost", value, headers, 1_795_000_000_000)
    return made._replace(**changes)


def door(keys: Any = None, *rules: dict[str, Any]) -> Door:
    settings = PrivacySettings.model_validate(
        {"policies": [{"sources": ["vpn*"], "rules": rules or RULES, "residency": "eu"}]}
    )
    return Door(None, Policy(settings, SECRET, keys or MemoryKeys()))


def process(stage: NormalizeStage, *records: Record) -> list[Any]:
    batch = process_safely(stage, records, None, 0)
    assert batch.accounted == len(records)
    return batch.outputs


def test_no_canary_is_anywhere_in_an_event_record() -> None:
    (output,) = process(NormalizeStage(door=door()), record())
    assert output.topic == Topics.EVENTS
    everything = b"|".join(
        (output.value, output.key, *(name.encode() + value for name, value in output.headers))
    )
    assert b'"peer"' not in output.value
    for canary in CANARIES:
        assert canary in LINE
        assert canary not in everything.lower(), canary
    document = orjson.loads(output.value)
    assert document["event"]["outcome"] == "success"
    assert document["tocsin"]["residency"] == "eu"
    assert document["event"]["id"] == "a" * 32


def test_other_sources_pass_unchanged() -> None:
    plain = process(NormalizeStage(), record(source=b"web-1"))
    assert process(NormalizeStage(door=door()), record(source=b"web-1")) == plain


def test_new_keys_are_durable_before_anything_is_written() -> None:
    keys = MemoryKeys()
    process(NormalizeStage(door=door(keys)), record(), record(offset=8))
    assert list(keys.made) == ["zcanaryuser"]
    assert keys.flushed == 1


class TestDeadLetters:
    BAD = b'{"user": "zcanaryuser", "cut": "198.51.100.77'

    def test_they_hold_nothing_readable_and_replay(self) -> None:
        stage = NormalizeStage(door=door(keys := MemoryKeys()))
        (output,) = process(stage, record(self.BAD))
        assert output.topic == Topics.DEAD_LETTERS
        letter = DeadLetter.decode(output.value)
        for hidden in (output.value, output.key, letter.original):
            assert not any(canary in hidden for canary in CANARIES)
        assert (letter.code, letter.reason) == ("json_invalid", UNTOLD)
        assert letter.headers == {"source": "vpn-1", "origin-id": "a" * 32}
        assert letter.parser.startswith("normalize/")
        # The line was mended at the source's end; what comes back is the line.
        (again,) = process(stage, record(letter.original))
        assert DeadLetter.decode(again.value).code == "json_invalid"
        mended = sealed(keys, LINE)
        (event,) = process(stage, record(mended))
        assert orjson.loads(event.value)["event"]["outcome"] == "success"

    def test_without_its_key_it_stays_a_letter(self) -> None:
        keys = MemoryKeys()
        stage = NormalizeStage(door=door(keys))
        (output,) = process(stage, record(self.BAD))
        original = DeadLetter.decode(output.value).original
        keys.made.clear()
        (again,) = process(stage, record(original))
        assert DeadLetter.decode(again.value).code == "sealed"

    def test_large_ones_come_in_parts(self) -> None:
        stage = NormalizeStage(door=door())
        outputs = process(stage, record(b'{"a": "' + b"zcanaryuser " * (MAX_PART // 10)))
        letters = [DeadLetter.decode(output.value) for output in outputs]
        assert len(letters) == 2
        whole = joined(letters)
        assert whole is not None
        assert b"zcanaryuser" not in whole.original

    def test_of_other_sources_they_are_as_ever(self) -> None:
        (with_door,) = process(NormalizeStage(door=door()), record(self.BAD, b"web-1"))
        (without,) = process(NormalizeStage(), record(self.BAD, b"web-1"))
        assert with_door == without

    def test_a_defect_quotes_nothing_either(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("cannot handle zcanaryuser")

        made = door()
        monkeypatch.setattr(made, "admit", broken)
        with caplog.at_level(logging.DEBUG):
            (output,) = process(NormalizeStage(door=made), record())
        letter = DeadLetter.decode(output.value)
        assert letter.code == "internal"
        assert b"zcanaryuser" not in output.value + letter.original
        assert "zcanaryuser" not in caplog.text


def sealed(keys: MemoryKeys, data: bytes) -> bytes:
    settings = PrivacySettings.model_validate({"policies": [{"sources": ["vpn*"], "rules": RULES}]})
    return Policy(settings, SECRET, keys).seal_original(data, "vpn-1")


class Away(MemoryKeys):
    """Keys whose file cannot be used just now."""

    def __init__(self, *, only_flush: bool) -> None:
        super().__init__()
        self.down = True
        self._only_flush = only_flush

    def key(self, subject: str) -> SubjectKey:
        if self.down and not self._only_flush:
            raise StoreUnavailable("the keys are away")
        return super().key(subject)

    def flush(self) -> None:
        if self.down:
            raise StoreUnavailable("the keys are away")


@pytest.mark.parametrize("only_flush", [True, False])
def test_while_keys_are_away_nothing_leaves_and_nothing_is_lost(only_flush: bool) -> None:
    keys = Away(only_flush=only_flush)
    stage = NormalizeStage(door=door(keys))
    records = [record(), record(b'{"cut', offset=8)]
    with pytest.raises(StoreUnavailable):
        process_safely(stage, records, KeyedState(), 0)
    keys.down = False
    assert len(process(stage, *records)) == 2


class Naming:
    """A step that adds who the user is."""

    def refresh(self) -> None:
        """Nothing to read."""

    def problems(self) -> list[str]:
        return []

    def apply(self, document: Document) -> None:
        document["user"]["full_name"] = "Zcanary Person"


def test_what_is_added_is_under_the_same_rules() -> None:
    settings = PrivacySettings.model_validate(
        {"policies": [{"rules": [{"fields": ["user.full_name"], "action": "drop"}]}]}
    )
    made = Door(Enricher([Naming()]), Policy(settings, SECRET, MemoryKeys()))
    (output,) = process(NormalizeStage(door=made), record())
    assert b"Zcanary" not in output.value
    (shown,) = process(NormalizeStage(door=Door(Enricher([Naming()]))), record())
    assert orjson.loads(shown.value)["user"]["full_name"] == "Zcanary Person"
