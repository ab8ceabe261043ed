"""What becomes of errors: one line for the user and an exit code."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import typer

from sharpfield.cli.console import errors
from sharpfield.errors import InputError
from sharpfield.train.distributed import this_process
from sharpfield.train.loop import Interrupted

USER_ERROR = 2
INTERRUPTED = 130
CPU_ALLOCATOR = "DefaultCPUAllocator"
"""Where torch has no memory left on a CPU, its error is of no kind of its own, but says this."""

ALONE_SECONDS = 15.0
"""An error of all processes is the first one's to show, and its end is that of all.

A process that is still there after this long has met an error of its own.
"""

LESS_MEMORY = (
    "Take less at once: in training --set train.rays_at_once=8192 (results stay the same), for "
    "pictures --set render.picture_rays=4096, which `train` also takes for a run that is finished. "
    "Large photos: --downscale 2."
)
"""What to do when memory runs out."""


def exit_code(program: str, action: Callable[[], int], less_memory: str = LESS_MEMORY) -> int:
    """The action's own code, 2 for wrong input, 130 after Ctrl-C.

    ``less_memory`` is the advice where memory runs out. Of several processes, the first one speaks
    for all of them.
    """
    first = this_process().rank == 0
    try:
        return action()
    except InputError as error:
        if not first:
            time.sleep(ALONE_SECONDS)
        return _complain(program, str(error), USER_ERROR)
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is one of the former
        if not _out_of_memory(error):
            raise
        reason = str(error).splitlines()[0] if str(error) else "no memory left"
        return _complain(program, f"{reason} {less_memory}", USER_ERROR)
    except Interrupted as stop:
        if not first:
            return 0
        message = f"stopped at step {stop.step}, checkpoint written; the same command goes on"
        return _complain(program, message, INTERRUPTED)
    except (KeyboardInterrupt, typer.Abort):
        if not first:
            return INTERRUPTED
        return _complain(program, "stopped; nothing is half-written", INTERRUPTED)


def _out_of_memory(error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or CPU_ALLOCATOR in str(error)


def _complain(program: str, message: str, code: int) -> int:
    one_line = " ".join(message.split())
    errors.print(f"{program}: {one_line}", highlight=False, soft_wrap=True)
    return code
