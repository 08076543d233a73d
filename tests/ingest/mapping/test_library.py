"""The mappings that come with Tocsin: they load, and their own tests pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ingest.mapping import testing
from ingest.mapping.library import Library
from ingest.mapping.loading import BUILTIN, read_programs
from ingest.normalize import Normalizer

if TYPE_CHECKING:
    from ingest.mapping.program import Program
    from tocsin.errors import MappingError

_ERRORS: list[MappingError] = []
_PROGRAMS = read_programs([BUILTIN], _ERRORS)


def test_every_mapping_loads() -> None:
    assert not [str(error) for error in _ERRORS]


@pytest.fixture(scope="module")
def normalizer() -> Normalizer:
    return Normalizer(Library(_PROGRAMS.values()))


@pytest.mark.parametrize("program", _PROGRAMS.values(), ids=_PROGRAMS.keys())
def test_the_tests_of_a_mapping_pass(program: Program, normalizer: Normalizer) -> None:
    assert not [str(failure) for failure in testing.check(program, normalizer)]
