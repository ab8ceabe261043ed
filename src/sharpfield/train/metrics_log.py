"""``metrics.jsonl`` and TensorBoard: what a run logs while it trains."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

from torch.utils.tensorboard import SummaryWriter

from sharpfield.files import explaining, write_text

METRICS_FILE = "metrics.jsonl"


class MetricsLog:
    """Appends one JSON object per logged step, and the same numbers for TensorBoard.

    Lines after ``step`` are dropped on opening: a resumed run writes them again.
    """

    def __init__(self, run: Path, step: int) -> None:
        path = run / METRICS_FILE
        if path.is_file():
            lines = path.read_text().splitlines()
            kept = [line for line in lines if _step_of(line) <= step]
            write_text(path, "".join(f"{line}\n" for line in kept))
        self._path = path
        with explaining(path):
            self._file = path.open("a", encoding="utf-8")
            self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def write(self, record: dict[str, float | int]) -> None:
        """Log ``record``, which has a ``step``. Raises ``InputError`` on a full disk."""
        with explaining(self._path):
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
            for name, value in record.items():
                if name != "step":
                    self._board.add_scalar(name, value, int(record["step"]))

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with explaining(self._path):
            try:
                self._file.close()
            finally:
                self._board.close()


def _step_of(line: str) -> float:
    """The step of a line; infinity for the torn last line of a killed run."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
