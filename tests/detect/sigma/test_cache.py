"""Compiled rules that were kept mean what the files say, or are not used."""

from __future__ import annotations

import gc
import io
import logging
import tarfile
from inspect import getmembers, isclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from detect.sigma import RuleSet, condition, load_rules, load_taxonomy, patterns, segments
from detect.sigma.codec import CLASSES, Unencodable, decode, encode
from detect.sigma.patterns import Text
from tests.detect.sigma.support import ANYTHING, rule, write
from tocsin.errors import ContentErrors

if TYPE_CHECKING:
    from pathlib import Path

#: A rule for each kind of value and condition, with tests, filters and correlations beside them.
DETECTIONS: list[dict[str, Any]] = [
    {"s": {"f": ["a", "b*", "*c", "*d*", "e?f*g"], "g|cased": "X"}, "condition": "s"},
    {"s": {"f|re|i": "a.c"}, "t": {"f": None}, "condition": "s and not t"},
    {"s": {"f|cidr": ["192.0.2.0/24", "2001:db8::/32"]}, "condition": "s"},
    {"s": {"f": [1, 2.5, True]}, "t": {"f|gte": 7}, "condition": "1 of them"},
    {"s": {"f|exists": True, "g|fieldref": "h"}, "condition": "s"},
    {"s": {"f|fieldref|startswith": "h"}, "condition": "s"},
    {"s": ["word", "two words", "wi*ld"], "condition": "s"},
    {"s": {"|all": ["word", "other"]}, "condition": "s"},
    {"s": {"f|contains|all": ["a", "b"], "g|windash|contains": " -x "}, "condition": "s"},
    {"s": {"f|base64offset|contains": "secret", "g|utf16|base64": "x"}, "condition": "s"},
    {"s": {"f|hour": 3}, "condition": "s"},
    {"s": {"f": ""}, "t": {"f": "ÜBER"}, "condition": ["s", "t"]},
    {"s": {"f|expand": "%names%"}, "condition": "s"},
]
PLACEHOLDERS = {"names": ["alice", "bob"]}


def contents() -> list[dict[str, Any]]:
    rules = [rule(n, detection=d, name=f"rule_{n}") for n, d in enumerate(DETECTIONS, start=1)]
    rules[0] |= {
        "tags": ["attack.t1059"],
        "tocsin": {"dedup": ["host.name"], "window": "5m", "severity": 60},
        "tests": [{"match": True, "event": {"f": "a", "n": 1.5}}],
    }
    rules[1] |= {"taxonomy": "ecs"}
    rules[2] |= {"tocsin": {"alert": False}}
    counted = {
        "title": "Several",
        "id": "00000000-0000-4000-8000-00000000c001",
        "date": "2026-01-05",
        "correlation": {
            "type": "event_count",
            "rules": ["rule_4"],
            "group-by": ["f"],
            "timespan": "5m",
            "condition": {"gte": 3},
        },
        "tests": [{"match": False, "event": {"f": 1}}],
    }
    excluded = {
        "title": "Not the backup",
        "id": "00000000-0000-4000-8000-00000000f001",
        "logsource": {"category": "test"},
        "filter": {"rules": ["rule_1"], "s": {"host": "backup"}, "condition": "not s"},
    }
    return [*rules, counted, excluded]


EVENTS: list[dict[str, Any]] = [
    {"f": "a", "g": "X"},
    {"f": "abc", "host": "web"},
    {"f": "a", "g": "X", "host": "backup"},
    {"f": "192.0.2.9"},
    {"f": 9, "g": "z", "h": "Z"},
    {"text": "a word and other"},
    {"f": "prefix", "h": "pre"},
    {"f": "2026-01-05T03:00:00Z"},
    {"f": "über"},
    {"f": "bob"},
    {},
]


def loaded(path: Path, cache: Path | None, **options: Any) -> RuleSet:
    options = {"builtin": False, "taxonomy": ANYTHING, "placeholders": PLACEHOLDERS, **options}
    return load_rules([path], cache=cache, **options)


def same(one: RuleSet, other: RuleSet) -> None:
    assert one.rules == other.rules
    assert one.correlations == other.correlations
    assert one.unsupported == other.unsupported
    assert one.correlation_tests == other.correlation_tests
    assert [str(error) for error in one.errors] == [str(error) for error in other.errors]
    for event in EVENTS:
        assert [(m.rule.rule.id, m.hits) for m in one.match(event)] == [
            (m.rule.rule.id, m.hits) for m in other.match(event)
        ]


def archive(path: Path, *texts: str) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for number, text in enumerate(texts):
            info = tarfile.TarInfo(f"rules/{number}.yml")
            info.size = len(text.encode())
            made.addfile(info, io.BytesIO(text.encode()))
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "rules"


