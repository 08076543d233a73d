"""All published rules are the same set from the cache, and hit the same events."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import orjson
import pytest

from detect.sigma import load_rules, load_taxonomy
from ingest.normalize import Delivery, Normalizer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_published_rules_are_the_same_from_the_cache(shared: Path, tmp_path: Path) -> None:
    folder, taxonomy = shared / "data" / "sigma", load_taxonomy()
    archive = folder / "sigmahq-rules.tar.gz"
    cold, warm = (
        load_rules(
            [archive], builtin=True, allow_errors=True, taxonomy=taxonomy, cache=tmp_path / "kept"
        )
        for _ in range(2)
    )
    assert len(cold.rules) + len(cold.unsupported) > 3754
    assert warm.rules == cold.rules
    assert warm.correlations == cold.correlations
    assert warm.unsupported == cold.unsupported
    assert list(map(str, warm.errors)) == list(map(str, cold.errors))
    normalizer, hits = Normalizer(), 0
    with gzip.open(folder / "sigmahq-regression.jsonl.gz", "rb") as lines:
        for number, line in enumerate(lines):
            data = orjson.dumps(orjson.loads(line)["event"])
            raw = Delivery(data, "test", "default", 0, ("test", 0, number), "", "UTC")
            for document, _ in normalizer.events(raw):
                found = [(m.rule.rule.id, m.hits) for m in warm.match(document)]
                assert found == [(m.rule.rule.id, m.hits) for m in cold.match(document)]
                hits += len(found)
    assert hits > 150
