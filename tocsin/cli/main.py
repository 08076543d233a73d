"""The `tocsin` command.

Exit codes: 0 done; 1 done, but something is wrong with what was looked at (a rule, a chain, a
server); 2 the command or the configuration is wrong; 3 a server or file cannot be reached; 130
broken off with Ctrl-C.
"""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

import click

from tocsin.cli.lazy import LazyGroup
from tocsin.errors import ConfigError, ContentErrors, TocsinError
from tocsin.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Command → module and attribute; modules are imported when their command runs, so that
#: `tocsin --help` does not load every parser.
COMMANDS = {
    "demo": ("tocsin.cli.demo", "demo"),
    "run": ("tocsin.cli.run", "run"),
    "setup": ("tocsin.cli.setup", "setup"),
    "doctor": ("tocsin.cli.doctor", "doctor"),
    "normalize": ("tocsin.cli.normalize", "normalize"),
    "scan": ("tocsin.cli.scan.command", "command"),
    "mappings": ("tocsin.cli.mappings", "mappings"),
    "rules": ("tocsin.cli.rules.group", "rules"),
    "playbook": ("tocsin.cli.content", "playbook"),
    "alerts": ("tocsin.cli.alerts", "alerts"),
    "behavior": ("tocsin.cli.behavior", "behavior"),
    "approvals": ("tocsin.cli.approvals", "approvals"),
    "runs": ("tocsin.cli.runs", "runs"),
    "leases": ("tocsin.cli.leases", "leases"),
    "guards": ("tocsin.cli.guards", "guards"),
    "dead-letters": ("tocsin.cli.letters", "dead_letters"),
    "indicators": ("tocsin.cli.indicators", "indicators"),
    "privacy": ("tocsin.cli.privacy", "privacy"),
    "audit": ("tocsin.cli.audit", "audit"),
    "kibana": ("tocsin.cli.setup", "kibana"),
    "lab": ("tocsin.cli.lab", "lab"),
    "models": ("tocsin.cli.models", "models"),
    "config": ("tocsin.cli.settings", "config"),
}


@click.group(
    cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(version("tocsin"), prog_name="tocsin")
@click.option("-v", "--verbose", is_flag=True, help="Log what happens, not only what goes wrong.")
def cli(verbose: bool) -> None:
    """Logs in, alerts and guarded response out."""
    for name, level in library_levels(verbose).items():
        logging.getLogger(name).setLevel(level)
    logging.basicConfig(
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def library_levels(verbose: bool) -> dict[str, int]:
    """How much libraries may log.

    What log and store clients retry by themselves is noise; what they give up on comes back as our
    errors. HTTP clients are never told to speak: they log whole URLs and headers, and the URL of a
    webhook is a secret.
    """
    retrying = logging.INFO if verbose else logging.CRITICAL
    return {
        **dict.fromkeys(("aiokafka", "faust", "mode", "elastic_transport"), retrying),
        **dict.fromkeys(("httpx", "httpcore", "botocore", "urllib3"), logging.WARNING),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; errors of Tocsin's own become a message and an exit code."""
    try:
        cli.main(args=arguments, prog_name="tocsin", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.Abort:
        sys.exit(130)
    except (TocsinError, OSError) as error:
        _fail([error])
    except BaseExceptionGroup as group:
        ours, others = group.split((TocsinError, OSError))
        if others is not None or ours is None:
            raise
        _fail(list(_leaves(ours)))


def _fail(errors: Sequence[BaseException]) -> NoReturn:
    """Say what is wrong, harmlessly: a message may quote hostile input."""
    for error in errors:
        message = "\n".join(printable(line) for line in str(error).splitlines())
        click.echo(f"tocsin: {message}", err=True)
    wrong = any(isinstance(error, (ConfigError, ContentErrors)) for error in errors)
    sys.exit(2 if wrong else 3)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
