"""Keys tell any two groups apart, whatever characters an attacker puts into a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.keys import dedup_key, group_key, parse_group_key

TEXT = st.text(alphabet="ab|=\\\n", max_size=6)
GROUPS = st.dictionaries(TEXT, TEXT, max_size=3)


def test_fields_are_sorted_and_named() -> None:
    key = dedup_key("r1", {"user.name": "root", "source.ip": "192.0.2.1"})
    assert key == "r1|source.ip=192.0.2.1|user.name=root"


@given(TEXT, GROUPS)
def test_a_group_key_can_be_read_back(correlation: str, group: dict[str, str]) -> None:
    assert parse_group_key(group_key(correlation, group)) == (correlation, group)


@pytest.mark.parametrize("key", ["c|no name", "c|a=b\\", "c||a=b"])
def test_what_is_no_group_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"escape|name"):
        parse_group_key(key)
