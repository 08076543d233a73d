"""`tocsin scan`: what it reads, what it finds, how it says it, and what it says of bad input."""

from __future__ import annotations

import csv
import gzip
import io
import os
import pty
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import yaml
from click.testing import CliRunner

from tests.cli.scan.evtx_file import event, evtx
from tocsin.cli.scan.command import command
from tocsin.cli.scan.formats import About, CsvWriter
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
    assert "4 records of 1 file, 1 rules, 2 hits, 0 records or files" in result.stderr
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


def test_a_severity_of_the_configuration_is_the_level(tmp_path: Path, rules: Path) -> None:
    config = tmp_path / "tocsin.yaml"
    chosen = {"builtin": False, "paths": [str(rules)], "severity": {RULE_ID: 20}}
    config.write_text(yaml.safe_dump({"rules": chosen}), "utf-8")
    log = tmp_path / "auth.log"
    log.write_bytes(line("/bin/sh"))
    arguments = (log, "-c", config, "--format", "ndjson", "--jobs", 1, "--fail-on")
    found = run(*arguments, "low")
    assert found.exit_code == 0
    assert orjson.loads(found.stdout)["rule"]["level"] == "informational"
    assert run(*arguments, "informational").exit_code == 1


def test_what_cannot_be_read_is_said_and_stops_nothing(tmp_path: Path, rules: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.gz").write_bytes(gzip.compress(line("/bin/sh"))[:-9])
    (folder / "b.log").write_bytes(
        b"x" * (MAX_RECORD + 10) + b"\n\x00\x01\x02\x03\n" + line("/bin/sh")
    )
    result = run(folder, "--rules", rules, "--format", "pairs", "--jobs", 1)
    assert result.stdout == f"2\t{RULE_ID}\t{folder / 'b.log'}\n"
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
    hit = Hit("f", 0, "r", "t", "low", (), "", "=cmd|' /C calc'!A0", "", ())
    CsvWriter(stream, About()).add([hit])
    assert "'=cmd" in stream.getvalue()


COUNTED = {
    "title": "Several shells",
    "id": "00000000-0000-4000-8000-00000000c001",
    "level": "critical",
    "correlation": {
        "type": "event_count",
        "rules": [RULE_ID],
        "group-by": ["host.name"],
        "timespan": "10s",
        "condition": {"gte": 3},
    },
}


@pytest.mark.parametrize("jobs", [1, 2])
def test_correlations_look_at_all_files_in_the_order_of_time(
    tmp_path: Path, rules: Path, jobs: int
) -> None:
    """Three shells within ten seconds, told by two files, the later one first."""
    (rules / "several.yml").write_text(yaml.safe_dump(COUNTED), "utf-8")
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.log").write_bytes(b"\n".join([line("/bin/ls"), line("/bin/sh", 9)]))
    (folder / "b.log").write_bytes(b"\n".join(line("/bin/sh", second) for second in (1, 5, 30)))
    result = run(folder, "--rules", rules, "--format", "pairs", "--jobs", jobs)
    assert result.stdout.splitlines() == [
        f"1\t{COUNTED['id']}\t{folder / 'a.log'}",
        f"1\t{RULE_ID}\t{folder / 'a.log'}",
        *(f"{record}\t{RULE_ID}\t{folder / 'b.log'}" for record in range(3)),
    ]
    assert "1 rules and 1 correlations, 5 hits" in result.stderr
    hits = run(folder, "--rules", rules, "--format", "ndjson", "--jobs", jobs).stdout
    last = orjson.loads(hits.splitlines()[-1])
    assert last["rule"] == {"id": COUNTED["id"], "name": "Several shells", "level": "critical"}
    assert last["host"] == {"name": "web-1"}
    assert last["reasons"]


def test_what_waits_for_late_events_is_decided_at_the_end_of_the_files(
    tmp_path: Path, rules: Path
) -> None:
    """Two shells in the ten seconds from :00 on; those from :30 on may not be over."""
    exactly = {**COUNTED["correlation"], "condition": {"eq": 2}}  # type: ignore[dict-item]
    (rules / "exactly.yml").write_text(yaml.safe_dump({**COUNTED, "correlation": exactly}), "utf-8")
    log = tmp_path / "auth.log"
    log.write_bytes(b"\n".join(line("/bin/sh", second) for second in (1, 5, 30, 31)))
    result = run(log, "--rules", rules, "--format", "pairs", "--jobs", 1)
    assert [row for row in result.stdout.splitlines() if str(COUNTED["id"]) in row] == [
        f"1\t{COUNTED['id']}"
    ]


def test_rules_that_only_feed_correlations_are_told_if_asked(tmp_path: Path, rules: Path) -> None:
    (rules / "several.yml").write_text(yaml.safe_dump(COUNTED), "utf-8")
    log = tmp_path / "auth.log"
    log.write_bytes(b"\n".join(line("/bin/sh", second) for second in range(3)))
    result = run(log, "--rules", rules, "--jobs", 1)
    assert "Several" in result.stdout
    assert "Shell" not in result.stdout
    assert "1 hits (3 of rules that only feed correlations: --all)" in result.stderr
    assert "Shell" in run(log, "--rules", rules, "--jobs", 1, "--all").stdout
    assert run(log, "--rules", rules, "--jobs", 1, "--fail-on", "critical").exit_code == 1
    (rules / "several.yml").write_text(yaml.safe_dump({**COUNTED, "level": "low"}), "utf-8")
    assert run(log, "--rules", rules, "--jobs", 1, "--fail-on", "high").exit_code == 0


WHOAMI = {
    "title": "Whoami",
    "id": "00000000-0000-4000-8000-000000000007",
    "logsource": {"product": "windows", "category": "process_creation"},
    "detection": {"s": {"Image|endswith": "\\whoami.exe"}, "condition": "s"},
    "level": "medium",
}
SYSMON = "Microsoft-Windows-Sysmon/Operational"


def windows_log(*programs: str) -> bytes:
    return evtx(
        [
            event(SYSMON, 1, number, {"Image": f"C:\\Windows\\System32\\{program}.exe"})
            for number, program in enumerate(programs, start=1)
        ]
    )


def test_windows_event_logs_are_read(tmp_path: Path, rules: Path) -> None:
    (rules / "whoami.yml").write_text(yaml.safe_dump(WHOAMI), "utf-8")
    log = tmp_path / "sysmon.evtx"
    log.write_bytes(windows_log("cmd", "whoami", "net", "whoami"))
    result = run(log, "--rules", rules, "--format", "pairs", "--jobs", 1)
    assert result.stdout == f"1\t{WHOAMI['id']}\n3\t{WHOAMI['id']}\n"
    (hit, _) = run(log, "--rules", rules, "--format", "ndjson", "--jobs", 1).stdout.splitlines()
    assert orjson.loads(hit)["host"] == {"name": "ws-1.example.com"}
    assert orjson.loads(hit)["@timestamp"].startswith("2026-01-05T10:00:00")


def test_damaged_windows_event_logs_stop_nothing(tmp_path: Path, rules: Path) -> None:
    (rules / "whoami.yml").write_text(yaml.safe_dump(WHOAMI), "utf-8")
    whole = windows_log("whoami", "whoami", "whoami")
    record = whole.index(b"\x2a\x2a\0\0", 4096 + 512 + 4)
    spoiled = bytearray(whole)
    spoiled[record + 30 : record + 50] = b"\xff" * 20
    for name, data in (
        ("a.evtx", bytes(spoiled)), ("b.evtx", whole[:30_000]), ("c.evtx", b"ElfFile\0nothing"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes(data)
    logs = [tmp_path / f"{name}.evtx" for name in "abc"]
    result = run(*logs, "--rules", rules, "--format", "pairs", "--jobs", 1)
    found = [row.split("\t")[0] for row in result.stdout.splitlines()]
    assert found == ["0", "2"]
    assert result.exit_code == 3
    for words in ("a.evtx:2: a damaged event", "b.evtx: cut off", "c.evtx: "):
        assert words in result.stderr, words


def test_a_file_that_cannot_be_read_shows_in_the_exit_code(tmp_path: Path, rules: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_bytes(line("/bin/sh"))
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(line("/bin/sh"))[:-9])
    common: tuple[Any, ...] = (log, cut, "--rules", rules, "--format", "pairs", "--jobs", 1)
    assert run(*common).exit_code == 3
    assert run(*common, "--fail-on", "high").exit_code == 1
    unread = run(tmp_path / "auth.log", "--rules", rules, "--format", "pairs", "--jobs", 1)
    assert unread.exit_code == 0


def test_a_thousand_files(tmp_path: Path, rules: Path) -> None:
    folder = tmp_path / "logs"
    for number in range(1_000):
        path = folder / f"{number % 20:02}" / f"{number:04}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(line("/bin/sh" if number % 100 == 7 else "/bin/ls"))
    result = run(folder, "--rules", rules, "--format", "pairs", "--jobs", 2)
    assert len(result.stdout.splitlines()) == 10
    assert "1000 records of 1000 files" in result.stderr
    assert result.exit_code == 0


def test_a_file_named_twice_is_read_once(tmp_path: Path, rules: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_bytes(line("/bin/sh"))
    result = run(log, log, tmp_path / "auth.log", "--rules", rules, "--format", "pairs")
    assert result.stdout == f"0\t{RULE_ID}\n"


def test_an_output_file_is_written_whole_or_not_at_all(tmp_path: Path, rules: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_bytes(line("/bin/sh"))
    output = tmp_path / "out" / "hits.ndjson"
    with pytest.raises(FileNotFoundError):
        run(log, "--rules", rules, "--format", "ndjson", "--output", output, "--jobs", 1)
    output.parent.mkdir()
    run(log, "--rules", rules, "--format", "ndjson", "--output", output, "--jobs", 1)
    assert [path.name for path in output.parent.iterdir()] == ["hits.ndjson"]
    assert orjson.loads(output.read_bytes())["record"] == 0


def test_a_terminal_gets_a_progress_bar_and_a_pipe_none(tmp_path: Path, rules: Path) -> None:
    log = tmp_path / "auth.log"
    log.write_bytes(b"\n".join(line("/bin/ls", n % 60) for n in range(5_000)))
    arguments = [
        sys.executable, "-m", "tocsin.cli", "scan", str(log), "--rules", str(rules), "--jobs", "2",
        "--format", "pairs",
    ]  # fmt: skip
    piped = subprocess.run(arguments, capture_output=True, check=True, timeout=50)
    assert b"scanning" not in piped.stderr
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        arguments, stderr=theirs, stdout=subprocess.PIPE, env={**os.environ, "TERM": "xterm"}
    )
    os.close(theirs)
    told = b""
    with suppress(OSError):  # Linux says EIO when the other end is closed
        while data := os.read(ours, 4096):
            told += data
    os.close(ours)
    process.communicate(timeout=50)
    assert process.returncode == 0
    assert b"scanning" in told
    assert b"kB" in told
    assert b"0 hits" in told
    assert b"5000 records of 1 file" in told
