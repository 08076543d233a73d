"""Our field types against the published ECS schema."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tocsin.index.documents import EVENT_DATASETS
from tocsin.index.fields import ROOTS, TYPES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

#: What is not ECS: our tree, a vendor's that we type on purpose, a Sigma rule's tags.
OWN = ("tocsin.", "aws.", "rule.tags")
#: What stands for an ECS type here.
SAME = {"constant_keyword": "keyword", "object": "flattened", "scaled_float": "float"}


@pytest.fixture(scope="module")
def ecs(shared: Path) -> dict[str, dict[str, Any]]:
    with gzip.open(shared / "data" / "ecs" / "ecs_flat.yml.gz") as file:
        loaded: dict[str, dict[str, Any]] = yaml.load(file, yaml.CSafeLoader)
    return loaded


def test_types_are_those_of_ecs(ecs: dict[str, dict[str, Any]]) -> None:
    checked = 0
    for field, type in TYPES.items():
        if field.startswith(OWN):
            continue
        published = ecs[field]
        if type == "unindexed":
            assert not published.get("index", True), field
        else:
            assert SAME.get(published["type"], published["type"]) == type, field
        checked += 1
    assert checked > 200


def test_every_ecs_root_is_known_as_one(ecs: dict[str, dict[str, Any]]) -> None:
    assert {field.split(".")[0] for field in ecs if "." in field} <= set(ROOTS)
    assert len(EVENT_DATASETS) < 50, "each data set costs a shard"
