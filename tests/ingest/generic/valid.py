"""Whether a document is valid ECS, by the table the mappings are checked with."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import orjson

from ingest.mapping.targets import BOOLEAN, DATE, ECS, FLOAT, IP, LONG, OBJECT, ROOTS
from tests.ingest.raw import flat

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_TYPES: dict[str, type | tuple[type, ...]] = {LONG: int, FLOAT: (int, float), BOOLEAN: bool}


def assert_valid(document: dict[str, Any]) -> None:
    """Fail on a field that is not ECS, or whose value is not of its type."""
    orjson.dumps(document)
    for path, value in flat(document).items():
        if path.split(".")[0] not in ROOTS:
            continue
        field = ECS.get(path)
        assert field is not None, path
        assert isinstance(value, list) == field.many, path
        for item in value if isinstance(value, list) else [value]:
            if field.type == IP:
                ipaddress.ip_address(item)
            elif field.type == DATE:
                assert _TIME.fullmatch(item), (path, item)
            elif field.type in _TYPES:
                assert isinstance(item, _TYPES[field.type]), path
                assert field.type == BOOLEAN or not isinstance(item, bool), path
            elif field.type != OBJECT:
                assert isinstance(item, str), path
                assert item, path
            assert field.allowed is None or item in field.allowed, (path, item)
