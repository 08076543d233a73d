"""Rules as they are published, for each product, on raw lines of that product."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml

from detect.sigma import load_rules, load_taxonomy
from detect.sigma.batch import BatchMatcher, EventText
from detect.sigma.condition import Exists, Null
from detect.sigma.routing import items
from ingest.normalize import Delivery, Normalizer
from tests.detect.sigma.support import rule, write
from tocsin.route import ROUTE_FIELDS, ROUTE_PRESENCE, route_of

if TYPE_CHECKING:
    from detect.sigma.ruleset import RuleSet

PRODUCTS: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parent / "products.yml").read_text("utf-8")
)
TAXONOMY = load_taxonomy()
NORMALIZER = Normalizer()

#: 2026-03-04T12:00:00Z, when the lines are received.
RECEIVED = 1_772_625_600_000


def event(raw: Any, source: str) -> dict[str, Any]:
    data = raw.encode() if isinstance(raw, str) else orjson.dumps(raw)
    delivery = Delivery(data, source, "default", RECEIVED, ("raw", 0, 0), "", "UTC")
    ((document, _),) = NORMALIZER.events(delivery)
    return document


def matches(rules: RuleSet, document: dict[str, Any]) -> bool:
    """Whether the rule matches; by both matchers, with and without the header `route`."""
    plain = bool(rules.match(document))
    text = orjson.dumps(document)
    route = route_of(document)
    assert route, "the fields that decide about logsources are plain"
    matcher = BatchMatcher(rules)
    for given in (EventText(text), EventText(text, route)):
        assert bool(matcher.match([given])) is plain
    return plain


@pytest.mark.parametrize("product", PRODUCTS, ids=[product["name"] for product in PRODUCTS])
def test_a_rule_for_the_product_fires(product: dict[str, Any], tmp_path: Path) -> None:
    selection = product.get("selection") or product["keywords"]
    content = rule(
        logsource=product["logsource"],
        detection={"selection": selection, "condition": "selection"},
    )
    rules = load_rules([write(tmp_path, content)], builtin=False, taxonomy=TAXONOMY)
    assert not rules.unsupported
    source = product.get("source", "test")
    document = event(product["raw"], source)
    assert matches(rules, document), document
    if "miss" in product:
        assert not matches(rules, event(product["miss"], source))


def test_logsources_are_told_by_the_header_route() -> None:
    """Else each event would have to be decoded before it can be matched."""
    for entry in TAXONOMY.entries:
        for item in items(entry.when):
            by_presence = all(isinstance(each, Exists | Null) for each in item.expectations)
            assert item.field in ROUTE_FIELDS or (item.field in ROUTE_PRESENCE and by_presence)
