"""The command line: verbs, and what becomes of errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

import sharpfield
from sharpfield.cli import bench, demo, evaluate, exports, train
from sharpfield.cli.outcome import USER_ERROR, exit_code
from sharpfield.errors import InputError

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
app.command()(bench.bench)


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

    def verb() -> int:
        try:
            code = command.main(args=list(arguments), prog_name="sharpfield", standalone_mode=False)
        except UsageError as error:  # type: ignore[misc]
            if not arguments:  # the help has been shown
                return USER_ERROR
            raise InputError(error.format_message()) from None
        return int(code or 0) if arguments else USER_ERROR  # old versions of click return 0

    return exit_code("sharpfield", verb)


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))
