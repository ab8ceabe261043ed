"""Ctrl-C that waits for the end of a training step."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class HeldInterrupt:
    """Within the block, the first Ctrl-C only sets ``pressed``; a second one interrupts at once.

    A step that is torn in the middle can't be resumed bit for bit and is no checkpoint. Outside
    the main thread, where Python delivers no signals, nothing changes.
    """

    def __init__(self) -> None:
        self.pressed = False
        self._ours = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> HeldInterrupt:
        if self._ours:
            self._previous = signal.signal(signal.SIGINT, self._press)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._previous)

    def _press(self, number: int, frame: FrameType | None) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True
