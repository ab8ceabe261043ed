"""Several real processes, started by our launcher and joined by gloo."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.group_worker import KILLED_AT, STOPPED_AT, dynamic, job, mlp, quietly
from tests.train.small_scene import STEPS

from sharpfield.cli.app import run as command_line
from sharpfield.config import Config
from sharpfield.errors import InputError
from sharpfield.scene.toy import ToySettings, make_toy_scene
from sharpfield.train.checkpoints import Checkpoint, load_checkpoint
from sharpfield.train.distributed import ALONE, is_worker, this_process
from sharpfield.train.launch import launch

ROOT = Path(__file__).parents[2]
WORKER = ("-m", "tests.train.group_worker")
CONFIGS: dict[str, Callable[[], Config]] = {"dynamic": dynamic, "mlp": mlp}


@dataclass(frozen=True)
class Outcome:
    """What came of a group: its exit code or the launcher's complaint, and what it showed."""

    code: int | None
    complaint: str
    shown: str
    seconds: float


def two_processes(*command: str, shown: Path) -> Outcome:
    started = time.monotonic()
    code, complaint = None, ""
    with worker_environment(), output_into(shown):
        try:
            code = launch(2, command)
        except InputError as error:
            complaint = str(error)
    return Outcome(code, complaint, shown.read_text(), time.monotonic() - started)


@contextmanager
def worker_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "src")]))
        patch.setenv("COLUMNS", "200")
        patch.delenv("OMP_NUM_THREADS", raising=False)
        yield


@contextmanager
def output_into(path: Path) -> Iterator[None]:
    """Output of this process and of those that it starts."""
    kept = [os.dup(1), os.dup(2)]
    sys.stdout.flush()
    with path.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        for number, copy in enumerate(kept, start=1):
            os.dup2(copy, number)
            os.close(copy)


def spoken(program: str, outcome: Outcome) -> list[str]:
    """What a program told its user, beside progress bars."""
    assert "Traceback" not in outcome.shown
    return [line for line in outcome.shown.splitlines() if line.startswith(f"{program}:")]


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def newest(run: Path) -> Checkpoint:
    checkpoint = load_checkpoint(run)
    assert checkpoint is not None and checkpoint.warning is None
    return checkpoint


def assert_same_training(run: Path, other: Path) -> None:
    """The same numbers at every step and the same parameters, but for rounding."""
    a, b = lines(run), lines(other)
    assert [line["step"] for line in a] == [line["step"] for line in b] == list(range(1, STEPS + 1))
    for ours, theirs in zip(a, b, strict=True):
        for name in ("loss", "psnr", "rays_per_pixel", "kernel_size"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4), (ours["step"], name)
    end, other_end = newest(run), newest(other)
    for name in ("step", "rays", "pixels"):
        assert end.state[name] == other_end.state[name]
    assert end.tensors.keys() == other_end.tensors.keys()
    assert torch.equal(end.tensors["random"], other_end.tensors["random"])
    for name, tensor in end.tensors.items():  # Adam's moments too: steps alone hide a scale
        expected = other_end.tensors[name].double()
        assert (tensor.double() - expected).norm() <= 1e-3 * expected.norm() + 1e-7, name


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the runs of one process."""
    folder = tmp_path_factory.mktemp("alone")
    for name, config in CONFIGS.items():
        quietly(job(folder / name, config(), ALONE))
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The folder of the runs of two processes, the second of which was killed in the end."""
    folder = tmp_path_factory.mktemp("together")
    return folder, two_processes(*WORKER, "trainings", str(folder), shown=folder / "shown.txt")


@pytest.mark.parametrize("name", CONFIGS)
def test_two_processes_train_like_one(
    alone: Path, together: tuple[Path, Outcome], name: str
) -> None:
    assert_same_training(together[0] / name, alone / name)


@pytest.mark.parametrize("name", CONFIGS)
def test_one_process_writes(together: tuple[Path, Outcome], name: str) -> None:
    run = together[0] / name
    assert [path.name for path in (run / "checkpoints").iterdir()] == [
        f"step_{STEPS:08d}.safetensors"
    ]
    assert len(list((run / "tensorboard").iterdir())) == 1


