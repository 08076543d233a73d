"""Making small rules and rule sets in tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from detect.sigma import RuleSet, load_rules
from detect.sigma.event import FieldMap
from detect.sigma.taxonomy import Entry, Logsource, Taxonomy, membership

if TYPE_CHECKING:
    from pathlib import Path

#: Every event belongs to the logsource `category: test`, with fields under their own names.
ANYTHING = Taxonomy(
    [Entry(Logsource(category="test"), membership({"never.there|exists": False}), FieldMap())]
)


def rule(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A valid rule; `changes` replace keys, None removes one."""
    content = {
        "title": f"Rule {number}",
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "logsource": {"category": "test"},
        "detection": {"selection": {"field": "value"}, "condition": "selection"},
        "level": "high",
        **changes,
    }
    return {key: value for key, value in content.items() if value is not None}


def write(directory: Path, *contents: dict[str, Any], name: str = "rules.yml") -> Path:
    """A rule file with these documents."""
    path = directory / name
    path.write_text(yaml.safe_dump_all(contents, sort_keys=False), "utf-8")
    return path


def load(directory: Path, *contents: dict[str, Any], **options: Any) -> RuleSet:
    """The rule set of these documents alone, over the taxonomy ANYTHING."""
    options = {"builtin": False, "taxonomy": ANYTHING, **options}
    return load_rules([write(directory, *contents)], **options)
