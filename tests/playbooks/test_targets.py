"""One spelling per target; doubtful spellings are refused."""

from __future__ import annotations

import pytest

from playbooks.targets import MAX_TARGET, canonical_target
from responders.base import EntityKind


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (EntityKind.ADDRESS, "203.0.113.7", "203.0.113.7"),
        (EntityKind.ADDRESS, "::ffff:203.0.113.7", "203.0.113.7"),
        (EntityKind.ADDRESS, "::ffff:cb00:7107", "203.0.113.7"),
        (EntityKind.ADDRESS, "2001:DB8:0:0::1", "2001:db8::1"),
        (EntityKind.HOST, "Web-1.Example.COM.", "web-1.example.com"),
        (EntityKind.USER, "Jose\u0301", "Jos\u00e9"),
        (EntityKind.CASE, "0a1b", "0a1b"),
    ],
)
def test_canonical(kind: EntityKind, value: str, expected: str) -> None:
    assert canonical_target(kind, value) == expected
    assert canonical_target(kind, expected) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (EntityKind.ADDRESS, ""),
        (EntityKind.ADDRESS, None),
        (EntityKind.ADDRESS, 3405803783),
        (EntityKind.ADDRESS, "203.0.113.07"),
        (EntityKind.ADDRESS, "203.0.7"),
        (EntityKind.ADDRESS, "0xcb.0.113.7"),
        (EntityKind.ADDRESS, "203.0.113.0/24"),
        (EntityKind.ADDRESS, "fe80::1%eth0"),
        (EntityKind.ADDRESS, " 203.0.113.7"),
        (EntityKind.ADDRESS, "203.0.113.7\n"),
        (EntityKind.HOST, "."),
        (EntityKind.HOST, "a b"),
        (EntityKind.USER, "root\x00"),
        (EntityKind.USER, "ro\u200bot"),
        (EntityKind.USER, "x" * (MAX_TARGET + 1)),
    ],
)
def test_refused(kind: EntityKind, value: object) -> None:
    with pytest.raises(ValueError, match=r"target|address|zone id|host name"):
        canonical_target(kind, value)
