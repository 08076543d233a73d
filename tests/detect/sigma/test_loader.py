"""Loading rules: every mistake at its line, nothing dropped in silence, nothing without bounds."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from detect.sigma import files, load_rules
from tests.detect.sigma.support import ANYTHING, load, rule, write
from tocsin.errors import ContentErrors

if TYPE_CHECKING:
    from pathlib import Path

    from tocsin.errors import ContentError


def mistakes(directory: Path, text: str, **options: Any) -> list[ContentError]:
    (directory / "bad.yml").write_text(text, "utf-8")
    with pytest.raises(ContentErrors) as caught:
        load_rules([directory / "bad.yml"], builtin=False, taxonomy=ANYTHING, **options)
    return list(caught.value.errors)


RULE = """\
title: A rule
id: 00000000-0000-4000-8000-000000000001
logsource:
    category: test
detection:
    selection:
        field: value
    condition: selection
level: high
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("field: value", "field|contians: value", 7, "Unknown modifier"),
        ("field: value", "field|re: '['", 7, "Regular expression"),
        ("field: value", "field|cidr: 192.0.2.300/24", 7, "CIDR"),
        ("field: value", "field: 2026-01-05", 7, "Unsupported type"),
        ("field: value", "{}", 6, "empty"),
        ("condition: selection", "condition: selektion", 8, "selektion"),
        ("condition: selection", "condition: 1 of nothing_*", 8, "names no selection"),
        ("condition: selection", "condition: (selection", 8, "parentheses"),
        ("condition: selection", "condition: selection | count() > 5", 8, "pipe"),
        ("level: high", "level: huge", 9, "level"),
        ("level: high", "tags: [nonsense]", 9, "tag"),
        ("level: high", "tocsin: {window: soon}", 9, "soon"),
        ("level: high", "tocsin: {windows: 5m}", 9, "tocsin may have"),
        ("level: high", "tocsin: {severity: 101}", 9, "severity"),
        ("level: high", "tocsin: {dedup: source.ip}", 9, "dedup"),
        ("level: high", "title: twice", 9, "twice"),
        ("level: high", "action: global", 9, "removed from Sigma"),
        ("id: 00000000-0000-4000-8000-000000000001", "id: one", 2, "UUID"),
        ("    category: test", "    {}", 3, "empty"),
        ("title: A rule", "status: stable", 1, "title"),
        ("title: A rule", "title: 'open", 2, "no YAML"),
        ("title: A rule", "- a list", 2, "no YAML"),
    ],
)
def test_a_mistake_is_reported_at_its_line(
    tmp_path: Path, old: str, new: str, line: int, words: str
) -> None:
    assert old in RULE
    (error, *_) = mistakes(tmp_path, RULE.replace(old, new))
    assert words in str(error)
    assert error.place.path.endswith("bad.yml")
    assert abs(error.place.line - line) <= (1 if words == "no YAML" else 0), str(error)


def test_all_mistakes_of_a_rule_are_reported_at_once(tmp_path: Path) -> None:
    text = RULE.replace("field: value", "a|contians: x\n        b|endwith: y").replace(
        "level: high", "level: huge"
    )
    text = text.replace("condition: selection", "condition: selection and not 1 of filter_*")
    lines = sorted(error.place.line for error in mistakes(tmp_path, text))
    assert lines == [7, 8, 9, 10]