def rewrite(cache: Path, change: Any) -> None:
    """Change what the segments hold, digest included: what is used shows the change."""
    for file in cache.iterdir():
        body = orjson.loads(file.read_bytes().partition(b"\n")[2])
        change(body)
        data = orjson.dumps(body)
        file.write_bytes(segments._head(data) + b"\n" + data)


def retitle(body: dict[str, Any]) -> None:
    for _, _, parts in body["files"]:
        for part in parts:
            if part[0] == "rule":
                part[4]["name"] = "kept"


def titles(ruleset: RuleSet) -> set[str]:
    return {each.rule.name for each in ruleset.rules}


def test_a_set_is_the_same_with_and_without_the_cache(tmp_path: Path, cache: Path) -> None:
    write(tmp_path, *contents())
    plain = loaded(tmp_path / "rules.yml", None)
    assert len(plain.rules) == len(DETECTIONS)
    assert len(plain.correlations) == 1
    for _ in ("cold", "warm", "warm"):
        same(loaded(tmp_path / "rules.yml", cache), plain)


def test_an_archive_and_a_directory_are_the_same_from_the_cache(
    tmp_path: Path, cache: Path
) -> None:
    directory = tmp_path / "rules"
    directory.mkdir()
    texts = [yaml.safe_dump(content) for content in contents()]
    for number, text in enumerate(texts):
        (directory / f"{number:02}.yml").write_text(text, "utf-8")
    packed = archive(tmp_path / "rules.tar.gz", *texts)
    for source in (directory, packed):
        plain = loaded(source, None)
        for _ in ("cold", "warm"):
            same(loaded(source, cache), plain)


def test_our_own_rules_are_the_same_from_the_cache(cache: Path) -> None:
    taxonomy = load_taxonomy()
    plain = load_rules([], builtin=True, taxonomy=taxonomy, allow_errors=True)
    for _ in ("cold", "warm"):
        same(load_rules([], builtin=True, taxonomy=taxonomy, allow_errors=True, cache=cache), plain)


def test_what_is_kept_is_used(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path, rule(1), rule(2))
    packed = archive(tmp_path / "rules.tar.gz", yaml.safe_dump(rule(3)))
    for source in (path, packed):
        loaded(source, cache)
    rewrite(cache, retitle)
    assert titles(loaded(path, cache)) == {"kept"}
    assert titles(loaded(packed, cache)) == {"kept"}


def test_a_changed_file_is_compiled_anew_and_the_others_are_not(
    tmp_path: Path, cache: Path
) -> None:
    directory = tmp_path / "rules"
    directory.mkdir()
    write(directory, rule(1), name="one.yml")
    write(directory, rule(2), name="two.yml")
    loaded(directory, cache)
    rewrite(cache, retitle)
    write(directory, rule(2, title="New"), name="two.yml")
    assert titles(loaded(directory, cache)) == {"kept", "New"}
    (directory / "one.yml").unlink()
    assert titles(loaded(directory, cache)) == {"New"}
    archive(tmp_path / "a.tar.gz", yaml.safe_dump(rule(1)))
    loaded(tmp_path / "a.tar.gz", cache)
    archive(tmp_path / "a.tar.gz", yaml.safe_dump(rule(1, title="Newer")))
    assert titles(loaded(tmp_path / "a.tar.gz", cache)) == {"Newer"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[:-10],
        lambda data: b"",
        lambda data: data.replace(b"Rule 1", b"Rule 7"),
        lambda data: b"\x80\x04\x95" + data,
        lambda data: data.partition(b"\n")[0] + b"\n{}",
        lambda data: segments._head(b"[]") + b"\n[]",
        lambda data: segments._head(b"{}") + b"\n{}",
        lambda data: segments._head(b"{") + b"\n{",
    ],
    ids=["cut", "empty", "changed", "pickle", "other body", "list", "no keys", "no JSON"],
)
def test_a_damaged_segment_is_said_and_made_anew(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture, spoil: Any
) -> None:
    path = write(tmp_path, rule(1))
    loaded(path, cache)
    (segment,) = cache.iterdir()
    whole = segment.read_bytes()
    segment.write_bytes(spoil(whole))
    assert titles(loaded(path, cache)) == {"Rule 1"}
    assert "damaged and is made anew" in caplog.text
    assert segment.read_bytes() == whole


def strange(body: dict[str, Any]) -> None:
    for _, _, parts in body["files"]:
        for part in parts:
            part[7] = ["system", "rm"]


def short(body: dict[str, Any]) -> None:
    for _, _, parts in body["files"]:
        for part in parts:
            del part[5:]


