"""Without nft, or without the namespace it is to act in, nothing counts as gone."""

from __future__ import annotations

import shutil

import pytest

from responders.base import Call
from responders.isolation import Isolation, IsolationConfig
from responders.nftables import Nftables, NftablesConfig, is_gone
from tocsin.errors import ConnectorError

ADDRESS = "203.0.113.9"
NOBODY = (("/nonexistent/nft",), ("ip", "netns", "exec", "tocsin-no-such-namespace", "nft"))


def call(verb: str = "firewall.block_ip", target: str = ADDRESS) -> Call:
    return Call(verb, target, {"ip": target}, "key", 5_000)


@pytest.mark.parametrize("command", NOBODY, ids=["no program", "no namespace"])
async def test_what_cannot_be_asked_is_not_taken_for_gone(command: tuple[str, ...]) -> None:
    if command[0] == "ip" and not shutil.which("ip"):
        pytest.skip("no ip")
    firewall = Nftables(NftablesConfig(command=command))
    for ask in (firewall.undo(call(), {}), firewall.probe(call()), firewall.held("", 5_000)):
        with pytest.raises(ConnectorError):
            await ask
    place = IsolationConfig.model_validate(
        {"hosts": {"web-01": {"command": command}}, "keep": ["192.0.2.1"]}
    )
    with pytest.raises(ConnectorError):
        await Isolation(place).undo(call("host.isolate", "web-01"), {})


@pytest.mark.parametrize(
    ("kind", "said", "gone"),
    [
        ("invalid", "nft refused: Error: Could not process rule: No such file or directory", True),
        ("invalid", "nft refused: internal:0:0-0: Error: No such file or directory", True),
        ("invalid", "nft refused: Error: element does not exist", True),
        ("invalid", "nft refused: bash: line 1: nft: No such file or directory", False),
        ("unavailable", "nft cannot be started (No such file or directory): install it", False),
        ("invalid", "nft refused: Error: syntax error, unexpected end of file", False),
    ],
)
def test_only_nfts_own_word_counts(kind: str, said: str, gone: bool) -> None:
    assert is_gone(ConnectorError(kind, said)) is gone
