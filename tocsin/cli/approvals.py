"""`tocsin approvals`: what playbooks ask people, and the answers."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from tocsin.approvers import Approvers
from tocsin.cli.answering import ANSWER, Answer
from tocsin.cli.control import perform
from tocsin.cli.lists import read_store
from tocsin.cli.options import config_option, json_option
from tocsin.cli.output import json_lines, table
from tocsin.clock import SystemClock, iso
from tocsin.config import load
from tocsin.console.desk import Desk
from tocsin.console.links import Links
from tocsin.console.view import span
from tocsin.errors import ConfigError
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tocsin.console.questions import Question
    from tocsin.index import Store
    from tocsin.log.base import Outgoing

#: Environment variable with the token of whoever answers, where it is not their own account.
TOKEN = "TOCSIN_APPROVER_TOKEN"  # noqa: S105  (a name)


@click.group()
def approvals() -> None:
    """What playbooks ask people, and the answers."""


@approvals.command("list")
@config_option
@json_option
def list_approvals(config: Path | None, as_json: bool) -> None:
    """Open approvals, the most urgent first."""

    async def work(desk: Desk) -> list[Question]:
        return [await desk.whole(question) for question in await desk.open()]

    found = _looked(config, work)
    if as_json:
        json_lines(_json(question) for question in found)
        return
    now = SystemClock().now()
    columns = ("id", "answers until", "group", "yes", "plan", "playbook", "question")
    rows = (
        (
            each.id[:12],
            _until(each, now),
            each.group,
            f"{len(each.approved_by)}/{each.quorum}",
            each.plan[:12],
            each.playbook,
            each.message,
        )
        for each in found
    )
    table("Approvals", columns, rows)


@approvals.command()
@config_option
@json_option
@click.argument("id")
def show(config: Path | None, id: str, as_json: bool) -> None:
    """What exactly would be done, to what, why, and who may answer until when."""

    async def work(desk: Desk) -> Question:
        return await desk.find(id)

    found = _looked(config, work)
    if as_json:
        json_lines([_json(found)])
        return
    for line in _told(found, SystemClock().now()):
        click.echo(printable(line))


def _answering(command: Callable[..., None]) -> click.Command:
    """The options of `approve` and `deny`."""
    for option in (
        click.argument("id"),
        click.option("--plan", default="", metavar="HASH", help="The plan you have seen: at least "
                     "8 characters of its hash, from `approvals show`."),
        click.option("--reason", default="", help="Kept in the record."),
        click.option("--token-file", type=click.Path(path_type=Path, dir_okay=False), default=None,
                     help=f"Your token, if this is not your own account; or {TOKEN}."),
        config_option,
    ):  # fmt: skip
        command = option(command)
    return click.command(command)


@_answering
def approve(config: Path | None, id: str, plan: str, reason: str, token_file: Path | None) -> None:
    """Say yes to exactly the plan that was shown.

    The answer counts for the person whose account this is, as response.approvers says.
    """
    _answer(config, id, plan, reason, token_file, approve=True)


@_answering
def deny(config: Path | None, id: str, plan: str, reason: str, token_file: Path | None) -> None:
    """Say no; one no is enough. Without --plan it is a no to whatever is asked now."""
    _answer(config, id, plan, reason, token_file, approve=False)


approvals.add_command(approve)
approvals.add_command(deny)


@approvals.command()
@config_option
@click.argument("id")
@click.option("--for", "name", default="", metavar="NAME", help="Only this person's link.")
def link(config: Path | None, id: str, name: str) -> None:
    """Links that answer, one for each person of the group: good once, for a while, for this plan.

    Whoever has a link can answer as that person: hand it to nobody else.
    """
    settings = load(config)
    links = Links(settings.response.links)

    async def work(desk: Desk) -> Question:
        return await desk.find(id)

    question = _looked(config, work)
    people = Approvers(settings.response.approvers).of_group(question.group)
    wanted = [person for person in people if name in ("", person.name)]
    if not wanted:
        raise ConfigError(f"nobody in response.approvers is in {question.group} and so named")
    for person in wanted:
        url = links.url(question, by=person.name, now=SystemClock().now())
        click.echo(printable(f"{person.name}  {url}"))


def _looked(config: Path | None, work: Callable[[Desk], Awaitable[Any]]) -> Any:
    async def read(store: Store) -> Any:
        return await work(Desk(store, _nothing, SystemClock()))

    return read_store(load(config), read)


async def _nothing(records: Sequence[Outgoing]) -> None:
    raise ConfigError("this desk only looks")


def _answer(
    config: Path | None, id: str, plan: str, reason: str, token_file: Path | None, *, approve: bool
) -> None:
    settings = load(config)
    if not plan:
        if approve:
            raise ConfigError("say what you have seen with --plan: `tocsin approvals show` has it")
        plan = _plan_now(config, id)
    token = os.environ.get(TOKEN, "")
    if token_file is not None:
        token = token_file.read_text("utf-8").strip()
    try:
        asked = Answer(
            id=id, plan=plan, approve=approve, reason=reason, token=token, user=account()
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigError(f"{first['loc'][0]}: {first['msg']}") from None
    told, running = perform(settings, ANSWER, asked)
    click.echo(printable(_said(told, approve, running or settings.log.backend == "kafka")))
    if told["applied"] is False:
        sys.exit(1)


def _plan_now(config: Path | None, id: str) -> str:
    async def work(desk: Desk) -> str:
        return (await desk.find(id)).plan

    return str(_looked(config, work))


def account() -> str:
    """The account this process runs as; the environment has no say in it."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return ""


