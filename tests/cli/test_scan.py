"""`tocsin scan`: what it reads, what it finds, how it says it, and what it says of bad input."""

from __future__ import annotations

import csv
import gzip
import io
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml
from click.testing import CliRunner

from tocsin.cli.scan.command import command
from tocsin.cli.scan.formats import comma_separated
from tocsin.cli.scan.matching import Hit
from tocsin.log.base import MAX_RECORD

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

RULE_ID = "3f6cfa8e-9d0a-4a53-8a9d-6f6d2a3c9b10"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    rule = {
        "title": "Shell as root",
        "id": RULE_ID,
        "logsource": {"product": "linux", "service": "sudo"},
        "detection": {"selection": {"message|contains": "/bin/sh"}, "condition": "selection"},
        "level": "high",
        "tags": ["attack.t1548.003"],
    }
    path = tmp_path / "rules"
    path.mkdir()
    (path / "shell.yml").write_text(yaml.safe_dump(rule), "utf-8")
    return path


def line(command: str, second: int = 0) -> bytes:
    return (
        f"May  1 10:00:{second:02} web-1 sudo:   alice : TTY=pts/0 ; PWD=/home/alice ; USER=root ; "
        f"COMMAND={command}"
    ).encode()


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_pairs_are_record_number_and_rule_id(tmp_path: Path, rules: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_bytes(b"\n".join([line("/bin/ls"), line("/bin/sh", 1), b"", line("/bin/sh", 2)]))
    result = run(log, "--rules", rules, "--format", "pairs", "--jobs", 1)
    assert result.stdout == f"1\t{RULE_ID}\n3\t{RULE_ID}\n"
    assert "4 records of 1 files, 1 rules, 2 hits, 0 records or files" in result.stderr
    assert result.exit_code == 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_directories_gzip_and_wrapped_events(
    tmp_path: Path, rules: Path, jobs: int
) -> None:
    folder = tmp_path / "logs" / "deep"
    folder.mkdir(parents=True)
    wrapped = [{"n": n, "log": line("/bin/sh" if n % 2 else "/bin/ls").decode()} for n in range(5)]
    data = b"\n".join(map(orjson.dumps, wrapped))
    (folder / "a.ndjson").write_bytes(data)
    (folder / "b.ndjson.gz").write_bytes(gzip.compress(data))
    result = run(
        tmp_path / "logs", "--rules", rules, "--format", "pairs", "--input-field", "log",
        "--jobs", jobs,
    )  # fmt: skip
    expected = [
        f"{number}\t{RULE_ID}\t{folder / name}"
        for name in ("a.ndjson", "b.ndjson.gz")
        for number in (1, 3)
    ]
    assert result.stdout.splitlines() == expected


def test_ndjson_and_csv_say_why(tmp_path: Path, rules: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_bytes(line("/bin/sh"))
    hit = orjson.loads(run(log, "--rules", rules, "--format", "ndjson", "--jobs", 1).stdout)
    assert hit["rule"] == {"id": RULE_ID, "name": "Shell as root", "level": "high"}
    assert hit["host"] == {"name": "web-1"}
    assert any("/bin/sh" in reason for reason in hit["reasons"])
    output = tmp_path / "hits.csv"
    run(log, "--rules", rules, "--format", "csv", "--output", output, "--jobs", 1)
    (row,) = csv.DictReader(io.StringIO(output.read_text("utf-8")))
    assert row["rule.id"] == RULE_ID
    assert row["tags"] == "attack.t1548.003"


def test_a_table_shows_the_rule(tmp_path: Path, rules: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_bytes(line("/bin/sh"))
    assert "Shell" in run(log, "--rules", rules, "--jobs", 1).stdout


def test_levels_decide_what_is_shown_and_the_exit_code(tmp_path: Path, rules: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_bytes(line("/bin/sh"))
    common: tuple[Any, ...] = (log, "--rules", rules, "--format", "pairs", "--jobs", 1)
    assert run(*common, "--level", "critical").stdout == ""
    assert run(*common, "--fail-on", "critical").exit_code == 0
    assert run(*common, "--fail-on", "high").exit_code == 1


def test_what_cannot_be_read_is_said_and_stops_nothing(tmp_path: Path, rules: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.gz").write_bytes(gzip.compress(line("/bin/sh"))[:-9])
    (folder / "b.log").write_bytes(
        b"x" * (MAX_RECORD + 10) + b"\n\x00\x01\x02\x03\n" + line("/bin/sh")
    )
    result = run(folder, "--rules", rules, "--format", "pairs", "--jobs", 1)
    assert result.stdout == f"2\t{RULE_ID}\n"
    for name, reason in (("a.gz", "ended"), ("b.log:1", "passed over")):
        assert any(name in said and reason in said for said in result.stderr.splitlines()), reason


def test_a_wrong_rule_stops_the_scan_unless_told_otherwise(tmp_path: Path, rules: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_bytes(line("/bin/sh"))
    (rules / "wrong.yml").write_text("title: no detection\nlogsource: {product: linux}\n", "utf-8")
    with pytest.raises(Exception, match=r"wrong\.yml"):
        run(log, "--rules", rules, "--jobs", 1)
    result = run(log, "--rules", rules, "--format", "pairs", "--jobs", 1, "--allow-errors")
    assert result.stdout == f"0\t{RULE_ID}\n"
    assert "wrong.yml" in result.stderr


def test_a_cell_that_a_spreadsheet_would_calculate_is_text() -> None:
    stream = io.StringIO()
    comma_separated([Hit("f", 0, "r", "t", "low", (), "", "=cmd|' /C calc'!A0", "", ())], stream)
    assert "'=cmd" in stream.getvalue()
