"""`tocsin scan --format pairs` of raw events gives the published hits, differences explained."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import TYPE_CHECKING

import orjson
import pytest
from click.testing import CliRunner

from tests.corpus.test_sigma_corpus import BEYOND
from tocsin.cli.scan.command import command

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Pairs = set[tuple[int, str]]


def pairs(text: str) -> Pairs:
    return {(int(number), rule) for number, rule in (row.split("\t") for row in text.splitlines())}


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data" / "sigma"


@pytest.fixture(scope="module")
def scanned(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pairs]:
    """What the command writes for each corpus."""
    found: dict[str, Pairs] = {}
    for corpus in BEYOND:
        output = tmp_path_factory.mktemp("scan") / "pairs.tsv"
        arguments = [str(folder / f"{corpus}.jsonl.gz"), "--format", "pairs", "--jobs", "1"]
        arguments += ["--rules", str(folder / "sigmahq-rules.tar.gz"), "--input-field", "event"]
        result = CliRunner().invoke(command, [*arguments, "--output", str(output)])
        assert result.exit_code == 0, result.output
        rows = output.read_text("utf-8").splitlines()
        assert rows == sorted(rows, key=lambda row: (int(row.split("\t")[0]), row))
        found[corpus] = pairs(output.read_text("utf-8"))
    return found


@pytest.mark.parametrize("corpus", list(BEYOND))
def test_hits_are_the_published_ones(scanned: dict[str, Pairs], folder: Path, corpus: str) -> None:
    published = pairs((folder / f"{corpus}.hits.tsv").read_text("utf-8"))
    assert published - scanned[corpus] == set()
    assert scanned[corpus] - published == set(BEYOND[corpus])


def test_every_regression_file_fires_as_often_as_stated(
    scanned: dict[str, Pairs], folder: Path
) -> None:
    with gzip.open(folder / "sigmahq-regression.jsonl.gz", "rb") as lines:
        files = [orjson.loads(line)["file"] for line in lines]
    fired = Counter((files[number], rule) for number, rule in scanned["sigmahq-regression"])
    entries = json.loads((folder / "sigmahq-regression.expected.json").read_text("utf-8"))
    assert len(entries) == 138
    missed = [
        (entry["file"], rule)
        for entry in entries
        for rule in entry["rule_ids"]
        if fired[entry["file"], rule] < (entry["match_count"] or 1)
    ]
    assert missed == []
