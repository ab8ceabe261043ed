"""Experiments that were stopped, damaged, moved or made longer."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.classic.laboratory import Laboratory, assert_same_archives

from sharpfield.classic.experiment import Experiment

STEPS = 12
STOPPED_AT = 5
TRAINING = {"N_iters": STEPS, "kernel_start_iter": 3, "i_weights": 6}


@pytest.fixture(scope="module")
def whole(made_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """An experiment ``whole`` that was never stopped; tests only read it."""
    laboratory = Laboratory(made_scene, tmp_path_factory.mktemp("whole"))
    laboratory.succeed("whole", **TRAINING)
    return laboratory


@pytest.fixture
def copied(whole: Laboratory, tmp_path: Path) -> Laboratory:
    """A copy of ``whole`` that a test may change."""
    shutil.copytree(whole.home, tmp_path / "copy")
    return Laboratory(whole.scene, tmp_path / "copy")


def forget(laboratory: Laboratory, *names: str) -> None:
    for name in names:
        path = laboratory.folder("whole") / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def assert_ends_like(whole: Laboratory, laboratory: Laboratory, name: str = "whole") -> None:
    assert_same_archives(laboratory.archive(name, STEPS), whole.archive("whole", STEPS))


def test_stopped_with_ctrl_c_and_started_again(
    whole: Laboratory, laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Experiment.__call__

    def press_ctrl_c(self: Experiment, *arguments: Any) -> None:
        original(self, *arguments)
        if arguments[0].progress.step == STOPPED_AT - 1:  # the step after it is finished
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "__call__", press_ctrl_c)
        stopped = laboratory.run("stopped", **TRAINING)
    assert stopped.code == 130
    assert stopped.complaints == (
        f"run_nerf.py: stopped at step {STOPPED_AT}, checkpoint written; the same command goes on\n"
    )
    logged = laboratory.board("stopped").Scalars("Loss")
    assert [event.step for event in logged] == list(range(1, STOPPED_AT + 1))

    laboratory.succeed("stopped", **TRAINING)
    assert_ends_like(whole, laboratory, "stopped")
    assert laboratory.losses("stopped") == whole.losses("whole")
    assert len(laboratory.metrics("stopped")) == STEPS
    logged = laboratory.board("stopped").Scalars("Loss")
    assert [event.step for event in logged] == list(range(1, STEPS + 1))


def test_a_finished_experiment_is_left_alone(copied: Laboratory) -> None:
    before = copied.files()
    copied.succeed("whole", **TRAINING)
    after = copied.files()
    assert {path for path in before if path.suffix in (".tar", ".txt", ".jsonl")} <= {
        path for path in before if after[path] == before[path]
    }


def test_the_archive_alone_is_enough(whole: Laboratory, copied: Laboratory) -> None:
    forget(copied, "checkpoints", "000012.tar")
    copied.succeed("whole", **TRAINING)
    assert_ends_like(whole, copied)
    assert copied.losses("whole") == whole.losses("whole")


def test_checkpoints_without_their_record_are_not_lost(
    whole: Laboratory, copied: Laboratory
) -> None:
    forget(copied, "config.yaml", "000006.tar", "000012.tar")
    copied.succeed("whole", **{**TRAINING, "N_iters": STEPS + 3})
    assert copied.archive("whole", STEPS + 3)["global_step"] == STEPS + 2
    steps = [line["step"] for line in copied.metrics("whole")]
    assert steps == list(range(1, STEPS + 4))
    assert copied.losses("whole")[:STEPS] == whole.losses("whole")


def test_a_damaged_archive_is_passed_over(whole: Laboratory, copied: Laboratory) -> None:
    forget(copied, "checkpoints")
    path = copied.folder("whole") / "000012.tar"
    path.write_bytes(path.read_bytes()[:-500])
    outcome = copied.run("whole", **TRAINING)
    assert outcome.code == 0
    warning = f"{path}: damaged checkpoint skipped; going on from 000006.tar"
    assert outcome.complaints == f"warning: {warning}\n"
    assert_ends_like(whole, copied)


def test_an_archive_serves_where_no_checkpoint_can_be_read(
    whole: Laboratory, copied: Laboratory
) -> None:
    forget(copied, "000012.tar")
    for path in (copied.folder("whole") / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    outcome = copied.run("whole", **TRAINING)
    assert outcome.code == 0
    assert outcome.complaints.count("warning: ") == len(outcome.complaints.splitlines()) == 1
    assert "000006.tar" in outcome.complaints
    assert_ends_like(whole, copied)


def test_no_reload_starts_anew(whole: Laboratory, copied: Laboratory) -> None:
    forget(copied, "000006.tar", "000012.tar")
    copied.succeed("whole", no_reload=True, **TRAINING)
    assert (copied.folder("whole") / "000006.tar").is_file()
    assert_ends_like(whole, copied)
    assert copied.losses("whole") == whole.losses("whole")


def test_ft_path_starts_another_experiment(whole: Laboratory, laboratory: Laboratory) -> None:
    start = whole.folder("whole") / "000006.tar"
    laboratory.succeed("branch", ft_path=start, **TRAINING)
    assert [line["step"] for line in laboratory.metrics("branch")] == list(range(7, STEPS + 1))
    assert_ends_like(whole, laboratory, "branch")


def test_ft_path_goes_back_in_its_own_experiment(whole: Laboratory, copied: Laboratory) -> None:
    start = copied.folder("whole") / "000006.tar"
    forget(copied, "000012.tar")
    copied.succeed("whole", ft_path=start, **TRAINING)
    assert_ends_like(whole, copied)
    assert copied.losses("whole") == whole.losses("whole")


def test_a_longer_training_goes_on(whole: Laboratory, copied: Laboratory) -> None:
    copied.succeed("whole", **{**TRAINING, "N_iters": STEPS + 3})
    assert [line["step"] for line in copied.metrics("whole")] == list(range(1, STEPS + 4))
    assert copied.losses("whole")[:STEPS] == whole.losses("whole")
    assert copied.archive("whole", STEPS + 3)["global_step"] == STEPS + 2
    assert copied.folder("whole").joinpath("000012.tar").is_file()


def test_no_reload_takes_other_options_too(copied: Laboratory) -> None:
    refusal = copied.refusal("whole", **{**TRAINING, "netwidth": 8})
    assert "mlp.width = 16, now it is 8" in refusal and "--expname" in refusal
    copied.succeed("whole", **{**TRAINING, "netwidth": 8, "no_reload": True})


def test_where_pictures_were_rendered_one_may_train_later(copied: Laboratory) -> None:
    archive = copied.folder("whole") / f"{STEPS:06d}.tar"
    copied.succeed("other", **TRAINING, ft_path=archive, render_only=True, render_factor=4)
    copied.succeed("other", **TRAINING)
    assert (copied.folder("other") / archive.name).is_file()
