"""Wiring the pages people act on to a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tocsin.approvers import Approvers
from tocsin.cli.answering import CancelRun
from tocsin.cli.operations import Operations, Release
from tocsin.console.desk import Desk
from tocsin.console.links import Links
from tocsin.console.pages import Pages, Rooms
from tocsin.console.rendering import Writer
from tocsin.console.sessions import Sessions
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from tocsin.cli.pipeline import Pipeline


class _Acts:
    """What the command line does too, for the pages."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    async def release(self, verb: str, target: str, by: str) -> None:
        try:
            asked = Release(verb=verb, target=target, by=by)
        except ValueError:
            raise ConfigError("the form names no lease") from None
        await self._operations.release(asked)

    async def cancel(self, run_id: str, by: str, reason: str) -> None:
        try:
            asked = CancelRun(run=run_id, by=by, reason=reason)
        except ValueError:
            raise ConfigError("the form names no run, or its reason is too long") from None
        await self._operations.answering.cancel(asked)


def operations(pipeline: Pipeline) -> Operations:
    """What people may ask of a pipeline."""
    return Operations(
        pipeline.log,
        pipeline.store,
        pipeline.clock,
        approvers=Approvers(pipeline.settings.response.approvers),
    )


def pages(pipeline: Pipeline) -> Pages:
    """The pages of a pipeline."""
    response = pipeline.settings.response
    approvers = Approvers(response.approvers)
    return Pages(
        Rooms(
            desk=Desk(pipeline.store, pipeline.log.append, pipeline.clock),
            records=pipeline.store,
            approvers=approvers,
            sessions=Sessions(approvers, pipeline.clock),
            links=Links(response.links),
            acts=_Acts(operations(pipeline)),
            clock=pipeline.clock,
            writer=Writer(),
        )
    )
