"""Incident reports: what was seen, why it matters, what was done, and how to take it back.

Markdown, self-contained HTML (no scripts, nothing loaded from elsewhere), PDF, and the same as JSON
for machines, written to files named by the case. Templates of your own take the place of ours, or
stand beside them. Everything in a report comes from an attacker's keyboard until proven
otherwise: HTML is escaped, Markdown is escaped, invisible characters are made visible.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from jinja2 import (
    ChoiceLoader,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field

from responders import report_pdf
from responders.base import Action, ActionClass, Call, EntityKind, Idempotence, Inputs, Manifest
from responders.report_view import view
from tocsin.errors import ConnectorError
from tocsin.ids import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Longest report, characters; lists are shortened long before.
MAX_REPORT = 4 * 1024 * 1024

FORMS = ("md", "html", "pdf", "json")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
# What has a meaning within a line or at its start, and what GitHub's flavour makes a link of.
_MARKDOWN = re.compile(
    r"[\\`*_\[\]<>|~&@!]|:(?=//)|(?<=www)\.|^[#+=-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]", re.IGNORECASE
)
_TICKS = re.compile("`+")


class ReportConfig(BaseModel):
    """`directory` for the files; it is made, readable for its owner alone, if it is missing.

    `templates` is a directory with NAME.md.j2 and NAME.html.j2: `incident` takes the place of
    ours, any other name is what `template` of a step may say. `font` is a TrueType file for PDF.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    directory: Path = Path("reports")
    templates: Path | None = None
    font: Path | None = None


class Report(Inputs):
    """A report on one case; `run` and `alert` are supplied by the engine."""

    case: str
    title: str = ""
    template: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,60}$")] = "incident"
    formats: tuple[Literal["md", "html", "pdf", "json"], ...] = ("md", "html", "json")
    run: dict[str, Any] = Field(default_factory=dict)
    alert: dict[str, Any] = Field(default_factory=dict)


MANIFEST = Manifest(
    name="report",
    summary="Writes incident reports to files",
    actions=(
        Action(
            verb="case.report",
            action_class=ActionClass.NOTIFY,
            idempotence=Idempotence.NATURAL,
            inputs=Report,
            target="case",
            entity=EntityKind.CASE,
            summary="Write the report of a case",
        ),
    ),
    max_concurrency=2,
)


class Reports:
    """Reports in one directory; writing a case again replaces its report."""

    manifest = MANIFEST

    def __init__(self, config: ReportConfig) -> None:
        self._directory = config.directory
        self._font = config.font
        self._environment = environment(config.templates)

    async def act(self, call: Call) -> dict[str, Any]:
        """Write the report; the answer has the `paths`."""
        inputs = call.inputs
        paths = []
        for form in dict.fromkeys(inputs.get("formats", ())):
            path = self._directory / f"{file_name(call.target)}.{form}"
            data = await asyncio.to_thread(self._made, inputs, form)
            try:
                await asyncio.to_thread(_write, path, data)
            except OSError as error:
                raise ConnectorError(
                    "unavailable", f"the report {path} cannot be written: {error.strerror}"
                ) from None
            paths.append(str(path))
        return {"paths": paths}

    async def undo(self, call: Call, proof: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ConnectorError: a report is a record."""
        raise ConnectorError("invalid", "a report is a record, it is not undone")

    async def probe(self, call: Call) -> dict[str, Any] | None:
        """The paths of the reports there are, None without any."""
        stem = self._directory / file_name(call.target)
        found = [path for form in FORMS if (path := stem.with_suffix(f".{form}")).exists()]
        return {"paths": [str(path) for path in found]} if found else None

    async def check(self) -> str:
        """Try to write into the directory."""
        try:
            await asyncio.to_thread(_write, self._directory / ".check", b"")
            (self._directory / ".check").unlink()
        except OSError as error:
            message = f"{self._directory} cannot be written: {error.strerror}"
            raise ConnectorError("unavailable", message) from None
        return f"reports go to {self._directory}"

    async def close(self) -> None:
        """Nothing is held open."""

    def _made(self, inputs: Mapping[str, Any], form: str) -> bytes:
        match form:
            case "json":
                return machine_readable(inputs)
            case "pdf":
                return report_pdf.pdf(shown(inputs), self._font)
            case _:
                return render(inputs, form, self._environment).encode()


def shown(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """What the report of these inputs shows."""
    return view(
        str(inputs["case"]), str(inputs["title"]), dict(inputs["run"]), dict(inputs["alert"])
    )


def machine_readable(inputs: Mapping[str, Any]) -> bytes:
    """The report as JSON (format 1): the same facts, under the names that templates use."""
    told = {"format": 1, **shown(inputs)}
    return orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)


def render(
    inputs: Mapping[str, Any], form: str, templates: ImmutableSandboxedEnvironment | None = None
) -> str:
    """The report as text; a function of its inputs and templates alone.

    Raises ConnectorError if it cannot be made or would be too long.
    """
    template = f"{inputs.get('template', 'incident')}.{form}.j2"
    environment = templates or _ENVIRONMENT
    report = shown(inputs)
    parts: list[str] = []
    length = 0
    try:
        for part in environment.get_template(template).generate(report=report):
            length += len(part)
            if length > MAX_REPORT:
                message = f"the report exceeds {MAX_REPORT} characters"
                raise ConnectorError("oversized", message)
            parts.append(part)
    except TemplateNotFound:
        message = f"there is no template {template}; put it into the directory of templates"
        raise ConnectorError("invalid", message) from None
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise ConnectorError("internal", f"template {template}: {error}") from error
    return "".join(parts)


def file_name(case: str) -> str:
    """A file name for the case: the case itself where it is harmless, else its digest."""
    return case if _SAFE.fullmatch(case) else digest("case", case)


def markdown(value: object) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(str(value).split()))


def code(value: object) -> str:
    """A code span that its content cannot end (CommonMark, 6.1)."""
    text = " ".join(str(value).split())
    ticks = "`" * (1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    return f"{ticks} {text} {ticks}"


def fence(value: object) -> str:
    """A code block that its content cannot end (CommonMark, 4.5)."""
    text = str(value)
    ticks = "`" * max(3, 1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    return f"{ticks}text\n{text}\n{ticks}"


def _autoescaped(name: str | None) -> bool:
    return name is None or ".md." not in name


def environment(own: Path | None = None) -> ImmutableSandboxedEnvironment:
    """Our templates, and those in `own` before them."""
    ours = PackageLoader("responders")
    environment = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(own), ours]) if own else ours,
        undefined=StrictUndefined,
        autoescape=_autoescaped,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = markdown
    environment.filters["code"] = code
    environment.filters["fence"] = fence
    return environment


_ENVIRONMENT = environment()


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a reader never sees half a report."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".report-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