def _said(told: dict[str, Any], approve: bool, running: bool) -> str:
    answer = f"{told['by']} {'approves' if approve else 'denies'}"
    if told["applied"] is None:
        if running:
            return f"{answer}: it is in the log; the run has not said yet whether it counts"
        return f"{answer}: it is in the log; nothing is running, it counts when `tocsin run` starts"
    if not told["applied"]:
        return f"{answer}: recorded, and it changes nothing: {told['reason']}"
    if told["state"] == "open":
        return f"{answer}: counted, {told['approved']} of {told['quorum']} that are needed"
    return f"{answer}: counted; {told['state']}"


def _until(question: Question, now: int) -> str:
    if question.due <= now:
        return f"{iso(question.due)} (passed)"
    return f"{iso(question.due)} (in {span(question.due - now)})"


def _told(question: Question, now: int) -> list[str]:
    """An approval in words, a line each."""
    lines = [
        f"approval  {question.id}",
        f"state     {question.state}" + (f": {question.reason}" if question.reason else ""),
        f"question  {question.message}",
        *([f"note      {question.note}"] if question.note else []),
        f"because   {question.alert.get('message', '(the alert is not in the store)')}",
        f"run       {question.run_id} of {question.playbook}, step {question.step}",
        f"mode      {question.mode}",
        f"asked     {question.group}, {question.quorum} of it needed"
        + (" (escalated)" if question.escalated else ""),
        *([f"never     {', '.join(question.excluded)}"] if question.excluded else []),
        f"until     {_until(question, now)}",
        "would do",
        *(f"          {described(action)}" for action in question.actions),
        *([] if question.actions else ["          nothing that contains or destroys"]),
        *(f"answered  {answered(each)}" for each in question.answers),
        f"plan      {question.plan}",
    ]
    if question.state == "open":
        lines.append(
            f"answer    tocsin approvals approve {question.id[:12]} --plan {question.plan[:12]}"
        )
    return lines


def described(action: Any) -> str:
    """A planned action in one line."""
    hold = action.get("hold")
    text = f"{action.get('verb', '')} {action.get('target', '') or '(target not known yet)'}"
    if isinstance(hold, int) and hold:
        text += f" for {span(hold)}"
    known = "" if action.get("known") else "; its inputs are not known yet"
    run = f" of run {str(action['run'])[:12]}" if action.get("run") else ""
    inputs = action.get("inputs") or {}
    given = ", ".join(
        f"{name}={value}" for name, value in inputs.items() if value not in ("", None)
    )
    text += f" (step {action.get('step', '')}{run}{known})"
    return f"{text} with {given}" if given else text


def answered(answer: Any) -> str:
    """An answer in one line."""
    text = f"{answer.get('by', '')} {answer.get('decision', '')}"
    if not answer.get("applied"):
        text += f", not counted: {answer.get('reason') or 'the plan has changed since'}"
    return text + (f" ({answer['comment']})" if answer.get("comment") else "")


def _json(question: Question) -> dict[str, Any]:
    return asdict(question) | {"answers": [dict(each) for each in question.answers]}
