"""Doing something to the log, whoever holds it.

Nobody holds it, or it is Kafka: the command opens it. A running `tocsin run` holds the embedded
log: its console does it for the command, which finds address and token in a file of data_dir
that only the same user can read.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from tocsin.approvers import Approvers
from tocsin.cli.operations import Operations
from tocsin.cli.topics import all_topics, build_log
from tocsin.clock import SystemClock
from tocsin.console.desk import PATIENCE as ANSWERED
from tocsin.errors import ConfigError, LogError, LogInUse
from tocsin.index import build_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tocsin.config import Settings
    from tocsin.console.control import Asked

#: The file that tells where a running process listens, in data_dir.
FILE = "control.json"

#: Longest wait for the running process, seconds; replaying a full topic takes a while.
PATIENCE = 300.0


def new_token() -> str:
    """A token that cannot be guessed (256 bits)."""
    return secrets.token_urlsafe(32)


@contextmanager
def announced(data_dir: Path, url: str, token: str) -> Iterator[None]:
    """While inside, the control file tells this user where and how to ask."""
    path = data_dir / FILE
    draft = path.with_name(f"{FILE}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(orjson.dumps({"url": url, "token": token, "pid": os.getpid()}))
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def perform(settings: Settings, path: str, asked: Asked) -> tuple[dict[str, Any], bool]:
    """Do an operation of `tocsin.cli.operations`; the answer, and whether a process is running.

    Raises TocsinError as the operation does, LogInUse if the process that holds the log cannot
    be asked.
    """
    try:
        return asyncio.run(_here(settings, path, asked)), False
    except LogInUse as held:
        return _there(settings, path, asked, held), True


async def _here(settings: Settings, path: str, asked: Asked) -> dict[str, Any]:
    clock = SystemClock()
    log, store = build_log(settings, clock), build_store(settings.store, settings.data_dir, clock)
    await log.start()
    try:
        await log.create(all_topics(settings))
        await store.start()
        operations = Operations(
            log,
            store,
            clock,
            approvers=Approvers(settings.response.approvers),
            patience=0 if settings.log.backend == "sqlite" else ANSWERED,
        )
        return await operations.table()[path].perform(asked)
    finally:
        await store.close()
        await log.close()


def _there(settings: Settings, path: str, asked: Asked, held: LogInUse) -> dict[str, Any]:
    where = _whereabouts(settings.data_dir / FILE, held)
    try:
        answer = httpx.post(
            f"{where['url']}/api/{path}",
            content=asked.model_dump_json(),
            headers={
                "Authorization": f"Bearer {where['token']}",
                "Content-Type": "application/json",
            },
            timeout=PATIENCE,
            trust_env=False,  # a proxy must not see the token
        )
        told = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise LogInUse(f"{held} Its console at {where['url']} does not answer: {error}") from None
    if answer.is_success and isinstance(told, dict):
        return told
    message = told.get("error") if isinstance(told, dict) else None
    if answer.status_code in (400, 422):
        raise ConfigError(f"{message}")
    raise LogError(f"process {where['pid']} refused ({answer.status_code}): {message}")


def _whereabouts(file: Path, held: LogInUse) -> dict[str, Any]:
    try:
        where: dict[str, Any] = orjson.loads(file.read_bytes())
        if {"url", "token", "pid"} <= where.keys():
            return where
        raise ValueError("it is incomplete")
    except FileNotFoundError:
        hint = "It could do this itself if its console were on (console.enabled)."
    except (OSError, ValueError, AttributeError) as error:
        hint = f"Its address in {file} cannot be read: {error}"
    raise LogInUse(f"{held} {hint}")
