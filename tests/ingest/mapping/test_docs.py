"""docs/mappings.md: its example works as it stands; the published schema is the code's."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ingest.mapping import testing
from ingest.mapping.building import build
from ingest.mapping.converters import CONVERTERS
from ingest.mapping.library import Library
from ingest.mapping.model import FORMATS, schema
from ingest.mapping.paths import HEADERS
from ingest.mapping.source import read_source

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "mappings.md").read_text("utf-8")


def test_the_first_mapping_works() -> None:
    found = re.search(r"2\. Write.*?```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert found is not None
    body = "\n".join(line.removeprefix("   ") for line in found[1].split("\n"))
    source = read_source("acme_gateway.yml", body.encode())
    program = build(source)
    assert not source.errors
    assert program is not None
    assert program.model is not None
    assert program.model.tests
    assert not testing.run(Library([program]))


def test_the_page_names_every_format_header_and_converter() -> None:
    for name in FORMATS:
        assert f"`{name}`" in TEXT, name
    for name in set(HEADERS) - {"received"}:
        assert f"`${name}`" in TEXT, name
    listed = re.search(r"Converters: `([^`]+)`", TEXT)
    assert listed is not None
    assert sorted(listed[1].split()) == sorted(CONVERTERS)


def test_the_published_schema_is_that_of_the_code() -> None:
    """`tocsin mappings schema > docs/schema/mapping.schema.json` after a change."""
    published = json.loads((ROOT / "docs" / "schema" / "mapping.schema.json").read_text("utf-8"))
    assert published == schema()
