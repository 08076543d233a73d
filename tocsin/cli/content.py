"""`tocsin rules | playbook`: looking at content before it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from detect import rule_tests
from playbooks import testing
from playbooks.loading import LIBRARY, TESTS, load_playbook
from playbooks.model import schema
from responders.catalog import known_actions
from tocsin.cli.loading import load_content, rule_set
from tocsin.cli.normalize import library, normalizing
from tocsin.cli.options import config_option, json_option
from tocsin.cli.output import json_lines, table
from tocsin.config import load
from tocsin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


@click.group()
def rules() -> None:
    """Sigma rules."""


@rules.command("check")
@config_option
@json_option
def check_rules(config: Path | None, as_json: bool) -> None:
    """Load the configured rules and list every one that cannot be evaluated, with its reason."""
    loaded = rule_set(load(config))
    if as_json:
        json_lines(u._asdict() for u in loaded.unsupported)
    elif loaded.unsupported:
        rows = ((u.id, u.title, u.reason) for u in loaded.unsupported)
        table("Rules that cannot be evaluated", ("id", "title", "reason"), rows)
    for error in loaded.errors:
        click.echo(str(error), err=True)
    click.echo(
        f"{len(loaded.rules)} rules and {len(loaded.correlations)} correlations can be evaluated, "
        f"{len(loaded.unsupported)} cannot, {len(loaded.errors)} are wrong",
        err=True,
    )
    sys.exit(1 if loaded.errors else 0)


@rules.command("test")
@config_option
@click.option("--required", is_flag=True, help="A rule without tests of both kinds fails too.")
def test_rules(config: Path | None, required: bool) -> None:
    """Run the tests inside the rules."""
    loaded = rule_set(load(config))
    failures = rule_tests.run(loaded, required=required, normalize=normalizing(library(())))
    for failure in failures:
        click.echo(str(failure), err=True)
    count = len(loaded.rules) + len(loaded.correlations)
    click.echo(f"{count} rules and correlations, {len(failures)} failures", err=True)
    sys.exit(1 if failures else 0)


@click.group()
def playbook() -> None:
    """Playbooks."""


@playbook.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of playbook files, for editors."""
    click.echo(json.dumps(schema(), indent=2))


@playbook.command("validate")
@config_option
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
def validate(config: Path | None, paths: tuple[Path, ...]) -> None:
    """Check playbooks: those of the configuration, and further files or directories."""
    settings = load(config)
    both = settings.playbooks.model_copy(update={"paths": (*settings.playbooks.paths, *paths)})
    content = load_content(settings.model_copy(update={"playbooks": both}))
    for one in content.playbooks:
        click.echo(f"{one.id} version {one.version}: valid ({one.origin})")


@playbook.command("test")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path, exists=True))
def test_playbooks(paths: tuple[Path, ...]) -> None:
    """Run the `.test.yml` files beside playbooks; without PATHS, those of the library.

    All verbs count as served: a test scripts their answers, no product is called.
    """
    served = known_actions()
    failed = total = 0
    for file in _test_files(paths or (LIBRARY,)):
        subject = _subject(file)
        loaded = load_playbook(str(subject), subject.read_bytes(), served)
        for case in testing.load_cases(str(file), file.read_bytes()):
            total += 1
            played: Any = testing.run_test(loaded, case)
            failed += bool(played.problems)
            for problem in played.problems:
                click.echo(f"{file}: {case.name}: {problem}", err=True)
    if not total:
        raise ConfigError(f"no tests found: they stand in NAME{TESTS[0]} beside NAME.yml")
    click.echo(f"{total - failed} of {total} tests passed", err=True)
    sys.exit(1 if failed else 0)


def _test_files(paths: tuple[Path, ...]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(f for f in path.rglob("*") if f.name.endswith(TESTS))
        else:
            yield path


def _subject(test: Path) -> Path:
    """The playbook that a test is beside; raises ConfigError if there is none."""
    stem, found, _ = test.name.partition(".test.")
    if not found:
        raise ConfigError(f"{test} is no test; tests of NAME.yml stand in NAME.test.yml beside it")
    for suffix in (".yml", ".yaml"):
        if (subject := test.with_name(stem + suffix)).exists():
            return subject
    raise ConfigError(f"{test} tests {stem}.yml, which is not beside it")
