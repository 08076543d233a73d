"""Commands that need no data directory, and how every kind of mistake ends."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest

import playbooks
from tests.cli.conftest import command
from tests.cli.test_operations import held
from tocsin.cli.main import COMMANDS, cli
from tocsin.log.base import MAX_RECORD

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Made, Ran

LINE = (
    b"Nov 22 08:05:00 web-01 sshd[4243]: Accepted password for deploy "
    b"from 192.0.2.7 port 41000 ssh2"
)


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    """Write tocsin.yaml."""

    def write(text: str) -> Path:
        path = tmp_path / "tocsin.yaml"
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.mark.parametrize("name", [*COMMANDS, ""])
def test_every_command_has_help(tocsin: Callable[..., Ran], name: str) -> None:
    ran = tocsin(*([name] if name else []), "--help")
    assert ran.code == 0
    assert ran.out.startswith("Usage: tocsin")


def test_the_version_is_told(tocsin: Callable[..., Ran]) -> None:
    assert tocsin("--version").out.startswith("tocsin, version ")


class TestNormalize:
    def run(self, tocsin: Callable[..., Ran], data: bytes, *options: str) -> Ran:
        class Input:
            buffer = io.BytesIO(data)

        sys.stdin, kept = Input(), sys.stdin
        try:
            return tocsin("normalize", *options)
        finally:
            sys.stdin = kept

    def test_a_line_becomes_a_document_and_a_bad_one_its_reason(
        self, tocsin: Callable[..., Ran]
    ) -> None:
        ran = self.run(tocsin, LINE + b"\r\n\n" + b'{"a": \n' + b'{"user":"al"}')
        good, blank, broken, last = ran.rows()
        assert ran.code == 0
        assert good["source"]["ip"] == "192.0.2.7"
        assert good["event"]["original"] == LINE.decode()
        assert blank["dead_letter"]["code"] == "empty"
        assert broken["dead_letter"]["code"] == "json_invalid"
        assert last["event"]["original"] == '{"user":"al"}'

    def test_the_log_may_be_in_a_field(self, tocsin: Callable[..., Ran]) -> None:
        lines = [
            orjson.dumps({"log": LINE.decode(), "n": 1}),
            b'{"log": {"user": "al"}}',
            b'{"other": 1}',
            b"no json",
            b"[1]",
        ]
        ran = self.run(tocsin, b"\n".join(lines), "--input-field", "log", "--source", "web")
        good, nested, missing, text, wrong = ran.rows()
        assert (good["source"]["ip"], good["tocsin"]["source"]) == ("192.0.2.7", "web")
        assert nested["event"]["original"] == '{"user":"al"}'
        for row in (missing, text, wrong):
            assert row["dead_letter"]["code"] == "json_invalid"
            assert "no field log" in row["dead_letter"]["reason"]

    def test_a_line_without_end_is_one_dead_letter(self, tocsin: Callable[..., Ran]) -> None:
        ran = self.run(tocsin, b"x" * (MAX_RECORD * 2 + 5) + b"\n" + LINE)
        long, good = ran.rows()
        assert long["dead_letter"]["code"] == "too_large"
        assert good["source"]["ip"] == "192.0.2.7"

    def test_whoever_reads_may_stop_reading(self, tmp_path: Path) -> None:
        """`tocsin normalize | head -1` ends without a complaint."""
        (tmp_path / "lines").write_bytes((LINE + b"\n") * 5_000)
        with (tmp_path / "lines").open("rb") as lines:
            process = subprocess.Popen(
                [sys.executable, "-m", "tocsin.cli", "normalize"],
                stdin=lines,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        with process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline().startswith(b"{")
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait(60) == 1


class TestRules:
    def test_ours_can_all_be_evaluated_and_pass_their_tests(
        self, tocsin: Callable[..., Ran]
    ) -> None:
        checked = tocsin("rules", "check")
        assert checked.code == 0
        assert "0 cannot, 0 are wrong" in checked.err
        tested = tocsin("rules", "test", "--required")
        assert tested.code == 0
        assert int(tested.err.split()[0]) > 20
        assert "0 failures" in tested.err

    def test_a_broken_rule_is_told_with_its_place(
        self, tocsin: Callable[..., Ran], config: Callable[[str], Path], tmp_path: Path
    ) -> None:
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "broken.yml").write_text("title: x\ndetection: [\n", "utf-8")
        ran = tocsin("rules", "check", "-c", config("rules: {paths: [rules]}"))
        assert ran.code == 2
        assert "broken.yml:" in ran.err

    def test_a_failing_test_is_named_and_exits_1(
        self, tocsin: Callable[..., Ran], config: Callable[[str], Path], tmp_path: Path
    ) -> None:
        (tmp_path / "rules").mkdir()
        (tmp_path / "rules" / "one.yml").write_text(RULE, "utf-8")
        ran = tocsin("rules", "test", "-c", config("rules: {paths: [rules], builtin: false}"))
        assert ran.code == 1
        assert "A rule of this test" in ran.err
        assert "it does not match" in ran.err or "should match" in ran.err


RULE = """\
title: A rule of this test
id: 5f2cf1c2-3f0f-4f8a-9a39-5a4dc5c4f001
status: test
description: One login.
author: tests
logsource: {product: linux, service: sshd}
detection:
  s: {process.name: sshd}
  condition: s
