"""The composition root: the commands of `redrabbit`. Only this package knows concrete classes; it builds the parts and
hands them to each other. Heavy libraries are imported by the command that needs them, so that `--help` is quick.
"""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version
from typing import Annotated

import structlog
import typer

from service.cli import (
    adopt,
    backtest,
    building,
    cameras,
    challenge,
    dashboards,
    demo,
    gate,
    inspect,
    ledger,
    model_orders,
    people,
    plan,
    publishing,
    recipes,
    rules,
    running,
    study,
    totals,
    training,
)
from service.errors import InvalidInput, LedgerUnavailable

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Of the copy of click that Typer carries, and does not export."""

app = typer.Typer(
    name="redrabbit",
    help="Says which share of the real defects a visual inspection line still catches.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"redrabbit {version('redrabbit')}")
        raise typer.Exit


@app.callback()
def _common(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True)
    ] = False,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    if supervised:
        building.end_with_parent()


for _module in (
    running,
    demo,
    ledger,
    people,
    challenge,
    study,
    plan,
    training,
    inspect,
    gate,
    adopt,
    model_orders,
    recipes,
    cameras,
    backtest,
    rules,
    dashboards,
    totals,
    publishing,
):
    _module.register(app)


def main() -> None:
    """Runs one command. Bad input ends with one line on stderr and status 2, never with a traceback."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        status = app(standalone_mode=False)
    except (InvalidInput, LedgerUnavailable) as error:
        _refuse(str(error))
    except UsageError as error:
        _refuse(error.format_message())  # type: ignore[attr-defined]
    except typer.Abort:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
    sys.exit(status or 0)


def _refuse(line: str) -> None:
    sys.stderr.write(f"redrabbit: {' '.join(line.split())}\n")
    sys.exit(2)
