"""Classic commands as a user types them, on experiments that are over in a second."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from sharpfield.classic.app import run

ROOT = Path(__file__).parents[2]
BLURBALL = ROOT.parent / "shared" / "data" / "blurball"
CONFIG = "./configs/blurball/tx_blurball_dpnerf.txt"

Value = str | int | float | Path
SMALL: dict[str, Value] = {
    "netdepth": 2,
    "netwidth": 16,
    "netdepth_fine": 2,
    "netwidth_fine": 16,
    "N_samples": 8,
    "N_importance": 8,
    "N_rand": 32,
    "N_iters": 4,
    "kernel_start_iter": 1,
    "rbk_num_motion": 3,
    "i_tensorboard": 1,
    "device": "cpu",
}


@dataclass(frozen=True)
class Outcome:
    """The exit code of a command, and what it wrote to standard output and standard error."""

    code: int
    shown: str
    complaints: str


@dataclass(frozen=True)
class Laboratory:
    """Experiments over one scene, under ``home``. ``small`` shrinks what the option file says."""

    scene: Path
    home: Path
    small: Mapping[str, Value] = field(default_factory=lambda: SMALL)

    def command(self, name: str, **options: Value) -> list[str]:
        """The arguments of an experiment; True stands for a bare flag."""
        places = {"datadir": self.scene, "basedir": self.home / "logs", "tbdir": self.home / "tb"}
        words = ["--config", CONFIG, "--expname", name]
        for option, value in {**places, **self.small, **options}.items():
            words += [f"--{option}"] if value is True else [f"--{option}", str(value)]
        return words

    def run(self, name: str, **options: Value) -> Outcome:
        """Run a command in the root of the repository."""
        shown, complaints = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            patch.setenv("COLUMNS", "200")
            patch.setenv("SHARPFIELD_CACHE", str(self.home / "cache"))
            with redirect_stdout(shown), redirect_stderr(complaints):
                code = run(self.command(name, **options))
        return Outcome(code, shown.getvalue(), complaints.getvalue())

    def succeed(self, name: str, **options: Value) -> Outcome:
        """Run a command that ends well, without any complaint but that LPIPS is not installed."""
        outcome = self.run(name, **options)
        lines = [line for line in outcome.complaints.splitlines() if "LPIPS was left" not in line]
        assert outcome.code == 0 and lines == [], outcome
        return outcome

    def refusal(self, name: str, **options: Value) -> str:
        """Run a command that is refused; the one line that says so."""
        outcome = self.run(name, **options)
        lines = [line for line in outcome.complaints.splitlines() if line.strip()]
        assert outcome.code == 2 and len(lines) == 1, outcome
        assert lines[0].startswith("run_nerf.py: ")
        return lines[0]

    def folder(self, name: str) -> Path:
        return self.home / "logs" / name

    def files(self) -> dict[Path, bytes]:
        """Everything that experiments have written, but for locks."""
        paths = [path for path in self.home.rglob("*") if path.is_file() and path.name != ".lock"]
        return {path: path.read_bytes() for path in paths}

    def metrics(self, name: str) -> list[dict[str, Any]]:
        text = (self.folder(name) / "metrics.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def losses(self, name: str) -> list[float]:
        return [line["loss"] for line in self.metrics(name)]

    def archive(self, name: str, step: int) -> dict[str, Any]:
        """A checkpoint, read as a user's script reads it."""
        path = self.folder(name) / f"{step:06d}.tar"
        content: dict[str, Any] = torch.load(path, weights_only=True)
        return content

    def board(self, name: str) -> EventAccumulator:
        board = EventAccumulator(str(self.home / "tb" / name), {"images": 0, "scalars": 0})
        board.Reload()
        return board


def assert_same_archives(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    """Equal bit for bit, but for the time that training took."""
    assert a["global_step"] == b["global_step"]
    assert torch.equal(a["random"], b["random"])
    for group in ("network_state_dict", "optimizer_state_dict"):
        ours: dict[str, Tensor] = a[group]
        theirs: dict[str, Tensor] = b[group]
        assert ours.keys() == theirs.keys()
        assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
