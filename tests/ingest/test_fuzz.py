"""Mutated lines: nothing escapes, nothing is lost, every document is valid ECS.

TOCSIN_FUZZ_LINES=1000000 runs a family at length, and then also holds each line to SLOW; without
it a few hundred lines per family are tried, by their numbers the same ones each time.
"""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

import pytest

from ingest.mapping.library import builtin
from ingest.normalize import NormalizeStage
from tests.ingest.fuzzing import judged, mutant, run
from tests.ingest.mutations import LONGEST, mutated
from tests.ingest.seeds import FAMILIES, family_of, own_seeds, real_seeds

if TYPE_CHECKING:
    from pathlib import Path

#: Lines per family, unless TOCSIN_FUZZ_LINES says otherwise.
LINES = 200

_LONG = os.environ.get("TOCSIN_FUZZ_LINES")


def _run(family: str, seeds: list[bytes]) -> None:
    report = run(family, seeds, iter(range(int(_LONG or LINES))))
    assert report.failures == {}
    assert report.lines == int(_LONG or LINES)
    if _LONG:
        assert report.slow == {}


@pytest.mark.timeout(0 if _LONG else 60)
@pytest.mark.parametrize("family", FAMILIES)
def test_mutants_of_our_own_lines(family: str) -> None:
    _run(family, own_seeds(builtin())[family])


@pytest.mark.timeout(0 if _LONG else 60)
@pytest.mark.parametrize("family", FAMILIES)
def test_mutants_of_real_lines(family: str, shared: Path) -> None:
    seeds = real_seeds(shared)[family]
    if not seeds:
        pytest.skip(f"no real lines of the family {family} in {shared}")
    _run(family, seeds)


def test_every_family_has_lines_of_our_own() -> None:
    assert all(own_seeds(builtin()).values())


@pytest.mark.parametrize(
    ("line", "family"),
    [
        (b"<13>May  1 10:00:00 h CEF:0|a|b|1|x|n|5|src=192.0.2.1", "cef"),
        (b"LEEF:2.0|a|b|1|x|^|src=192.0.2.1", "leef"),
        (b'{"EventID": 4624}', "windows"),
        (b'{"a": 1}', "json"),
        (b'192.0.2.1 - - [01/May/2024:10:00:00 +0000] "GET / HTTP/1.1" 200 1', "access"),
        (b"a=1 b=2 c=3 d=4", "kv"),
        (b"1,2,3,4,5,6,7", "csv"),
        (b"May  1 10:00:00 h sshd[1]: hello", "syslog"),
    ],
)
def test_families_are_told_apart(line: bytes, family: str) -> None:
    assert family_of(line) == family


def test_a_number_is_always_the_same_mutant() -> None:
    seeds = [b"May  1 10:00:00 h sshd[1]: hello", b'{"a": {"b": [1, 2]}}']
    assert [mutant(seeds, n) for n in range(200)] == [mutant(seeds, n) for n in range(200)]
    assert len({mutant(seeds, n) for n in range(200)}) > 150
    assert max(len(mutated(seeds, Random(n))) for n in range(5_000)) <= LONGEST  # noqa: S311


def test_the_judge_sees_a_line_that_is_lost() -> None:
    class Losing(NormalizeStage):
        """A stage that says it sent what it did not."""

        def process(self, *arguments: object) -> object:  # type: ignore[override]
            batch = super().process(*arguments)  # type: ignore[arg-type]
            batch.outputs.clear()
            return batch

    assert judged(NormalizeStage(), b"hello") >= 0
    with pytest.raises(AssertionError):
        judged(Losing(), b"hello")


#: What fuzzing found, smallest form: each escaped once, or took too long.
FOUND = [
    # A form of times that names a directive twice: strptime raises no ValueError for it.
    b"LEEF:1.0|V|P|1|id|devTimeFormat=d dd\tdevTime=1 1\tsrc=192.0.2.1",
    b"LEEF:1.0|V|P|1|id|devTimeFormat=yyyy yyyy\tdevTime=2024 2024\tsrc=192.0.2.1",
    # A URL with a password and an empty user.
    b"portal sign-in url=http://:pw@example.org/ ip=192.0.2.1 a=1 b=2",
    # Cubic: each of several optional parts could begin at any of the blanks.
    b"2023/07/04:09:03:45" + b" " * 900 + b"failure.",
    # Addresses of mail were looked for at each place of a long word.
    b"action=pass, sender=al@example.com, recipient=b" + b"." * 60_000 + b"@example.net, x=1",
    # The same in a header that Postfix shows, at each of two hundred places.
    b"2F46A140256: replace: header From: He" + b"025" * 5_440 + b" from x[192.0.2.1]",
]


@pytest.mark.parametrize("line", FOUND, ids=range(len(FOUND)))
def test_what_was_found(line: bytes) -> None:
    judged(NormalizeStage(), line)
