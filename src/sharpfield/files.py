"""Atomic writes: a reader finds the whole new file or the old one, never half of one."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sharpfield.errors import InputError

JSON: TypeAlias = "bool | int | float | str | list[Any] | dict[str, Any] | None"

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = {
    errno.EACCES: "no permission to write here",
    errno.EPERM: "no permission to write here",
    errno.EROFS: "the disk is read-only",
    errno.ENOTDIR: "a file stands where a folder is needed",
    errno.EEXIST: "a file stands where a folder is needed",
    errno.EISDIR: "a folder stands where this file is needed",
    errno.ENAMETOOLONG: "the name is too long",
}


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it becomes ``path`` when the block succeeds.

    The temporary file keeps the suffix of ``path``, so that libraries which choose the format by
    the name work. Missing parent folders are made. When the block raises, the temporary file is
    removed and ``path`` stays as it was. Raises ``InputError`` as ``explaining`` does.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:100]}.{uuid.uuid4().hex[:8]}{path.suffix}")
    with explaining(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            _flush_to_disk(temporary)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextmanager
def folder_in_the_making(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``folder``, readable by all, to be filled and then moved there.

    Missing parent folders are made. What the block leaves of it is removed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        making.chmod(0o755)
        yield making
    finally:
        shutil.rmtree(making, ignore_errors=True)


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """Turn a failed write of ``path`` into an ``InputError`` that names it and the next step.

    A full disk is recognised wherever in the block it happened, also when a library wrapped the
    ``OSError``; other failures only when the operating system names ``path`` or a file next to
    it or above it. Everything else passes unchanged.
    """
    try:
        yield
    except Exception as error:
        reason = _reason(error, Path(path))
        if reason is None:
            raise
        raise InputError(f"{path}: {reason}") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically; errors as in ``replacing``."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically; errors as in ``replacing``."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write ``value`` to ``path`` as indented JSON, atomically; errors as in ``replacing``.

    NumPy scalars and arrays, paths, tuples and mappings are accepted. Numbers that JSON does not
    know (NaN, infinities) become ``null``, so that every JSON reader can open the file.
    """
    write_text(path, json.dumps(to_json(value), indent=2, allow_nan=False) + "\n")


def to_json(value: object) -> JSON:
    """``value`` as plain JSON types; non-finite numbers become ``None``.

    Raises ``TypeError`` for a type that has no JSON form.
    """
    if isinstance(value, np.generic | np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _flush_to_disk(path: Path) -> None:
    """Force the content out: some file systems report a full disk only now."""
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _reason(error: Exception, path: Path) -> str | None:
    """What to tell the user about ``error``; None when it is not about writing ``path``."""
    if any(_is_no_space(cause) for cause in _chain(error)):
        return "no space left on the disk; free some space and run the same command again"
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE and error.filename:
        named = Path(os.fsdecode(error.filename))
        if named.parent == path.parent or named in path.parents:
            return f"{_NOT_WRITABLE[error.errno]}; choose another output folder"
    return None


def _is_no_space(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return True
    return os.strerror(errno.ENOSPC) in str(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
