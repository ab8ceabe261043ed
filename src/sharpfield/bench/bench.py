"""Run a benchmark's missing rows, here or spread over machines, and keep the tables."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from sharpfield.bench.pictures import PictureFolder, write_sheet
from sharpfield.bench.rows import Row, RowFolder
from sharpfield.bench.runner import Outcome, Place, run_row
from sharpfield.bench.suite import RowKey, Suite
from sharpfield.bench.table import suite_tables
from sharpfield.errors import InputError
from sharpfield.files import write_text

MOST_SEEDS = 10
"""Seeds from 0 up to this are looked for when a table is made."""

HEADING = """# Results

Made by `sharpfield bench` from the rows beside it; do not edit. Rows of the same *code* are of the
same version of all that a number depends on.
"""

Execute = Callable[[Suite, Sequence[RowKey], Place], Iterator[tuple[RowKey, Outcome]]]
"""Trains rows, in any order."""


@dataclass(frozen=True)
class Results:
    """A folder of results: ``rows/``, ``pictures/<suite>/`` and the tables in ``RESULTS.md``.

    The pictures of single rows stay in ``tiles``. The tables are those of ``suites``.
    """

    folder: Path
    tiles: Path
    suites: tuple[Suite, ...]

    @property
    def rows(self) -> RowFolder:
        """The rows."""
        return RowFolder(self.folder / "rows")

    def missing(self, suite: Suite, keys: Sequence[RowKey]) -> list[RowKey]:
        """The rows of ``keys`` that are still to be trained."""
        return [key for key in keys if self.rows.read(suite, key) is None]

    def keep(self, suite: Suite, key: RowKey, outcome: Outcome) -> Row:
        """Keep what a row came to, except failures that another try may not have."""
        row = Row(key, outcome.numbers, outcome.failure)
        PictureFolder(self.tiles).write(key, outcome.pictures)
        if outcome.failure is None or outcome.lasting:
            self.rows.write(suite, row)
        return row

    def write_sheet(self, suite: Suite, key: RowKey) -> None:
        """Show what all blur models made of the scene of ``key`` under its budget, first seed."""
        keys = suite.select([key.scene], budgets=[key.budget], seeds=[0])
        target = self.folder / "pictures" / suite.name / f"{key.scene}-{key.budget}.png"
        write_sheet(self.rows.read_all(suite, keys), PictureFolder(self.tiles), target)

    def write_tables(self, suite: Suite, failed: Sequence[Row] = ()) -> None:
        """Make ``RESULTS.md`` of all rows there are.

        ``failed`` are rows of ``suite`` that failed just now and were not kept.
        """
        parts = [HEADING]
        for each in self.suites:
            rows = self.rows.read_all(each, each.select(seeds=range(MOST_SEEDS)))
            if each.name == suite.name:
                rows += [row for row in failed if row not in rows]
            if rows:
                parts.append(suite_tables(each, rows))
        write_text(self.folder / "RESULTS.md", "\n".join(parts))


def run_missing(
    suite: Suite,
    keys: Sequence[RowKey],
    place: Place,
    results: Results,
    execute: Execute,
    tell: Callable[[Row], None],
) -> list[Row]:
    """Train the rows of ``keys`` that are missing; the tables are made anew after each of them.

    Returns those that failed and that another try may have.
    """
    failed = []
    for key, outcome in execute(suite, results.missing(suite, keys), place):
        row = results.keep(suite, key, outcome)
        if outcome.failure is not None and not outcome.lasting:
            failed.append(row)
        tell(row)
        results.write_sheet(suite, key)
        results.write_tables(suite, failed)
    results.write_tables(suite, failed)
    return failed


def spread_by_ray(
    suite: Suite, keys: Sequence[RowKey], place: Place
) -> Iterator[tuple[RowKey, Outcome]]:
    """Train on the machines of a Ray cluster, one row at a time on each.

    ``RAY_ADDRESS`` names the cluster; without it, Ray starts on this machine. ``place`` must mean
    the same on all machines; scenes are made where they are missing. Raises ``InputError`` where
    Ray is not installed, and where the machines differ.
    """
    ray = load_ray()
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    # A row that shared its machine with another would train for fewer steps in the same time.
    cores = cores_of_each(node["Resources"] for node in ray.nodes() if node["Alive"])
    gpus = 1 if place.device.type == "cuda" else 0
    train_row = ray.remote(num_cpus=cores, num_gpus=gpus, max_retries=0)(run_row)
    waiting = {train_row.remote(suite, key, place): key for key in keys}
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        key = waiting.pop(done)
        try:
            outcome = ray.get(done)
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            outcome = Outcome({}, {}, f"the machine failed: {reason}")
        yield key, outcome


def cores_of_each(machines: Iterable[Mapping[str, float]]) -> float:
    """How many cores every machine that may work has, as Ray counts them."""
    counts = sorted({machine["CPU"] for machine in machines if machine.get("CPU")})
    if len(counts) != 1:
        found = " and ".join(f"{count:.0f}" for count in counts) or "no"
        raise InputError(
            f"--spread: the machines of the cluster have {found} cores; rows are compared by the "
            "time they train, so use machines that are alike"
        )
    return counts[0]


def load_ray() -> ModuleType:
    """The module ``ray``. Raises ``InputError`` with what to install where it is missing."""
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise InputError("--spread: Ray is not installed; pip install 'sharpfield[ray]'") from None
