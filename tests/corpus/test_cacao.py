"""CACAO playbooks of others: the valid ones come in and go out, the invalid ones do not come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from playbooks.cacao.exporting import export_cacao
from playbooks.cacao.importing import import_cacao
from playbooks.cacao.meaning import meaning
from playbooks.cacao.problems import Level, Problems
from playbooks.cacao.reading import read_cacao
from playbooks.cacao.validate import validate
from playbooks.loading import load_playbook
from playbooks.writing import to_yaml

if TYPE_CHECKING:
    from pathlib import Path

#: Words that the reason of each refusal has.
INVALID = {
    "soarca-test-invalid_playbook.json": "this is of type 'invalid'",
    "soarca-test-missing_step_playbook.json": "there is no step",
}


def read(path: Path) -> tuple[dict[str, Any], Problems]:
    problems = Problems()
    playbook = read_cacao(path.read_bytes(), problems)
    assert playbook is not None
    validate(playbook, problems)
    return playbook, problems


@pytest.fixture(scope="module")
def cacao(shared: Path) -> Path:
    if not (shared / "data" / "cacao").is_dir():
        pytest.skip(f"no CACAO playbooks in {shared}")
    return shared / "data" / "cacao"


def test_valid_ones_import_export_and_import_with_the_same_meaning(cacao: Path) -> None:
    valid = [path for path in sorted(cacao.glob("*.json")) if path.name not in INVALID]
    assert len(valid) == 9
    for path in valid:
        playbook, problems = read(path)
        assert problems.of(Level.ERROR) == [], path.name
        document = import_cacao(playbook, Problems())
        load_playbook(path.name, to_yaml(document).encode(), {}, ())
        exported = export_cacao(document, Problems(), at="2026-01-01T00:00:00.000Z")
        assert meaning(exported) == meaning(playbook), path.name
        assert import_cacao(exported, Problems()) == document, path.name


def test_invalid_ones_are_refused_with_the_reason(cacao: Path) -> None:
    for name, words in INVALID.items():
        _, problems = read(cacao / name)
        assert any(words in error.message for error in problems.of(Level.ERROR)), name