def test_ctrl_c_in_any_process_stops_all_and_one_goes_on(
    alone: Path, together: tuple[Path, Outcome]
) -> None:
    folder = together[0]
    assert [(folder / f"stopped_{rank}.txt").read_text() for rank in (0, 1)] == [
        str(STOPPED_AT)
    ] * 2
    assert newest(folder / "stopped").step == STOPPED_AT
    quietly(job(folder / "stopped", dynamic(), ALONE))
    assert_same_training(folder / "stopped", alone / "dynamic")


def test_a_killed_process_ends_all_and_the_newest_checkpoint_serves(
    alone: Path, together: tuple[Path, Outcome]
) -> None:
    folder, outcome = together
    assert outcome.complaint.startswith("process 2 of 2 was ended by SIGKILL")
    assert outcome.shown == "" and outcome.seconds < 60
    assert newest(folder / "killed").step == KILLED_AT - 1
    quietly(job(folder / "killed", dynamic(checkpoint_every=0.0), ALONE))
    assert_same_training(folder / "killed", alone / "dynamic")


def test_ctrl_c_in_the_launcher(tmp_path: Path) -> None:
    run = tmp_path / "endless"

    def press_ctrl_c() -> None:
        metrics = run / "metrics.jsonl"
        until = time.monotonic() + 60
        while time.monotonic() < until and not (metrics.exists() and metrics.read_text()):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    keyboard = threading.Thread(target=press_ctrl_c)
    keyboard.start()
    outcome = two_processes(*WORKER, "endless", str(tmp_path), shown=tmp_path / "shown.txt")
    keyboard.join()
    assert outcome.code == 130 and signal.getsignal(signal.SIGINT) is handler
    step = newest(run).step
    message = f"stopped at step {step}, checkpoint written; the same command goes on"
    assert spoken("group_worker", outcome) == [f"group_worker: {message}"]
    assert [line["step"] for line in lines(run)] == list(range(1, step + 1))


def test_a_group_is_turned_away_with_one_line(tmp_path: Path) -> None:
    scene, run = tmp_path / "scene", tmp_path / "run"
    make_toy_scene(scene, ToySettings(width=48, height=32, views=6, hold=3, exposures=33))
    settings = ("hashgrid.log2_entries=8", "hashgrid.levels=2")
    words = [word for setting in settings for word in ("--set", setting)]
    command = ["train", str(scene), "--output", str(run), "--device", "cpu", "--no-results"]
    command = [*command, "--steps", "1", *words]
    assert command_line([*command, "--blur", "none"]) == 0
    again = ("-m", "sharpfield", *command, "--blur", "rigid")
    outcome = two_processes(*again, shown=tmp_path / "shown.txt")
    assert outcome.code == 2
    (complaint,) = spoken("sharpfield", outcome)
    assert "blur.model = none, now it is rigid" in complaint


THREADS_LEFT = """
from pathlib import Path
import torch
from sharpfield.train.distributed import joined_group

with joined_group(torch.device("cpu")) as group:
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.ones(3)
    group.add_gradients([parameter])
    torch.optim.Adam([parameter]).step()
threads = [path.joinpath("comm").read_text() for path in Path("/proc/self/task").iterdir()]
left = [name for name in threads if "gloo" in name]
Path(__file__).with_name(f"left-{group.rank}").write_text("".join(left))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="lists threads as Linux does")
def test_a_group_leaves_no_threads_that_could_abort_the_process(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(THREADS_LEFT)
    assert two_processes(str(script), shown=tmp_path / "shown.txt").code == 0
    assert [(tmp_path / f"left-{rank}").read_text() for rank in range(2)] == ["", ""]


def test_the_environment_says_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert not is_worker() and this_process().size == 1
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert is_worker() and this_process().local_rank == 5
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    process = this_process()
    assert (process.rank, process.size) == (5, 8)
    assert (process.local_rank, process.local_size) == (1, 4)
