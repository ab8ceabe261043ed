"""Rows that are compared train in turns, so that a machine that slows down does so for all."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from sharpfield.bench.runner import Outcome, Place, run_row
from sharpfield.bench.suite import RowKey, Suite
from sharpfield.train.loop import Observer
from sharpfield.train.step import StepResult
from sharpfield.train.trainer import Trainer

Tell = Callable[[RowKey, float], None]
"""Is told a row and which share of its training is done, after each of its turns."""


def train_in_turns(
    suite: Suite, keys: Sequence[RowKey], place: Place, tell: Tell, seconds: float = 0.5
) -> Iterator[tuple[RowKey, Outcome]]:
    """Train rows of one scene, budget and seed in turns of ``seconds``, each in its own process.

    One of them computes at a time, the others wait, which does not count as their time. On a
    shared machine speed may change by a third within a minute; one after the other, rows of the
    same seconds would differ by that.
    """

    def compared(key: RowKey) -> tuple[str, str, int]:
        return key.scene, key.budget, key.seed

    for _, group in groupby(keys, compared):
        yield from _train_group(suite, list(group), place, tell, seconds)


def _train_group(
    suite: Suite, keys: Sequence[RowKey], place: Place, tell: Tell, seconds: float
) -> Iterator[tuple[RowKey, Outcome]]:
    rows = {key: _start(suite, key, place, seconds) for key in keys}
    try:
        while rows:
            for key, (process, connection) in list(rows.items()):
                try:
                    connection.send(None)
                    message = connection.recv()
                except (EOFError, OSError):
                    message = Outcome({}, {}, "its process died")
                if isinstance(message, Outcome):
                    del rows[key]
                    process.join()
                    yield key, message
                else:
                    tell(key, message)
    finally:
        for process, _ in rows.values():
            process.terminate()


def _start(
    suite: Suite, key: RowKey, place: Place, seconds: float
) -> tuple[BaseProcess, Connection]:
    """A process that waits for its first turn."""
    context: Any = multiprocessing.get_context("spawn")
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe()
    process = context.Process(target=_train, args=(suite, key, place, seconds, theirs), daemon=True)
    process.start()
    theirs.close()  # else we would wait for ever for a process that died
    return process, ours


def _train(suite: Suite, key: RowKey, place: Place, seconds: float, connection: Connection) -> None:
    """What a row's process does: train for a turn, wait for the next, and send the outcome.

    Ctrl-C reaches it as well as the process that it works for, which says so and goes.
    """
    with suppress(KeyboardInterrupt):
        connection.recv()
        connection.send(run_row(suite, key, place, _by_turns(seconds, connection)))


def _by_turns(seconds: float, connection: Connection) -> Observer:
    """Lets training go on for ``seconds`` at a time, then waits for its next turn."""
    started = time.perf_counter()

    def observe(trainer: Trainer, result: StepResult) -> None:
        nonlocal started
        if time.perf_counter() - started > seconds:
            connection.send(trainer.share_done)
            connection.recv()
            started = time.perf_counter()

    return observe
