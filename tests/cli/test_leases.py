"""`tocsin leases list | reconcile`: differences between leases and products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from tocsin.cli.leases import standing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Made, Ran


def entry(seq: int, kind: str, target: str = "203.0.113.9") -> dict[str, object]:
    body = {"connector": "fw", "verb": "firewall.block_ip", "target": target, "since": 5}
    return {"at": 1_000, "seq": seq, "kind": f"drift.{kind}", "body": body}


def test_the_newest_word_on_a_difference_decides() -> None:
    found = standing(
        [
            entry(4, "orphan"),
            entry(2, "settled"),
            entry(1, "orphan"),
            entry(3, "missing", "198.51.100.7"),
            entry(5, "reapplied", "198.51.100.7"),
            entry(6, "missing", "198.51.100.8") | {"at": 900},
        ]
    )
    assert [(row["state"], row["target"]) for row in found] == [
        ("missing", "198.51.100.8"),
        ("orphan", "203.0.113.9"),
    ]


def test_a_product_that_cannot_be_asked_is_no_agreement(
    made: Made, tocsin: Callable[..., Ran]
) -> None:
    assert tocsin("leases", "reconcile", "-c", made.config).code == 0  # nothing here can list
    content = yaml.safe_load(made.config.read_text("utf-8"))
    content["response"]["connectors"]["filter"] = {
        "type": "nftables",
        "command": ["/nonexistent/nft"],
    }
    made.config.write_text(yaml.safe_dump(content), "utf-8")
    ran = tocsin("leases", "reconcile", "-c", made.config)
    assert ran.code == 3
    assert "filter could not be asked" in ran.err
    assert ran.out == ""
