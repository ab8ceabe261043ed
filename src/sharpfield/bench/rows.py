"""The rows of a benchmark as files, one each, so that a table can be continued."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sharpfield.bench.suite import RowKey, Suite
from sharpfield.files import write_json

Numbers = Mapping[str, Any]

NEEDED = frozenset(
    {
        "mean",
        "protocol",
        "machine",
        "rays_per_pixel",
        "training_seconds",
        "samples_per_second",
        "peak_memory_bytes",
    }
)
"""What tables ask of every row that did not fail."""


@dataclass(frozen=True)
class Row:
    """A finished row: its numbers, as ``eval/metrics.json`` has them and more, or its failure."""

    key: RowKey
    numbers: Numbers
    failure: str | None = None


class RowFolder:
    """A folder of rows."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, suite: Suite, row: Row) -> None:
        """Keep a row; a failed one too, so that it is not tried again and again."""
        content = {"recipe": suite.recipe(row.key), "failure": row.failure, **row.numbers}
        write_json(self.root / row.key.path, content)

    def read(self, suite: Suite, key: RowKey) -> Row | None:
        """The row of ``key``; None if it was never made, or of something else.

        A damaged file is a row that failed: it says to remove the file.
        """
        path = self.root / key.path
        try:
            content = json.loads(path.read_text("utf-8"))
            recipe, failure = content.pop("recipe"), content.pop("failure")
            if failure is None and NEEDED - content.keys():
                raise ValueError("some numbers are missing")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return Row(key, {}, f"{path.name} is damaged; remove it to train the row again")
        return Row(key, content, failure) if recipe == suite.recipe(key) else None

    def read_all(self, suite: Suite, keys: Iterable[RowKey]) -> list[Row]:
        """The rows of ``keys`` that there are."""
        rows = (self.read(suite, key) for key in keys)
        return [row for row in rows if row is not None]