@pytest.mark.parametrize("change", [strange, short])
def test_what_cannot_be_read_back_is_compiled(tmp_path: Path, cache: Path, change: Any) -> None:
    path = write(tmp_path, rule(1))
    packed = archive(tmp_path / "a.tar.gz", yaml.safe_dump(rule(2)))
    for source in (path, packed):
        loaded(source, cache)
    rewrite(cache, change)
    assert titles(loaded(path, cache)) == {"Rule 1"}
    assert titles(loaded(packed, cache)) == {"Rule 2"}


def test_another_compiler_believes_nothing(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    path = write(tmp_path, rule(1))
    loaded(path, cache)

    def older(body: dict[str, Any]) -> None:
        retitle(body)
        body["compiler"] = "0" * 64

    rewrite(cache, older)
    assert titles(loaded(path, cache)) == {"Rule 1"}
    assert "the compiler changed" in caplog.text


def test_mistakes_are_found_each_time_at_their_lines(tmp_path: Path, cache: Path) -> None:
    bad = rule(2, detection={"s": {"f|contians": "x"}, "condition": "s"})
    path = write(tmp_path, rule(1), bad)
    other = write(tmp_path, rule(3), name="other.yml")
    said = []
    for _ in ("cold", "warm"):
        with pytest.raises(ContentErrors) as caught:
            load_rules([other, path], builtin=False, taxonomy=ANYTHING, cache=cache)
        said.append(str(caught.value))
    assert said[0] == said[1]
    assert "contians" in said[0]


def test_mistakes_between_archived_rules_have_their_lines_too(tmp_path: Path, cache: Path) -> None:
    packed = archive(tmp_path / "a.tar.gz", yaml.safe_dump(rule(1, title="Archived")))
    path = write(tmp_path, rule(1))
    said = []
    for _ in ("cold", "warm"):
        with pytest.raises(ContentErrors) as caught:
            load_rules([path, packed], builtin=False, taxonomy=ANYTHING, cache=cache)
        said.append([str(error) for error in caught.value.errors])
    assert said[0] == said[1]
    assert "0.yml:5:1: id: the id '" in said[0][0]


def test_other_lists_for_placeholders_are_other_rules(tmp_path: Path, cache: Path) -> None:
    path = write(tmp_path, rule(1, detection=DETECTIONS[-1]))
    for source in (path, archive(tmp_path / "a.tar.gz", path.read_text("utf-8"))):
        for name in ("alice", "carol", "alice"):
            found = loaded(source, cache, placeholders={"names": [name]})
            assert [len(found.match({"f": each})) for each in ("alice", "carol")] == [
                int(name == "alice"),
                int(name == "carol"),
            ]
        assert loaded(source, cache, placeholders={}).unsupported


def test_a_test_that_json_cannot_hold_is_kept_as_it_is(tmp_path: Path, cache: Path) -> None:
    text = yaml.safe_dump(rule(1)) + "tests: [{match: false, event: {f: 2026-01-05}}]\n"
    path = tmp_path / "rules.yml"
    path.write_text(text, "utf-8")
    plain = loaded(path, None)
    for _ in ("cold", "warm"):
        same(loaded(path, cache), plain)


def test_a_directory_that_cannot_be_written_costs_time_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="detect.sigma.segments")
    (tmp_path / "kept").write_text("in the way", "utf-8")
    path = write(tmp_path, rule(1))
    assert titles(loaded(path, tmp_path / "kept" / "rules")) == {"Rule 1"}
    assert "cannot be kept" in caplog.text


def test_old_segments_go(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "MAX_SEGMENTS", 3)
    for number in range(6):
        loaded(write(tmp_path, rule(number), name=f"{number}.yml"), cache)
    assert len(list(cache.iterdir())) == 3


def test_every_class_of_conditions_has_a_form() -> None:
    """A new class without one would never be kept, which nobody would notice."""
    found = {
        made
        for module in (condition, patterns)
        for _, made in getmembers(module, isclass)
        if made.__module__ == module.__name__ and hasattr(made, "__dataclass_fields__")
    }
    assert found == {made for made, _ in CLASSES.values()}


def test_what_has_no_form_is_refused() -> None:
    class Other(Text):
        pass

    with pytest.raises(Unencodable):
        encode(condition.Not(Other("", "x")))  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        decode(["os.system", "true"])


def test_the_collector_is_on_again(tmp_path: Path) -> None:
    assert gc.isenabled()
    with pytest.raises(ContentErrors):
        load_rules([tmp_path / "nowhere"], builtin=False, taxonomy=ANYTHING)
    assert gc.isenabled()
