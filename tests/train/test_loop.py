from __future__ import annotations

import dataclasses
import itertools
import json
import math
import signal
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.small_scene import STEPS, small_config, small_scene
from torch import Tensor

from sharpfield.config import Config
from sharpfield.errors import InputError
from sharpfield.scene.scene import Scene
from sharpfield.settings import to_dict
from sharpfield.train.checkpoints import load_checkpoint
from sharpfield.train.loop import Interrupted, Job, Observer, train
from sharpfield.train.metrics_log import MetricsLog
from sharpfield.train.run_folder import lock_run, read_run
from sharpfield.train.step import StepResult, compute_gradients
from sharpfield.train.trainer import Progress, Trainer

CONFIG = small_config("dynamic")


def run_training(
    run: Path,
    scene: Scene,
    config: Config = CONFIG,
    observe: Observer = lambda trainer, result: None,
    warnings: list[str] | None = None,
) -> Progress:
    warn = [] if warnings is None else warnings
    return train(Job(run, scene, config, torch.device("cpu")), observe, warn.append)


def final_tensors(run: Path, step: int = STEPS) -> dict[str, Tensor]:
    checkpoint = load_checkpoint(run)
    assert checkpoint is not None and checkpoint.step == step
    return checkpoint.tensors


def assert_same_end(run: Path, other: Path) -> None:
    a, b = final_tensors(run), final_tensors(other)
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def metrics(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def interrupt_at(step: int) -> Observer:
    def observe(trainer: Trainer, result: StepResult) -> None:
        if trainer.progress.step == step:
            raise KeyboardInterrupt

    return observe


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return small_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, scene: Scene) -> Path:
    """An uninterrupted run; tests only read it."""
    run = tmp_path_factory.mktemp("finished") / "run"
    run_training(run, scene)
    return run


def test_the_run_folder_holds_what_the_design_lists(finished: Path, scene: Scene) -> None:
    record = read_run(finished)
    assert record.scene == scene.root.resolve() and record.config == to_dict(CONFIG)
    names = {path.name for path in finished.iterdir()} - {".lock"}
    assert names == {"config.yaml", "checkpoints", "metrics.jsonl", "tensorboard"}
    assert list((finished / "tensorboard").iterdir())


def test_metrics_are_one_line_per_logged_step(finished: Path) -> None:
    lines = metrics(finished)
    assert [line["step"] for line in lines] == [3, 6, 9, 12]
    for line in lines:
        assert {"step", "seconds", "loss", "psnr", "rays_per_pixel"} <= line.keys()
        assert all(math.isfinite(value) for value in line.values())
    seconds = [line["seconds"] for line in lines]
    assert seconds == sorted(seconds) and seconds[0] >= 0
    assert lines[0]["rays_per_pixel"] < 3 < 5 >= lines[-1]["kernel_size"]


def test_the_checkpoint_knows_what_training_cost(finished: Path) -> None:
    checkpoint = load_checkpoint(finished)
    assert checkpoint is not None
    assert checkpoint.state["step"] == STEPS
    for name in ("seconds", "rays", "pixels", "samples", "peak_memory_bytes"):
        assert float(checkpoint.state[name]) > 0  # type: ignore[arg-type]


def test_the_observer_sees_every_step(tmp_path: Path, scene: Scene) -> None:
    seen: list[tuple[int, float, str]] = []
    progress = run_training(
        tmp_path / "run",
        scene,
        observe=lambda trainer, result: seen.append(
            (trainer.progress.step, trainer.share_done, trainer.stage())
        ),
    )
    assert progress.step == STEPS
    assert [step for step, _, _ in seen] == list(range(1, STEPS + 1))
    shares = [share for _, share, _ in seen]
    assert shares == sorted(shares) and shares[-1] == 1.0
    stages = list(dict.fromkeys(stage for _, _, stage in seen))
    assert len(stages) == 4 and all(stages)


