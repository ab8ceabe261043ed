"""What users get wrong: one line that names it, exit code 2, no traceback, nothing half-written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from sharpfield.cli.app import run
from sharpfield.cli.outcome import exit_code
from sharpfield.scene.toy import ToySettings, make_toy_scene

SMALL = ["--set", "hashgrid.log2_entries=8", "--set", "hashgrid.levels=2", "--no-results"]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy") / "scene"
    make_toy_scene(root, ToySettings(width=48, height=32, views=6, hold=3, exposures=33))
    return root


@pytest.fixture
def scene(toy: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(toy, tmp_path / "scene"))


def train(scene: Path, output: Path, *options: str, steps: int = 2) -> int:
    return run(
        ["train", str(scene), "--output", str(output), "--steps", str(steps), *SMALL, *options]
    )


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(lines) == 1, lines
    assert "Traceback" not in lines[0]
    return lines[0]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--blurr", "none"], ["--blurr", "--blur"]),
        (["--blur", "nothing"], ["--blur nothing", "dynamic"]),
        (["--preset", "slow"], ["--preset", "slow", "fast"]),
        (["--device", "tpu"], ["--device", "tpu", "cpu"]),
        (["--set", "blur.motion=3"], ["blur.motion", "blur.motions"]),
        (["--set", "blur.motions=many"], ["blur.motions", "many"]),
        (["--time-budget", "3"], ["--steps", "--time-budget"]),
        (["--set", "train.warmup=0.5"], ["train.warmup 0.5", "settle 0.3"]),
        (["--set", "blur.motions=1"], ["blur.motions", "at least 2"]),
        (["--set", "blur.start_pixels=0"], ["blur.start_pixels"]),
        (["--downscale", "30"], ["downscale", "30"]),
        (["--seed", str(2**64)], ["train.seed", "at most 1e+09"]),
    ],
)
def test_wrong_options(
    scene: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    names: list[str],
) -> None:
    assert train(scene, tmp_path / "run", *options) == 2
    line = complaint(capsys)
    assert all(name in line for name in names), line
    assert not (tmp_path / "run").exists()


def test_no_such_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path / "nowhere", tmp_path / "run") == 2
    assert "nowhere" in complaint(capsys)
    assert not (tmp_path / "run").exists()


def test_a_bare_photo_folder(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (scene / "poses_bounds.npy").unlink()
    assert train(scene, tmp_path / "run") == 2
    assert "poses_bounds.npy" in complaint(capsys)
    assert not (tmp_path / "run").exists()


def test_poses_with_nan(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poses = np.load(scene / "poses_bounds.npy")
    poses[2, 3] = np.nan
    np.save(scene / "poses_bounds.npy", poses)
    assert train(scene, tmp_path / "run") == 2
    assert "poses_bounds.npy" in complaint(capsys)
    assert not (tmp_path / "run").exists()


def test_a_truncated_photo(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = sorted((scene / "images").glob("*.png"))[1]
    photo.write_bytes(photo.read_bytes()[:200])
    assert train(scene, tmp_path / "run") == 2
    assert photo.name in complaint(capsys)
    assert not (tmp_path / "run").exists()


def test_a_disk_that_fills_up_in_training(
    scene: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The checkpoints before stay, and the same command goes on once there is space."""
    output, options = tmp_path / "run", ("--set", "train.checkpoint_every=1e-6")
    write = Path.write_bytes

    def write_unless_full(self: Path, data: bytes) -> int:
        if "step_00000003" in self.name:
            raise OSError(28, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_bytes", write_unless_full)
        assert train(scene, output, *options, steps=5) == 2
    assert "no space left on the disk" in complaint(capsys)
    kept = sorted(path.name for path in (output / "checkpoints").iterdir())
    assert kept == ["step_00000001.safetensors", "step_00000002.safetensors"]
    assert train(scene, output, *options, steps=5) == 0
    assert (output / "checkpoints" / "step_00000005.safetensors").is_file()


def test_a_run_of_another_configuration(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_folder = tmp_path / "run"
    assert train(scene, run_folder, "--blur", "none") == 0
    before = {path: path.read_bytes() for path in run_folder.rglob("*.safetensors")}
    capsys.readouterr()
    assert train(scene, run_folder, "--blur", "rigid") == 2
    line = complaint(capsys)
    assert "blur.model" in line and "none" in line and "rigid" in line
    assert {path: path.read_bytes() for path in run_folder.rglob("*.safetensors")} == before


def test_a_run_whose_scene_holds_out_other_photos_now(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They were trained on."""
    assert train(scene, tmp_path / "run", "--blur", "none") == 0
    (scene / "hold=3").rename(scene / "hold=4")
    capsys.readouterr()
    assert train(scene, tmp_path / "run", "--blur", "none", steps=3) == 2
    assert "now without 003.png and with 004.png" in complaint(capsys)
    assert run(["eval", str(tmp_path / "run")]) == 2
    assert "now without 003.png and with 004.png" in complaint(capsys)


def test_a_run_with_a_setting_of_another_version(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(scene, tmp_path / "run", "--blur", "none") == 0
    record = tmp_path / "run" / "config.yaml"
    record.write_text(record.read_text().replace("start_pixels", "begin_pixels"))
    capsys.readouterr()
    assert run(["eval", str(tmp_path / "run")]) == 2
    line = complaint(capsys)
    assert str(record) in line and "begin_pixels" in line and "written by sharpfield" in line


def test_a_camera_that_looks_back(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = np.load(scene / "poses_bounds.npy")
    poses = table[:, :15].reshape(-1, 3, 5)
    poses[2, :, 1:3] *= -1.0  # turned by 180 degrees about its vertical axis
    table[:, :15] = poses.reshape(-1, 15)
    np.save(scene / "poses_bounds.npy", table)
    assert train(scene, tmp_path / "run") == 2
    line = complaint(capsys)
    assert "002.png" in line and "scene.ndc=false" in line


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    shown = capsys.readouterr()
    assert "train" in shown.out + shown.err and "sharpfield: " not in shown.err


def test_a_run_of_another_scene(
    scene: Path, toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(scene, tmp_path / "run", "--blur", "none") == 0
    capsys.readouterr()
    assert train(toy, tmp_path / "run", "--blur", "none") == 2
    assert str(toy) in complaint(capsys)


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("eval", "restore", "render", "kernels", "report"):
        assert run([verb, str(tmp_path)]) == 2
        assert str(tmp_path) in complaint(capsys)


def test_kernels_of_a_run_without_a_blur_model(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(scene, tmp_path / "run", "--blur", "none") == 0
    capsys.readouterr()
    assert run(["kernels", str(tmp_path / "run")]) == 2
    assert "dynamic" in complaint(capsys)


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in ("demo", "train", "eval", "restore", "render", "kernels"))


def test_a_benchmark_without_its_scene(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows are tried and the table says what is wrong, but the command did not succeed."""
    monkeypatch.chdir(tmp_path)
    assert run(["bench", "blurball", "--data", "nowhere", "--model", "none"]) == 1
    assert "1 rows could not be trained" in capsys.readouterr().err
    assert "no such scene" in (tmp_path / "benchmarks" / "RESULTS.md").read_text()


NO_ROOM = RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate\nX")


def test_scenes_alone_train_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", "blurball", "--only-scenes", "--data", str(tmp_path)]
    assert run(words) == 2
    assert f"{tmp_path / 'blurball'}: no such scene" in complaint(capsys).replace("\n", "")
    (tmp_path / "blurball").mkdir()
    assert run(words) == 0
    assert "blurball: real camera shake" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["blurball"]


@pytest.mark.parametrize(
    "error", [MemoryError(), NO_ROOM, torch.OutOfMemoryError("CUDA out of memory.\nX")]
)
def test_memory_that_runs_out_is_one_line_with_what_to_do(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def action() -> int:
        raise error

    assert exit_code("sharpfield", action) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and "--set train.rays_at_once=" in shown


def test_other_errors_are_not_taken_for_memory() -> None:
    def action() -> int:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        exit_code("sharpfield", action)
