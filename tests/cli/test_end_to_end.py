"""The whole path with real files: blurry photos in, sharp photos, videos, maps and a report out."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import yaml

from sharpfield.cli.app import run
from sharpfield.scene.toy import ToySettings, make_toy_scene

TRAIN_VIEWS, MOTIONS = 4, 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few dozen steps through all phases, with everything that ``train`` writes."""
    folder = tmp_path_factory.mktemp("whole")
    scene = folder / "scene"
    make_toy_scene(scene, ToySettings(width=48, height=32, views=6, hold=3, exposures=33))
    settings = {
        "blur.motions": MOTIONS,
        "hashgrid.log2_entries": 10,
        "hashgrid.levels": 4,
        "render.grid": 16,
        "render.steps": 24,
        "train.samples": 4096,
        "train.head_rate": 5e-3,
        "train.log_every": 5,
    }
    overrides = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    command = ["train", str(scene), "--output", str(folder / "run"), "--steps", "60"]
    assert run([*command, "--device", "cpu", *overrides]) == 0
    return folder / "run"


def test_the_demo_compares_two_models_of_the_same_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = partial(ToySettings, width=48, height=32, views=6, hold=3, exposures=33)
    monkeypatch.setattr("sharpfield.cli.demo.ToySettings", small)
    words = ["demo", "--output", str(tmp_path), "--seconds", "1", "--seed", "3"]
    assert run([*words, "--device", "cpu"]) == 0
    configs = [
        yaml.safe_load((tmp_path / name / "config.yaml").read_text())["config"]
        for name in ("none", "dynamic")
    ]
    assert [config["blur"].pop("model") for config in configs] == ["none", "dynamic"]
    assert configs[0] == configs[1] and configs[0]["train"]["seed"] == 3
    shown = capsys.readouterr().out
    assert all(f"│ {name}" in shown for name in ("none", "dynamic"))
    report = tmp_path / "dynamic" / "report.html"
    assert str(report) in shown.replace("\n", "")
    assert ">none<" in report.read_text()


def test_shrunken_photos_are_compared_with_a_truth_of_their_size(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARPFIELD_CACHE", str(tmp_path / "cache"))
    words = ["train", str(finished.parent / "scene"), "--output", str(tmp_path / "run")]
    words += ["--steps", "2", "--device", "cpu", "--set", "scene.factor=2", "--blur", "none"]
    assert run([*words, "--set", "hashgrid.levels=2", "--set", "hashgrid.log2_entries=8"]) == 0
    scores = json.loads((tmp_path / "run" / "eval" / "metrics.json").read_text())
    assert len(scores["restored"]["views"]) == TRAIN_VIEWS


def test_the_run_folder_is_complete(finished: Path) -> None:
    assert yaml.safe_load((finished / "config.yaml").read_text())["config"]["blur"]["motions"] == 3
    assert list((finished / "checkpoints").glob("*.safetensors"))
    assert list((finished / "tensorboard").iterdir())
    assert (finished / "report.html").stat().st_size > 10_000
    assert len(list((finished / "restored").iterdir())) == TRAIN_VIEWS
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(5, 61, 5))
    assert {"step", "seconds", "loss", "psnr", "rays_per_pixel"} <= lines[0].keys()
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"], "large errors count in proportion"


def test_eval_writes_its_scores(finished: Path) -> None:
    assert run(["eval", str(finished), "--protocol", "paper", "--device", "cpu"]) == 0
    scores = json.loads((finished / "eval" / "metrics.json").read_text())
    assert scores["protocol"]["name"] == "paper"
    assert len(scores["views"]) == 2 and scores["mean"]["psnr"] > 8
    assert scores["rays_per_pixel"] > 1 and scores["peak_memory_bytes"] > 1e6


def test_restored_photos_keep_name_and_size(finished: Path) -> None:
    assert run(["restore", str(finished), "--device", "cpu"]) == 0
    for path in (finished / "restored").iterdir():
        assert iio.imread(path).shape == (32, 48, 3)


@pytest.mark.parametrize("path", ["spiral", "interpolate"])
def test_videos(finished: Path, path: str) -> None:
    command = ["render", str(finished), "--path", path, "--frames", "3", "--device", "cpu"]
    assert run(command) == 0
    frames = iio.imread(finished / "renders" / f"{path}.mp4", plugin="FFMPEG")
    assert frames.shape == (3, 32, 48, 3)


def test_kernels(finished: Path) -> None:
    assert run(["kernels", str(finished), "--device", "cpu"]) == 0
    folder = finished / "kernels"
    sizes = [np.load(path) for path in sorted((folder / "size").glob("*.npy"))]
    assert len(sizes) == TRAIN_VIEWS
    assert all(size.shape == (32, 48) and size.dtype == np.float32 for size in sizes)
    assert all(size.min() >= 1 and size.max() <= MOTIONS + 1 for size in sizes)
    assert np.load(folder / "poses.npy").shape == (TRAIN_VIEWS, MOTIONS + 1, 3, 4)
    assert len(list((folder / "warped").iterdir())) == TRAIN_VIEWS * (MOTIONS + 1)


def test_the_same_command_again_changes_nothing(finished: Path) -> None:
    config = yaml.safe_load((finished / "config.yaml").read_text())
    checkpoint = sorted((finished / "checkpoints").iterdir())[-1]
    before = checkpoint.read_bytes()
    leaves = [
        f"{section}.{key}={value}"
        for section, values in config["config"].items()
        if isinstance(values, dict)
        for key, value in values.items()
    ]
    overrides = [word for leaf in leaves for word in ("--set", leaf)]
    command = ["train", config["scene"], "--output", str(finished), "--no-results", *overrides]
    assert run(command) == 0
    assert sorted((finished / "checkpoints").iterdir())[-1] == checkpoint
    assert checkpoint.read_bytes() == before
