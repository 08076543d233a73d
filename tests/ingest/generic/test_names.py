"""Names of fields: how they are cut into words and what the words mean."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.generic.candidates import Candidates
from ingest.generic.dictionaries import DICTIONARIES, EXACT
from ingest.generic.fields import assign
from ingest.generic.resolve import Resolver
from ingest.generic.rules import RULES
from ingest.generic.words import VOCABULARY, path_words
from ingest.mapping.parts import SPREADS
from ingest.mapping.targets import ECS, RESERVED
from tests.ingest.generic.names import CASES

WORDS = [
    ("srcip", "src ip"),
    ("SrcIP", "src ip"),
    ("source_ip", "src ip"),
    ("ip-source", "src ip"),
    ("sourceIPAddress", "src ip"),
    ("source.ipv4", "src ip"),
    ("cs(User-Agent)", "cs useragent"),
    ("initiatedBy.user.userPrincipalName", "actor user name"),
    ("ParentCommandLine", "parent cmdline"),
    ("userIDs", "user id"),
    ("bytes_toserver", "bytes sent"),
    ("bytes-from-server", "bytes received"),
    ("actors.#user.name", "actor user name"),
    ("conndestport", "connection dst port"),
    ("data.details.info", ""),
    ("qwxzv", "qwxzv"),
]


@pytest.mark.parametrize(("path", "words"), WORDS)
def test_words(path: str, words: str) -> None:
    assert " ".join(path_words(path)) == words


@pytest.mark.parametrize(("name", "target"), CASES)
def test_documented_names(name: str, target: str | None) -> None:
    targets = Resolver("json")(name).targets
    assert (targets[0][0] if targets else None) == target


@pytest.mark.parametrize(
    ("better", "worse", "target"),
    [
        ("source.ip", "clientIp", "source.ip"),
        ("eventTime", "createdAt", "~time"),
        ("createdAt", "updatedAt", "~time"),
        ("timestamp", "ingestedAt", "~time"),
        ("properties.timestamp", "time", "~time"),
        ("timestamp", "details.session.lastActivityTime", "~time"),
        ("user.name", "previous_user_name", "user"),
        ("sourceAddress", "source", "source.ip"),
    ],
)
def test_which_of_two_is_better(better: str, worse: str, target: str) -> None:
    resolver = Resolver("json")
    low = resolver(worse).targets
    assert resolver(better).targets[0][0] == target
    assert resolver(better).targets[0][1] > (low[0][1] if low else 0)


def targets_of_all_tables() -> set[str]:
    """Every target that a rule or a dictionary names."""
    tables = [EXACT, *DICTIONARIES.values()]
    targets = {target for rules in RULES.values() for rule in rules for target in rule.targets}
    return targets | {target for table in tables for row in table.values() for target, _ in row}


def test_every_target_exists() -> None:
    named = {name for name in targets_of_all_tables() if name[0] != "~"}
    assert named <= set(ECS) - RESERVED | set(SPREADS)


def test_every_open_question_is_decided() -> None:
    """What begins with `~` is taken by a decision, or by the mapping itself."""
    by_mapping = {"~time", "~timezone", "~timeformat", "~alert"}
    for target in sorted(targets_of_all_tables()):
        if target[0] == "~" and target not in by_mapping:
            found = Candidates()
            found.offer(target, 50, "192.0.2.1")
            assign(found)
            assert target not in found.by_target


def test_rules_speak_the_vocabulary() -> None:
    """A word that the vocabulary spells otherwise would never be met."""
    for head, rules in RULES.items():
        for rule in rules:
            for word in {head, *rule.bars, *(w for need in rule.needs for w in need)}:
                assert VOCABULARY.get(word.lstrip("^"), (word.lstrip("^"),)) == (word.lstrip("^"),)
            assert not any(need <= rule.bars for need in rule.needs)


def test_what_is_remembered_is_bounded_and_changes_nothing() -> None:
    resolver = Resolver("json")
    first = resolver("srcip")
    for number in range(20_000):
        resolver(f"x{number}")
    assert resolver("srcip") == first
    assert resolver("a" * 10_000).targets == ()


@given(st.text(max_size=60))
def test_any_name_is_resolved(name: str) -> None:
    plan = Resolver("json")(name)
    assert all(score > 0 for _, score in plan.targets)
