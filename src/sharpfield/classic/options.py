"""The classic command line, read: the arguments over the option files over the defaults."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from sharpfield.classic.option_files import BASE, Assignment, OptionFile, read_option_file
from sharpfield.classic.option_table import GROUPS, OptionTable
from sharpfield.errors import InputError
from sharpfield.settings import Setting, describe, from_dict, with_overrides

PROGRAM = "run_nerf.py"
_USAGE = f"{PROGRAM} --config FILE [--OPTION VALUE ...]"
_ABOUT = """Sharp 3D scenes from blurry photos, with the options of DP-NeRF and DK-NeRF.
Options stand in the file of --config, one 'name = value' or a flag's bare name per line, or on
the command line, which overrides the file. 'true' or 'false' after a flag switches it on or off.
A line 'base = FILE' in a file names another that is read first, relative to the file it is in."""

_GROUPS = [(group.__doc__, describe(group)) for group in GROUPS]
_SETTINGS = {setting.key: setting for _, settings in _GROUPS for setting in settings}
_REQUIRED = [name for name, setting in _SETTINGS.items() if setting.default is dataclasses.MISSING]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassicOptions(OptionTable):
    """All options of a command, by name."""

    given: frozenset[str] = frozenset()
    """Options on the command line or in the option file itself; those of its bases not counted."""
    config_text: str = ""
    """The option file and its bases as one file; empty without an option file."""


def parse_options(arguments: Sequence[str]) -> ClassicOptions:
    """Read a command line, without the program's name, and the option files that it names.

    The command line overrides the option file, which overrides its bases. Raises ``InputError``
    for an unknown option, naming the nearest one, for a value of the wrong type, for an option
    file that cannot be read, and for required options that are missing. ``--help`` prints the
    help and raises ``SystemExit``.
    """
    typed = _command_line(arguments)
    config = next((item.value for item in typed if item.name == "config"), None)
    file = OptionFile() if config is None else read_option_file(Path(config))
    assignments = [*_without_config(file.inherited), *_without_config(file.own), *typed]
    table = _assigned(assignments)
    given = frozenset(item.name for item in [*_without_config(file.own), *typed])
    values = {field.name: getattr(table, field.name) for field in dataclasses.fields(table)}
    return ClassicOptions(**values, given=given, config_text=file.text)


def _without_config(items: Iterable[Assignment]) -> list[Assignment]:
    """The classic ``args.txt`` says where its options came from, and serves as an option file."""
    return [item for item in items if item.name != "config"]


def _assigned(assignments: Sequence[Assignment]) -> OptionTable:
    filled = {item.name for item in assignments if item.value}
    table = from_dict(OptionTable, dict.fromkeys(_REQUIRED, ""))
    try:
        table = with_overrides(table, [item.text for item in assignments])
    except InputError:
        for item in assignments:
            _check(table, item)
        raise
    for name in _REQUIRED:
        if name not in filled:
            advice = f"give --{name}, or a line '{name} = ...' in the option file"
            raise InputError(f"{name}: missing; {advice}")
    return table


def _check(table: OptionTable, item: Assignment) -> None:
    """Raises ``InputError`` with the place of an assignment that is wrong."""
    setting = _SETTINGS.get(item.name)
    if _is_flag(setting) and item.value.lower() not in ("true", "false"):
        advice = "a flag stands alone, or with true or false"
        raise InputError(f"{item.source}: {item.name} {item.value!r}: {advice}")
    try:
        with_overrides(table, [item.text])
    except InputError as error:
        raise InputError(f"{item.source}: {error}") from error


def _is_flag(setting: Setting | None) -> bool:
    return setting is not None and setting.type == "bool"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"command line: {message}; {PROGRAM} --help explains every option")


def _command_line(arguments: Sequence[str]) -> list[Assignment]:
    found, rest = _parser().parse_known_args(arguments)
    typed = [Assignment(name, value, "command line") for name, value in vars(found).items()]
    if rest:
        name = rest[0].partition("=")[0].lstrip("-")
        if not rest[0].startswith("--"):
            raise InputError(f"command line: {rest[0]!r} is no option; write --NAME VALUE")
        if name == BASE:
            raise InputError("--base: only in an option file; name the file with --config")
        typed.append(Assignment(name, "", "command line"))
    return typed


def _parser() -> argparse.ArgumentParser:
    """Reads strings only: their types are checked together with those from files."""
    parser = _Parser(
        PROGRAM, _USAGE, _ABOUT, allow_abbrev=False, argument_default=argparse.SUPPRESS
    )
    for title, settings in _GROUPS:
        section = parser.add_argument_group(title)
        for setting in settings:
            flag = _is_flag(setting)
            section.add_argument(
                f"--{setting.key}",
                nargs="?" if flag else None,
                const="true" if flag else None,
                metavar="true|false" if flag else _metavar(setting),
                help=_help(setting).replace("%", "%%"),
            )
    return parser


def _metavar(setting: Setting) -> str:
    return setting.type.removesuffix(" | None").replace(" | ", "|")


def _help(setting: Setting) -> str:
    if setting.default is dataclasses.MISSING:
        return f"{setting.doc} Required."
    if _is_flag(setting) or setting.default in (None, ""):
        return setting.doc
    return f"{setting.doc} [{setting.default}]"