level: low
tests:
  - {name: should match, match: true, event: {event: {dataset: other}}}
"""


class TestPlaybooks:
    def test_the_library_is_valid_and_passes_its_tests(self, tocsin: Callable[..., Ran]) -> None:
        valid = tocsin("playbook", "validate")
        library = Path(playbooks.__path__[0]) / "library"
        ours = [file for file in library.glob("*.yml") if not file.name.endswith(".test.yml")]
        assert (valid.code, valid.out.count(": valid (")) == (0, len(ours))
        tested = tocsin("playbook", "test")
        assert tested.code == 0
        passed, _, total, *_ = tested.err.split()
        assert passed == total != "0"

    def test_the_schema_is_json(self, tocsin: Callable[..., Ran]) -> None:
        assert "steps" in json.loads(tocsin("playbook", "schema").out)["properties"]

    def test_a_broken_playbook_is_told_with_its_place(
        self, tocsin: Callable[..., Ran], tmp_path: Path
    ) -> None:
        path = tmp_path / "p.yml"
        path.write_text("apiVersion: tocsin/v1\nkind: Playbok\n", "utf-8")
        ran = tocsin("playbook", "validate", path)
        assert ran.code == 2
        assert "p.yml:2" in ran.err

    @pytest.mark.parametrize(
        ("name", "told"),
        [
            ("alone.test.yml", "tests alone.yml, which is not beside it"),
            ("alone.yml", "is no test; tests of NAME.yml stand in"),
            ("", "no tests found"),
        ],
    )
    def test_a_test_without_its_playbook(
        self, tocsin: Callable[..., Ran], tmp_path: Path, name: str, told: str
    ) -> None:
        if name:
            (tmp_path / name).write_text("[]", "utf-8")
        ran = tocsin("playbook", "test", tmp_path / name)
        assert ran.code == 2
        assert told in ran.err


class TestDoctor:
    def test_a_good_site_is_well_and_no_data_is_made(
        self, tocsin: Callable[..., Ran], config: Callable[[str], Path], tmp_path: Path
    ) -> None:
        ran = tocsin("doctor", "-c", config("data_dir: data"))
        assert ran.code == 0
        assert "ILL" not in ran.out
        assert "will be made by the first start" in ran.out
        assert "response.mode is dry_run" in ran.out
        assert not (tmp_path / "data").exists()

    def test_a_site_that_ran_is_well_while_it_runs_and_after(
        self, tocsin: Callable[..., Ran], made: Made
    ) -> None:
        after = tocsin("doctor", "-c", made.config)
        assert (after.code, "all topics exist" in after.out) == (0, True)
        assert "response.mode is enforce" in after.out
        with held(made.directory):
            during = tocsin("doctor", "-c", made.config)
        assert during.code == 0
        assert "a running process has it" in during.out

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("rules: {paths: [nowhere]}", "ILL  content"),
            ("response: {connectors: {x: {type: nftable}}}", "did you mean nftables?"),
            ("response: {bindings: {firewall.block_ip: y}}", "no connector is called y"),
            ("log: {backend: kafka, bootstrap_servers: '127.0.0.1:1'}", "ILL  log (kafka)"),
            ("store: {backend: elasticsearch, url: 'http://127.0.0.1:1'}", "ILL  store"),
            ("data_dir: tocsin.yaml/data", "ILL  log (sqlite)"),
        ],
    )
    def test_what_is_ill_is_named_and_exits_1(
        self,
        tocsin: Callable[..., Ran],
        config: Callable[[str], Path],
        monkeypatch: pytest.MonkeyPatch,
        text: str,
        told: str,
    ) -> None:
        monkeypatch.setattr("tocsin.cli.doctor.PATIENCE", 3.0)
        ran = tocsin("doctor", "-c", config(text))
        assert ran.code == 1, ran.err
        assert told in ran.out


def test_setup_makes_topics_and_can_be_repeated(
    tocsin: Callable[..., Ran], config: Callable[[str], Path]
) -> None:
    path = config("log: {partitions: 3}")
    for _ in range(2):
        ran = tocsin("setup", "-c", path)
        assert ran.code == 0, ran.err
        assert "topic raw: 3 partitions" in ran.out


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["nonsense"], "No such command"),
            (["run", "--stages", "normalise"], "no stage normalise; stages are collect, normalize"),
            (["run", "--until-idle", "soon"], "--until-idle"),
            (["run", "-c", "/nowhere/tocsin.yaml"], "cannot be read: No such file"),
            (["alerts", "list", "--nope"], "No such option"),
            (["leases", "release"], "Missing argument"),
            (["playbook", "test", "/nowhere"], "does not exist"),
        ],
    )
    def test_a_wrong_command_exits_2_and_says_what(
        self, tocsin: Callable[..., Ran], arguments: list[str], told: str
    ) -> None:
        ran = tocsin(*arguments)
        assert ran.code == 2
        assert told in ran.err
        assert "Traceback" not in ran.err

    @pytest.mark.parametrize("arguments", [["run"], ["doctor"], ["alerts", "list"], ["setup"]])
    def test_broken_yaml_exits_2_with_its_place(
        self, tocsin: Callable[..., Ran], config: Callable[[str], Path], arguments: list[str]
    ) -> None:
        ran = tocsin(*arguments, "-c", config("log: {backend: sqlite\nstore: [\n"))
        assert ran.code == 2
        assert "is not YAML" in ran.err
        assert "line 2" in ran.err

    def test_a_log_held_by_another_process_exits_3_and_names_it(self, made: Made) -> None:
        with held(made.directory):
            for arguments in (("run", "--until-idle", 5), ("audit", "verify"), ("setup",)):
                ran = command(made.directory, *arguments, "-c", made.config)
                assert ran.code == 3
                assert f"in use by process {os.getpid()}" in ran.err
                assert "Traceback" not in ran.err

    def test_a_directory_that_cannot_be_made_exits_3(
        self, tocsin: Callable[..., Ran], config: Callable[[str], Path]
    ) -> None:
        ran = tocsin("run", "--until-idle", "1", "-c", config("data_dir: tocsin.yaml/data"))
        assert ran.code == 3
        assert "Traceback" not in ran.err
        assert "tocsin.yaml" in ran.err

    def test_a_defect_is_not_hidden(
        self, tocsin: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("tocsin.cli.settings.schema", broken)
        with pytest.raises(ZeroDivisionError):
            tocsin("config", "schema")

    def test_errors_of_several_tasks_are_all_told(
        self,
        tocsin: Callable[..., Ran],
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        from tocsin.errors import LogError

        def broken(**_: object) -> None:
            nested = ExceptionGroup("", [OSError("the second\x1b[2J")])
            raise ExceptionGroup("tasks", [LogError("the first"), nested])

        monkeypatch.setattr(cli, "main", broken)
        ran = tocsin()
        assert ran.code == 3
        assert "tocsin: the first" in ran.err
        assert "tocsin: the second" in ran.err
        assert "\x1b" not in ran.err


class TestConfig:
    def test_check_of_a_good_and_a_bad_one(
        self, tocsin: Callable[..., Ran], config: Callable[[str], Path]
    ) -> None:
        path = config("log: {partitions: 2}")
        assert tocsin("config", "check", "-c", path).out == f"{path}: valid\n"
        assert tocsin("config", "check", "-c", config("lag: {}")).code == 2

    def test_the_schema_knows_every_section(self, tocsin: Callable[..., Ran]) -> None:
        schema = json.loads(tocsin("config", "schema").out)
        assert {"log", "store", "sources", "response"} <= schema["properties"].keys()
        assert schema["additionalProperties"] is False
        retention = schema["$defs"]["LogSettings"]["properties"]["retention"]["anyOf"]
        assert {each["type"] for each in retention} == {"string", "integer"}
