"""`tocsin normalize --explain` and `--formats`: which mapping ran, and where each field is from."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import pytest

from tocsin.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    def normalize(line: str, *options: str) -> str:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line.encode() + b"\n")))
        main(["normalize", *options])
        return capsysbinary.readouterr().out.decode()

    return normalize


def test_it_is_told_which_mapping_ran_and_where_each_field_is_from(run: Run) -> None:
    known, unknown, dead = (
        [line.split() for line in told.splitlines()]
        for told in run(
            "<38>May  1 10:00:00 web-1 sshd[7]: Invalid user al from 192.0.2.7\n"
            "CEF:0|Acme|Gate|1|id|name|5|src=192.0.2.1 suser=al\n"
            '{"a": broken',
            "--explain",
        ).split("\n\n")[:3]
    )
    assert ["mapping", "system.sshd", "version"] in [line[:3] for line in known]
    assert ["header", "host=web-1", "program=sshd"] in known
    (source,) = (line for line in known if line[:1] == ["source.ip"])
    assert (source[1], source[3:]) == ("line", ["from", "'192.0.2.7'"])
    assert ["mapping", "none", "knows", "this", "line;", "parser", "generic.cef"] in unknown
    assert ["source.ip", "src", "=", "'192.0.2.1'"] in unknown
    assert ["user.name", "suser", "=", "'al'"] in unknown
    assert not any(line[:1] == ["related.ip"] for line in unknown)
    assert dead[0][:3] == ["no", "event:", "json_invalid:"]


@pytest.mark.parametrize("formats", ["web,json", "cef"])
def test_formats_are_those_of_a_source(run: Run, formats: str) -> None:
    line = '192.0.2.7 - - [01/May/2024:10:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl/8"'
    assert '"dataset":"web.access"' in run(line, "--formats", formats)
