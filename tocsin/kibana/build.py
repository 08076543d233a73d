"""The NDJSON files beside this one, as `python -m tocsin.kibana` writes them.

They are committed, so that Kibana's own import page can take them; a test holds them equal to
what this writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tocsin.ids import canonical_json
from tocsin.kibana.board import objects
from tocsin.kibana.rule import detection_rule

if TYPE_CHECKING:
    from collections.abc import Iterable

DIRECTORY = Path(__file__).parent

#: For `POST /api/saved_objects/_import`.
SAVED_OBJECTS = "tocsin-saved-objects.ndjson"
#: For `POST /api/detection_engine/rules/_import`.
DETECTION_RULES = "tocsin-detection-rules.ndjson"


def render() -> dict[str, bytes]:
    """Content of each file: one JSON object a line, the same bytes each time."""
    return {SAVED_OBJECTS: _lines(objects()), DETECTION_RULES: _lines([detection_rule()])}


def _lines(values: Iterable[object]) -> bytes:
    return b"".join(canonical_json(value) + b"\n" for value in values)
