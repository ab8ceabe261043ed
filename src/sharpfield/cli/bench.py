"""``sharpfield bench``."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sharpfield.bench.bench import MOST_SEEDS, Results, run_missing, spread_by_ray
from sharpfield.bench.rows import Row
from sharpfield.bench.runner import Place
from sharpfield.bench.suite import Suite
from sharpfield.bench.suites import SUITES, find_suite
from sharpfield.bench.turns import train_in_turns
from sharpfield.cli.console import RowsBar, console, counting, rows_bar, warn
from sharpfield.cli.options import DeviceOption, find_device
from sharpfield.errors import InputError


def bench(
    suite: Annotated[
        str,
        typer.Argument(
            help="blur: every blur model on hard scenes. savings: rays at equal PSNR. ablations: "
            "the parts of the dynamic kernel. adaptive: DP-NeRF's adaptive weights. poses: what "
            "correcting them gains. toy, toy-severe, blurball, blurball-full: one scene."
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="Where rows, pictures and RESULTS.md go; rows there are kept.")
    ] = Path("benchmarks"),
    work: Annotated[Path, typer.Option(help="Where scenes and runs go.")] = Path("runs/bench"),
    data: Annotated[Path, typer.Option(help="Where the real scenes lie.")] = Path("../shared/data"),
    scene: Annotated[list[str] | None, typer.Option(help="Only this scene; repeatable.")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Only this blur model; repeatable.")
    ] = None,
    budget: Annotated[list[str] | None, typer.Option(help="Only this budget; repeatable.")] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(min=0, max=MOST_SEEDS - 1, help="This seed for all models; repeatable."),
    ] = None,
    only_scenes: Annotated[
        bool,
        typer.Option("--only-scenes", help="Make the scenes below WORK/scenes, train nothing."),
    ] = False,
    spread: Annotated[bool, typer.Option(help="Spread the rows over a Ray cluster.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Train every blur model of a suite under the same budget, and write the tables.

    Rows that are there already are not trained again, so the same command goes on where it
    stopped; remove a row's file to repeat it. The rows of a scene train in turns, so that a
    machine that slows down does so for all of them; still, nothing else should run there.
    """
    chosen = find_suite(suite)
    keys = chosen.select(scene or (), model or (), budget or (), seed or ())
    place = Place(work.resolve(), data.resolve(), find_device(device))
    if only_scenes:
        for name in dict.fromkeys(key.scene for key in keys):
            console.print(
                f"{name}: {chosen.scene(name).description} ({_make(name, chosen, place)})"
            )
        return
    results = Results(output, place.work / "tiles", tuple(SUITES.values()))
    missing = results.missing(chosen, keys)
    console.print(f"{len(keys)} rows, {len(missing)} still to train")
    if not spread:
        for name in dict.fromkeys(key.scene for key in missing):
            with suppress(InputError):  # its rows will say so
                _make(name, chosen, place)
    with rows_bar(len(missing)) as bar:
        execute = spread_by_ray if spread else partial(train_in_turns, tell=bar.advance)
        failed = run_missing(chosen, missing, place, results, execute, lambda row: _tell(row, bar))
    console.print(f"tables: {output / 'RESULTS.md'}")
    if failed:
        warn(f"{len(failed)} rows could not be trained; the same command tries them again")
        raise typer.Exit(1)


def _make(name: str, suite: Suite, place: Place) -> Path:
    """The folder of a scene, made if need be."""
    with counting(f"{name}: taking photos", stays=False) as progress:
        return place.prepare(suite.scene(name), progress)


def _tell(row: Row, bar: RowsBar) -> None:
    bar.finish(row.key)
    if row.failure is not None:
        warn(f"{row.key}: {row.failure}")
    else:
        console.print(f"{row.key}: {row.numbers['mean']['psnr']:.2f} dB")