def test_expressions_that_are_wrong_are_told_once_and_as_text(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (error,) = mistakes(tmp_path, RULE.replace("field: value", "field|re: 'a(c'"))
    assert "missing )" in str(error)
    assert "b'" not in str(error)
    assert capfd.readouterr().err == "", "RE2 writes to standard error by itself"


@pytest.mark.parametrize(
    "text", ["- 1\n- 2\n", "just words\n", "a: [1, 2\n", "detection: 5\nlogsource: 7\ntitle: x\n"]
)
def test_what_is_no_rule_is_a_mistake(tmp_path: Path, text: str) -> None:
    assert mistakes(tmp_path, text)


def test_valid_rules_are_kept_beside_mistaken_ones_when_errors_are_allowed(tmp_path: Path) -> None:
    rules = load(tmp_path, rule(1), rule(2, level="huge"), allow_errors=True)
    assert [r.rule.name for r in rules.rules] == ["Rule 1"]
    assert [str(error.place.line) for error in rules.errors] == ["19"]


def test_two_rules_may_not_share_an_id_or_a_name(tmp_path: Path) -> None:
    with pytest.raises(ContentErrors) as caught:
        load(tmp_path, rule(1), rule(1), rule(2, name="same"), rule(3, name="same"))
    assert [error.place.key for error in caught.value.errors] == ["id", "name"]


def test_a_rule_without_id_is_known_by_its_name_else_by_its_content(tmp_path: Path) -> None:
    rules = load(tmp_path, rule(1, id=None, name="mine"), rule(2, id=None))
    assert "mine" in {r.rule.id for r in rules.rules}
    other = next(r.rule for r in rules.rules if r.rule.id != "mine")
    assert other.hash.startswith(other.id)


def test_the_hash_is_of_the_content_not_of_its_spelling_or_its_tests(tmp_path: Path) -> None:
    plain = load(tmp_path, rule(1)).rules[0].rule.hash
    shuffled = dict(reversed(rule(1).items()))
    assert load(tmp_path, shuffled).rules[0].rule.hash == plain
    assert load(tmp_path, rule(1, tests=[{"match": True}])).rules[0].rule.hash == plain
    assert load(tmp_path, rule(1, level="low")).rules[0].rule.hash != plain


def test_author_and_licence_travel_with_the_rule(tmp_path: Path) -> None:
    loaded = load(tmp_path, rule(1, author="Somebody", license="DRL-1.1")).rules[0].rule
    assert (loaded.author, loaded.license) == ("Somebody", "DRL-1.1")


# --- what is valid, but cannot be evaluated


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"logsource": {"product": "vms"}}, "no taxonomy for the logsource product=vms"),
        (
            {"detection": {"s": {"f|expand": "%admins%"}, "condition": "s"}},
            "no list is configured for the placeholder %admins%",
        ),
        ({"detection": {"s": {"f|re": "a(?=b)"}, "condition": "s"}}, "regular expression"),
        ({"detection": {"s": {"f|re": r"(a)\1"}, "condition": "s"}}, "regular expression"),
        ({"taxonomy": "splunk"}, "taxonomy splunk"),
    ],
)
def test_what_cannot_be_evaluated_is_shown(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    rules = load(tmp_path, rule(1, **changes))
    assert not rules.rules
    (refused,) = rules.unsupported
    assert refused.title == "Rule 1"
    assert reason in refused.reason


# --- sources


def test_directories_are_read_recursively_and_archives_in_memory(tmp_path: Path) -> None:
    tree = tmp_path / "tree" / "deep"
    tree.mkdir(parents=True)
    write(tree, rule(1))
    with tarfile.open(tmp_path / "rules.tar.gz", "w:gz") as archive:
        archive.add(write(tmp_path, rule(2), name="two.yml"), "x/two.yml")
    with zipfile.ZipFile(tmp_path / "rules.zip", "w") as zipped:
        zipped.write(write(tmp_path, rule(3), name="three.yml"), "x/three.yml")
        zipped.writestr("x/readme.md", "not a rule")
    paths = [tmp_path / "tree", tmp_path / "rules.tar.gz", tmp_path / "rules.zip"]
    rules = load_rules(paths, builtin=False, taxonomy=ANYTHING)
    assert [r.rule.name for r in rules.rules] == ["Rule 1", "Rule 2", "Rule 3"]
    assert str(rules.rules[1].place).endswith("rules.tar.gz!x/two.yml:1")


def test_the_order_of_files_does_not_change_the_set(tmp_path: Path) -> None:
    one, two = write(tmp_path, rule(2), name="b.yml"), write(tmp_path, rule(1), name="a.yml")
    first = load_rules([one, two], builtin=False, taxonomy=ANYTHING)
    second = load_rules([two, one], builtin=False, taxonomy=ANYTHING)
    assert [r.rule for r in first.rules] == [r.rule for r in second.rules]


def _tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("missing.yml", None, "cannot be read"),
        ("broken.tar.gz", b"\x1f\x8bnonsense", "cannot be read"),
        ("cut.tar.gz", _tar({"a.yml": RULE.encode() * 50})[:60], "cannot be read"),
        ("broken.zip", b"PK\x03\x04", "cannot be read"),
        ("latin.yml", b"title: \xff\xfe", "not UTF-8"),
        ("huge.yml", b"#" * (files.MAX_FILE + 1), "bytes"),
        ("anchors.yml", b"", "aliases"),
        ("deep.yml", b"a: " + b"{b: " * 60 + b"1" + b"}" * 60, "deeper"),
        ("bottomless.yml", b"[" * 50_000, "deeper"),
    ],
    # Not by their bytes: an archive holds the time when it was made.
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hostile_files_are_mistakes(
    tmp_path: Path, name: str, data: bytes | None, words: str
) -> None:
    if name == "anchors.yml":
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
        lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
        data = "\n".join(lines).encode()
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ContentErrors) as caught:
        load_rules([tmp_path / name], builtin=False, taxonomy=ANYTHING)
    assert words in str(caught.value)


