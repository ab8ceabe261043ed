"""Starting the processes of a run on this machine, as ``torchrun`` does."""

from __future__ import annotations

import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from sharpfield.errors import InputError

_STOP_SECONDS = "600"
"""How long processes may take, after Ctrl-C, to finish a step and write the checkpoint.

Versions of torch that do not know the variable give them 30 seconds.
"""

_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
    if hasattr(signal, name)  # Windows has the first two
)


def launch(processes: int, command: Sequence[str]) -> int:
    """Run ``python *command`` (a script, or -m and a module, with arguments) in ``processes``.

    They find each other as under ``torchrun --standalone``; when one fails, all are ended.
    Returns the exit code of the first process, 130 after Ctrl-C. What went wrong has been said by
    the process that failed; raises ``InputError`` when one had no time for that (``kill -9``).
    """
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", _STOP_SECONDS)
    with TemporaryDirectory(prefix="sharpfield_") as logs, _signals_kept(), _torchrun_silenced():
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
        )
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            return _exit_code(error.failures, processes)
        except SignalException as stop:
            return 128 + stop.sigval
    return 0


def _exit_code(failures: Mapping[int, ProcessFailure], processes: int) -> int:
    """A negative code is the signal that ended a process; all but the culprit got SIGTERM."""
    if 0 in failures and failures[0].exitcode > 0:
        return failures[0].exitcode
    rank, culprit = min(failures.items(), key=lambda item: item[1].timestamp)
    if culprit.exitcode > 0:
        return culprit.exitcode
    name = signal.Signals(-culprit.exitcode).name
    hint = " (by hand, or for lack of memory)" if name == "SIGKILL" else ""
    raise InputError(
        f"process {rank + 1} of {processes} was ended by {name}{hint}; "
        "start the same command again to go on from the newest checkpoint"
    )


@contextmanager
def _signals_kept() -> Iterator[None]:
    """torchrun hands signals on to its processes and leaves its handlers behind."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _torchrun_silenced() -> Iterator[None]:
    """Its processes say what went wrong; torchrun would add a page about their exit codes."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
