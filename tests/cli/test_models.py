"""`tocsin models` from rows to a model in force and back."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tocsin.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with names of syllables and names thrown together."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOCSIN_CONFIG", raising=False)
    draw = random.Random(1)  # noqa: S311
    usual = ["".join(draw.choices(("mar", "to", "lin", "sol"), k=3)) for _ in range(60)]
    odd = ["".join(draw.choices("bcdfgkqwxz0189", k=12)) for _ in range(60)]
    lines = [f"{n}.example\tbenign" for n in usual] + [f"{n}.test\tmade" for n in odd]
    path = tmp_path / "names.tsv"
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_from_rows_to_a_model_in_force_and_back(names: Path, tocsin: Callable[..., Ran]) -> None:
    trained = tocsin("models", "train", "dga", "--data", names, "--out", "one.model").rows()[0]
    measured = tocsin("models", "evaluate", "one.model", "--data", names).rows()[0]
    assert measured["version"] == trained["version"]
    assert measured["auc"] > 0.99
    scores = [float(n) for n in tocsin("models", "score", "one.model", "--data", names).out.split()]
    assert len(scores) == 120
    assert max(scores[:60]) < min(scores[60:])

    assert tocsin("models", "promote", "dga").code == 2, "there is no shadow"
    assert "is a shadow" in tocsin("models", "shadow", "one.model").out
    assert "is in force" in tocsin("models", "promote", "dga").out
    (row,) = tocsin("models", "show", "--json").rows()
    assert (row["role"], row["version"]) == ("active", trained["version"])
    nothing = tocsin("models", "rollback", "dga")
    assert nothing.code == 2
    assert "no former model" in nothing.err


def test_a_spoiled_file_is_refused_with_its_reason(names: Path, tocsin: Callable[..., Ran]) -> None:
    assert tocsin("models", "train", "dga", "--data", names, "--out", "one.model").code == 0
    spoiled = names.with_name("one.model")
    spoiled.write_bytes(spoiled.read_bytes()[:-1])
    for command in (("evaluate", spoiled, "--data", names), ("shadow", spoiled)):
        refused = tocsin("models", *command)
        assert refused.code == 3
        assert "(truncated)" in refused.err


def test_a_key_that_is_not_trusted_here_is_refused(names: Path, tocsin: Callable[..., Ran]) -> None:
    assert tocsin("models", "train", "dga", "--data", names, "--out", "one.model").code == 0
    (names.parent / "data" / "models" / "trusted.keys").write_text("", "utf-8")
    assert "(foreign_key)" in tocsin("models", "shadow", "one.model").err


def test_there_is_a_page_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["models", "frobnicate"])
    assert "No such command" in capsys.readouterr().err
