"""`tocsin guards check`: which entry of which list decides, and where it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "office.txt").write_text(
        "# ours\n198.51.100.0/24  # main\n\n2001:db8:1::/48\n", "utf-8"
    )
    path = tmp_path / "tocsin.yaml"
    guards = {
        "lists": {
            "own_ranges": ["file:office.txt"],
            "break_glass": ["root", "CORP\\rescue"],
            "shared": ["203.0.113.7"],
        },
        "never": ["own_ranges", "break_glass"],
    }
    content = {"data_dir": str(tmp_path / "data"), "response": {"guards": guards}}
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


#: Target, exit code, list, entry, where it is written.
CASES = (
    ("198.51.100.9", 1, "own_ranges", "198.51.100.0/24", "office.txt:2"),
    ("198.51.0.0/16", 1, "own_ranges", "198.51.100.0/24", "office.txt:2"),
    ("::ffff:198.51.100.9", 1, "own_ranges", "198.51.100.0/24", "office.txt:2"),
    ("2001:db8:1::5", 1, "own_ranges", "2001:db8:1::/48", "office.txt:4"),
    ("203.0.113.7", 0, "shared", "203.0.113.7", "tocsin.yaml:"),
    ("203.0.113.5", 0, "", "", ""),
    ("ROOT", 1, "break_glass", "root", "tocsin.yaml:"),
    ("rescue", 1, "break_glass", "corp\\rescue", "tocsin.yaml:"),
    ("0313.51.100.9", 2, "", "", ""),
    ("198.51.100.9/24", 2, "", "", ""),
)


def test_the_entry_that_decides_is_named_with_its_place(
    config: Path, tocsin: Callable[..., Ran]
) -> None:
    for target, code, name, entry, place in CASES:
        ran = tocsin("guards", "check", target, "-c", config, "--json")
        assert ran.code == code, (target, ran)
        found = ran.rows()
        assert [each["list"] for each in found] == ([name] if name else []), target
        for each in found:
            assert each["entry"] == entry
            assert place in each["place"], target
    table = tocsin("guards", "check", "198.51.100.9", "-c", config)
    assert "office.txt:2" in "".join(table.out.split()), "cells fold, and lose nothing"


def test_what_is_never_touched_anywhere_needs_no_list(
    config: Path, tocsin: Callable[..., Ran]
) -> None:
    for target in ("127.0.0.1", "0.0.0.0/0", "169.254.1.1", "::1"):
        ran = tocsin("guards", "check", target, "-c", config)
        assert ran.code == 1, target
        assert "(built in)" in ran.out