def test_interrupted_and_resumed_ends_like_an_uninterrupted_run(
    tmp_path: Path, scene: Scene, finished: Path
) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted) as stopped:
        run_training(run, scene, observe=interrupt_at(5))
    assert stopped.value.step == 5
    checkpoint = load_checkpoint(run)
    assert checkpoint is not None and checkpoint.step == 5
    progress = run_training(run, scene)
    assert progress.step == STEPS
    assert_same_end(run, finished)
    ours, theirs = metrics(run), metrics(finished)
    assert [line["step"] for line in ours] == [line["step"] for line in theirs]
    assert [line["loss"] for line in ours] == [line["loss"] for line in theirs]


def test_the_end_is_the_mean_of_the_last_parameters(tmp_path: Path, scene: Scene) -> None:
    tables: list[Tensor] = []

    def remember(trainer: Trainer, result: StepResult) -> None:
        tables.append(trainer.model.state_dict()["field.table"].clone())

    config = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, average=0.25))
    run_training(tmp_path / "run", scene, config, remember)
    table = final_tensors(tmp_path / "run")["model/field.table"]
    torch.testing.assert_close(table, torch.stack(tables[-3:]).mean(0))


def test_ctrl_c_in_the_middle_of_a_step_loses_nothing(
    tmp_path: Path, scene: Scene, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Almost every Ctrl-C hits a step half done: random numbers drawn, parameters not yet moved."""
    calls: list[int] = []
    handler = signal.getsignal(signal.SIGINT)  # of a shell's background job it is another one

    def interrupted_step(*arguments: Any) -> Any:
        calls.append(len(calls))
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
        return compute_gradients(*arguments)

    monkeypatch.setattr("sharpfield.train.trainer.compute_gradients", interrupted_step)
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        run_training(run, scene)
    assert len(calls) < STEPS
    run_training(run, scene)
    assert_same_end(run, finished)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_second_ctrl_c_leaves_the_torn_step_out(
    tmp_path: Path, scene: Scene, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def impatient_step(*arguments: Any) -> Any:
        calls.append(len(calls))
        result = compute_gradients(*arguments)
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr("sharpfield.train.trainer.compute_gradients", impatient_step)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_training(run, scene, small_config("dynamic", checkpoint_every=0.0))
    saved = load_checkpoint(run)
    assert saved is not None and saved.step < STEPS
    run_training(run, scene)
    assert_same_end(run, finished)


def test_a_run_that_was_stopped_before_its_mean_was_taken_is_finished(
    tmp_path: Path, scene: Scene, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "finish", lambda trainer: None)
        run_training(run, scene)
    run_training(run, scene)
    assert_same_end(run, finished)


def test_a_run_that_goes_on_forgets_the_mean_of_its_old_end(tmp_path: Path, scene: Scene) -> None:
    longer = small_config("dynamic", steps=3 * STEPS)
    means: list[int] = []
    with pytest.raises(Interrupted):
        run_training(tmp_path / "run", scene, observe=interrupt_at(STEPS - 1))
    assert "mean_of_steps" in final_tensors(tmp_path / "run", STEPS - 1)
    run_training(
        tmp_path / "run", scene, longer, lambda trainer, result: means.append(trainer.mean.steps)
    )
    assert means[0] == 0 and means[-1] > 1


def test_starting_anew_removes_the_checkpoints_there_were(tmp_path: Path, scene: Scene) -> None:
    run = tmp_path / "run"
    run_training(run, scene)
    seen: list[list[Path]] = []

    def look(trainer: Trainer, result: StepResult) -> None:
        seen.append(list((run / "checkpoints").iterdir()))

    train(Job(run, scene, CONFIG, torch.device("cpu"), anew=True), look, lambda warning: None)
    assert [path.name for path in seen[0]] == ["step_00000000.safetensors"]


def test_a_full_disk_under_the_log_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    full = pytest.raises(InputError, match=r"metrics.jsonl: no space left on the disk")
    with full, MetricsLog(tmp_path, 0) as log:
        log.write({"step": 1, "loss": 0.5})


def test_a_finished_run_is_left_alone(tmp_path: Path, scene: Scene) -> None:
    run = tmp_path / "run"
    first = run_training(run, scene)
    files = {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}

    def no_step(trainer: Trainer, result: StepResult) -> None:
        raise AssertionError("nothing is left to do")

    again = run_training(run, scene, observe=no_step)
    assert again == first
    assert files == {path: path.read_bytes() for path in (run / "checkpoints").iterdir()}
    assert [line["step"] for line in metrics(run)] == [3, 6, 9, 12]


def test_a_run_may_go_on_for_longer(tmp_path: Path, scene: Scene) -> None:
    run = tmp_path / "run"
    run_training(run, scene, small_config("none", steps=4))
    assert run_training(run, scene, small_config("none", steps=7, log_every=1)).step == 7
    assert read_run(run).config["train"]["steps"] == 7  # type: ignore[call-overload, index]


def test_a_pause_within_a_step_does_not_spend_the_time_budget(
    tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clock() -> Iterator[float]:
        """Steps of a hundredth of a second, and an hour in which the process is stopped."""
        now = 0.0
        for step in itertools.count():
            yield now
            now += 3600.0 if step == 20 else 0.01
            yield now

    time = types.SimpleNamespace(perf_counter=clock().__next__)
    monkeypatch.setattr("sharpfield.train.loop.time", time)
    timed = dataclasses.replace(CONFIG.train, time_budget=1.0)
    progress = run_training(tmp_path / "run", scene, dataclasses.replace(CONFIG, train=timed))
    assert 20 < progress.step <= 52
    assert progress.seconds < 1.1


def test_a_time_budget_ends_training(tmp_path: Path, scene: Scene) -> None:
    config = small_config("none", steps=10**9)
    timed = dataclasses.replace(config.train, time_budget=0.05)
    progress = run_training(tmp_path / "run", scene, dataclasses.replace(config, train=timed))
    assert progress.seconds >= 0.05 and 1 <= progress.step < 10**6


def test_a_second_trainer_is_turned_away(tmp_path: Path, scene: Scene) -> None:
    run = tmp_path / "run"
    with lock_run(run), pytest.raises(InputError, match="another training is using"):
        run_training(run, scene)
    assert not run.exists() or not any(path.name != ".lock" for path in run.iterdir())


def test_another_configuration_is_turned_away(finished: Path, scene: Scene) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"blur\.motions = 4, now it is 7"):
        run_training(finished, scene, small_config("dynamic", motions=7))
    with pytest.raises(InputError, match="belongs to the scene"):
        run_training(finished, dataclasses.replace(scene, root=scene.root / "other"))
    after = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.is_file()}
    assert {path for path in before if path.name != ".lock"} <= after.keys()
    assert all(after[path] == time for path, time in before.items() if path.name != ".lock")


def test_a_run_goes_on_where_its_scene_was_moved_to(tmp_path: Path, scene: Scene) -> None:
    run = tmp_path / "run"
    gone, here = (dataclasses.replace(scene, root=tmp_path / name) for name in ("gone", "here"))
    run_training(run, gone, small_config("none", steps=4))
    assert run_training(run, here, small_config("none", steps=4)).step == 4
    assert read_run(run).scene == here.root.resolve()


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(
    tmp_path: Path, scene: Scene, finished: Path
) -> None:
    run = tmp_path / "run"
    run_training(run, scene, small_config("dynamic", checkpoint_every=0.0))
    before, newest = sorted((run / "checkpoints").iterdir())
    assert newest.name == f"step_{STEPS:08d}.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    warnings: list[str] = []
    steps: list[int] = []
    run_training(
        run,
        scene,
        observe=lambda trainer, result: steps.append(trainer.progress.step),
        warnings=warnings,
    )
    assert steps == [STEPS]
    assert len(warnings) == 1 and newest.name in warnings[0] and before.name in warnings[0]
    assert_same_end(run, finished)


def test_training_that_diverges_says_so_and_keeps_the_last_good_checkpoint(
    tmp_path: Path, scene: Scene
) -> None:
    run = tmp_path / "run"
    views = [dataclasses.replace(view, photo=view.photo * float("nan")) for view in scene.views]
    with pytest.raises(InputError, match="diverged") as error:
        run_training(run, dataclasses.replace(scene, views=tuple(views)))
    assert "\n" not in str(error.value)
    assert load_checkpoint(run) is None
