"""What the gate on a machine with nftables lets through, as a program of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from responders.agents import nft_gate
from responders.agents.nft_gate import allowed

if TYPE_CHECKING:
    from pathlib import Path

OURS = {"family": "inet", "table": "tocsin"}


@pytest.mark.parametrize(
    "command",
    [
        {"add": {"table": {"family": "inet", "name": "tocsin"}}},
        {"add": {"element": OURS | {"name": "blocked4", "elem": ["203.0.113.66"]}}},
        {"delete": {"table": {"family": "inet", "name": "tocsin_isolation"}}},
        {"flush": {"chain": OURS | {"name": "input"}}},
        {"list": {"chains": {"family": "inet"}}},
        {"list": {"set": OURS | {"name": "blocked4"}}},
    ],
)
def test_our_own_tables_are_let_through(command: dict[str, Any]) -> None:
    assert allowed(command)


@pytest.mark.parametrize(
    "command",
    [
        {"flush": {"ruleset": None}},
        {"delete": {"table": {"family": "inet", "name": "filter"}}},
        {"add": {"rule": {"family": "ip", "table": "tocsin", "chain": "input", "expr": []}}},
        {"add": {"element": {"family": "inet", "table": "mine", "name": "s", "elem": ["a"]}}},
        {"add": {"table": {"family": "inet", "table": "tocsin", "name": "mine"}}},
        {"list": {"ruleset": None}},
        {"list": {"set": {"family": "inet", "table": "mine", "name": "s"}}},
        {"add": {"table": {"family": "inet", "name": "tocsin"}}, "flush": {"ruleset": None}},
        {"reset": {"counters": OURS}},
        "flush ruleset",
        [],
        None,
    ],
)
def test_nothing_else_is(command: object) -> None:
    assert not allowed(command)


@pytest.mark.parametrize(
    ("asked", "data", "passes"),
    [
        ("nft -j -f -", {"nftables": [{"list": {"chains": {"family": "inet"}}}]}, True),
        ("nft get element inet tocsin blocked4 '{ 203.0.113.66 }'", None, True),
        ("nft -j -f -", {"nftables": [{"flush": {"ruleset": None}}]}, False),
        ("nft -j -f -", {"nftables": 7}, False),
        ("nft -j -f -", ["nftables"], False),
        ("nft get element inet tocsin blocked4 '{ 203.0.113.66 }; flush ruleset'", None, False),
        ("nft get element inet mine s '{ 203.0.113.66 }'", None, False),
        ("nft flush ruleset", None, False),
        ("nft -j -f - ; id", None, False),
        ("sh -c id", None, False),
        ("", None, False),
    ],
)
def test_as_a_program(tmp_path: Path, asked: str, data: object, passes: bool) -> None:
    """`nft` is a program that says what it got."""
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\necho ran\ncat\n")
    nft.chmod(0o755)
    ended = subprocess.run(
        [sys.executable, "-I", str(nft_gate.__file__)],
        input=orjson.dumps(data) if data is not None else b"",
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SSH_ORIGINAL_COMMAND": asked},
        capture_output=True,
        timeout=30,
    )
    if passes:
        assert ended.returncode == 0
        assert ended.stdout.startswith(b"ran\n")
    else:
        assert (ended.returncode, ended.stdout) == (1, b"")
        assert b"tocsin-nft-gate: " in ended.stderr
