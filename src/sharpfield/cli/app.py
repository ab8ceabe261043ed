"""The command line: verbs, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import sharpfield
from sharpfield.cli import demo, evaluate, exports, train
from sharpfield.cli.console import errors
from sharpfield.errors import InputError
from sharpfield.train.loop import Interrupted

USER_ERROR = 2
INTERRUPTED = 130

UsageError = typer.BadParameter.__base__
"""Click's usage error, wherever this version of typer keeps click."""

app = typer.Typer(
    name="sharpfield",
    help="Sharp 3D scenes from blurry photos.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(train.train)
app.command("eval")(evaluate.evaluate)
app.command()(exports.restore)
app.command()(exports.render)
app.command()(exports.kernels)
app.command()(exports.report)


def _version(wanted: bool | None) -> None:
    if wanted:
        typer.echo(sharpfield.__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool | None,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = None,
) -> None:
    """Sharp 3D scenes from blurry photos."""


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code: 0, 2 for wrong input, 130 after Ctrl-C."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=list(arguments), prog_name="sharpfield", standalone_mode=False)
        return int(code or 0)
    except InputError as error:
        return _complain(str(error), USER_ERROR)
    except Interrupted as stop:
        message = f"stopped at step {stop.step}, checkpoint written; the same command goes on"
        return _complain(message, INTERRUPTED)
    except (KeyboardInterrupt, typer.Abort):
        return _complain("stopped; nothing is half-written", INTERRUPTED)
    except UsageError as error:  # type: ignore[misc]
        return _complain(error.format_message(), USER_ERROR)


def _complain(message: str, code: int) -> int:
    one_line = " ".join(message.split())
    errors.print(f"sharpfield: {one_line}", markup=False, highlight=False, soft_wrap=True)
    return code


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
