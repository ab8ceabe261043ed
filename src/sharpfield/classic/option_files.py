"""Option files of the classic command line: ``key = value``, bare flags, and bases.

A line ``base = FILE``, relative to the file that has it, names a file that is read first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from configargparse import ConfigFileParserException, DefaultConfigFileParser

from sharpfield.errors import InputError

BASE = "base"
_FLAG_WITH_COMMENT = re.compile(r"^\s*([^\s=:#;]+)\s+[#;].*$")


@dataclass(frozen=True)
class Assignment:
    """One option with its value, and where it was found, for messages."""

    name: str
    value: str
    source: str

    @property
    def text(self) -> str:
        return f"{self.name}={self.value}"


@dataclass(frozen=True)
class OptionFile:
    """What an option file says, apart from its bases.

    ``inherited`` comes from its bases and is overridden by ``own``. ``text`` says the same as
    both, in one file that needs no base.
    """

    inherited: tuple[Assignment, ...] = ()
    own: tuple[Assignment, ...] = ()
    text: str = ""


def read_option_file(path: Path) -> OptionFile:
    """Read an option file and its bases.

    Raises ``InputError`` for a missing or unreadable file, for a line that is no option, and for
    bases that form a circle.
    """
    return _read(path, f"--config {path}", ())


def _read(path: Path, wanted_by: str, above: tuple[Path, ...]) -> OptionFile:
    if path.resolve() in above:
        raise InputError(f"{wanted_by}: the bases form a circle; remove one of their base lines")
    inherited: list[Assignment] = []
    own: list[Assignment] = []
    texts: list[str] = []
    lines = _lines(path, wanted_by)
    for number, line in enumerate(lines, start=1):
        source = f"{path} line {number}"
        found = _parse(line, source)
        if found is None:
            continue
        if found.name != BASE:
            own.append(found)
            continue
        base = _read(
            path.parent / found.value,
            f"{source}: base = {found.value}",
            (*above, path.resolve()),
        )
        inherited += [*base.inherited, *base.own]
        texts.append(f"# {found.value}\n{base.text}")
        lines[number - 1] = f"# {line.strip()}"
    own_text = "".join(f"{line}\n" for line in lines)
    text = "\n".join([*texts, f"# {path.name}\n{own_text}"]) if texts else own_text
    return OptionFile(tuple(inherited), tuple(own), text)


def _lines(path: Path, wanted_by: str) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise InputError(f"{wanted_by}: no such file; give the path of an option file") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise InputError(f"{wanted_by}: {reason}; give the path of an option file") from error


def _parse(line: str, source: str) -> Assignment | None:
    """The option of a line, None for a comment or an empty line."""
    try:
        # The parser takes a comment after a bare flag for its value.
        items = DefaultConfigFileParser().parse([_FLAG_WITH_COMMENT.sub(r"\1", line)])
    except ConfigFileParserException as error:
        advice = "write it as 'key = value', or a flag's name alone"
        raise InputError(f"{source}: {line.strip()!r} is no option; {advice}") from error
    for name, value in items.items():
        return Assignment(name.lstrip("-"), str(value), source)
    return None