def test_an_archive_that_unpacks_without_end_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_TOTAL", 10_000)
    (tmp_path / "bomb.tar.gz").write_bytes(_tar({"bomb.bin": b"0" * 1_000_000}))
    with pytest.raises(ContentErrors, match="more than 10000 bytes"):
        load_rules([tmp_path / "bomb.tar.gz"], builtin=False, taxonomy=ANYTHING)


def test_one_unreadable_file_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"\xff")
    write(tmp_path, rule(1), name="b.yml")
    rules = load_rules([tmp_path], builtin=False, taxonomy=ANYTHING, allow_errors=True)
    assert len(rules.rules) == len(rules.errors) == 1


# --- filters


def a_filter(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Ours",
        "id": "00000000-0000-4000-8000-00000000ffff",
        "logsource": {"category": "test"},
        "filter": {
            "rules": ["00000000-0000-4000-8000-000000000001"],
            "known": {"user": "deploy"},
            "condition": "not known",
        },
        **changes,
    }


def test_a_filter_takes_matches_away_and_changes_the_hash(tmp_path: Path) -> None:
    rules = load(tmp_path, rule(1), rule(2), a_filter())
    names = [m.rule.rule.name for m in rules.match({"field": "value", "user": "deploy"})]
    assert names == ["Rule 2"]
    assert len(rules.match({"field": "value", "user": "eve"})) == 2
    assert rules.rules[0].rule.hash != load(tmp_path, rule(1)).rules[0].rule.hash


def test_a_filter_of_any_rule_covers_its_logsource(tmp_path: Path) -> None:
    anything = {"rules": "any", "known": {"user": "deploy"}, "condition": "not known"}
    rules = load(tmp_path, rule(1), rule(2), a_filter(filter=anything))
    assert not rules.match({"field": "value", "user": "deploy"})


def test_a_filter_of_a_missing_rule_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ContentErrors, match="is not here"):
        load(tmp_path, rule(2), a_filter())


def test_a_filter_that_cannot_be_evaluated_stops_the_load(tmp_path: Path) -> None:
    broken = {
        "rules": "any",
        "known": {"user|expand": "%deployers%"},
        "condition": "not known",
    }
    with pytest.raises(ContentErrors, match="%deployers%"):
        load(tmp_path, rule(1), a_filter(filter=broken))
