"""What the log contract suite needs of a backend, so that one suite drives them all.

A backend adds itself with a module that exports `BACKENDS: tuple[Backend, ...]`; conftest.py
lists the modules. A child process that is to be killed opens the log by itself from
`LogHarness.spec()`, a JSON object whose `opener` names a coroutine function "module:function"
that takes the spec and returns a started log.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import pytest

    from tocsin.log.base import Log


class LogHarness(Protocol):
    """One backend with data of its own; everything lives as long as the harness."""

    @property
    def partitions(self) -> int:
        """Partitions of each topic that the suite creates, at least 2."""
        ...

    @property
    def patience(self) -> float:
        """Seconds within which anything that must happen has happened (rebalance, fail-over)."""
        ...

    @property
    def exclusive(self) -> bool:
        """Whether only one log may be open at a time (the embedded one)."""
        ...

    async def open(self) -> Log:
        """A started log on the harness's data; the suite closes it."""
        ...

    def spec(self) -> dict[str, Any]:
        """How a child process opens the same data: JSON, with `opener`."""
        ...

    def away(self, log: Log) -> AbstractAsyncContextManager[None]:
        """Inside, appending to and completing on `log` is LogUnavailable; then it works again.

        Writes of a mebibyte at least are asked to fail (a full disk still has odd bytes).
        """
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """A parameter of the suite.

    `harness` makes a harness in an empty directory; `unsupported` maps the name of a test
    function to the reason why this backend cannot run it (shown as a skip).
    """

    name: str
    harness: Callable[[Path], AbstractAsyncContextManager[LogHarness]]
    marks: tuple[pytest.MarkDecorator, ...] = ()
    unsupported: Mapping[str, str] = field(default_factory=dict)


async def open_from_spec(text: str) -> Log:
    """Open the log that a harness described (in a child process)."""
    spec = json.loads(text)
    module, _, name = spec["opener"].partition(":")
    log: Log = await getattr(import_module(module), name)(spec)
    return log
