"""What users get wrong: one line that names it and what to do, exit code 2, nothing written."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.classic.laboratory import CONFIG, Laboratory, Value

RENDER: dict[str, Value] = {"render_only": True}
trained_or_rendered = pytest.mark.parametrize("options", [{}, RENDER])


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def experiment(made_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """An experiment ``ball`` of four steps; tests only read it."""
    laboratory = Laboratory(made_scene, tmp_path_factory.mktemp("experiment"))
    laboratory.succeed("ball")
    return laboratory


def refusal(laboratory: Laboratory, **options: Value) -> str:
    """The line that refuses a command, which has left everything as it was."""
    before = laboratory.files()
    line = laboratory.refusal("ball", **options)
    assert laboratory.files() == before
    return line


@trained_or_rendered
def test_no_such_scene(laboratory: Laboratory, options: dict[str, Value]) -> None:
    nowhere = laboratory.home / "nowhere"
    assert f"{nowhere}: no such folder" in refusal(laboratory, datadir=nowhere, **options)
    assert not (laboratory.home / "logs").exists()


def test_a_factor_that_cannot_be_made(laboratory: Laboratory) -> None:
    line = refusal(laboratory, factor=3)
    assert "no images_3 and no images to make it from" in line and "images_4" in line


def test_photos_smaller_than_a_few_pixels(laboratory: Laboratory) -> None:
    assert "choose a smaller downscale or factor" in refusal(laboratory, datadownsample=4)


def test_an_unreadable_line_of_the_option_file(laboratory: Laboratory) -> None:
    path = laboratory.home / "bad.txt"
    path.write_text(f"base = {Path(CONFIG).absolute()}\nN_rand = many\n")
    line = refusal(laboratory, config=path)
    assert f"{path} line 2" in line and "N_rand" in line and "many" in line


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"N_rnad": 5}, ["N_rnad", "N_rand"]),
        ({"spherify": True}, ["--spherify", "--no_ndc"]),
        ({"spherify": True, "no_ndc": True}, ["spherify", "parallel"]),
        ({"dataset_type": "blender"}, ["--dataset_type blender", "llff"]),
        ({"blur_model_type": "rigid"}, ["blur_model_type", "rigid", "dpnerf", "dynamic"]),
        ({"memory": "lots"}, ["--memory lots", "8GB"]),
        ({"N_rand": 0}, ["--N_rand 0", "1"]),
    ],
)
def test_options_that_make_no_sense(
    laboratory: Laboratory, options: dict[str, Value], names: list[str]
) -> None:
    line = refusal(laboratory, **options)
    assert all(name in line for name in names), line


def test_no_cuda_device(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert "--device cuda" in refusal(laboratory, device="cuda")


@pytest.mark.parametrize("options", [RENDER, {**RENDER, "render_test": True}])
def test_pictures_without_a_checkpoint(laboratory: Laboratory, options: dict[str, Value]) -> None:
    line = refusal(laboratory, **options)
    assert str(laboratory.folder("ball")) in line
    assert "no checkpoint" in line and "--ft_path" in line


@trained_or_rendered
def test_ft_path_a_missing_file(laboratory: Laboratory, options: dict[str, Value]) -> None:
    path = laboratory.home / "200000.tar"
    assert f"--ft_path {path}: no such file" in refusal(laboratory, ft_path=path, **options)


@trained_or_rendered
def test_ft_path_a_damaged_file(
    laboratory: Laboratory, experiment: Laboratory, options: dict[str, Value]
) -> None:
    path = laboratory.home / "200000.tar"
    whole = (experiment.folder("ball") / "000004.tar").read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no checkpoint at all"):
        path.write_bytes(content)
        line = refusal(laboratory, ft_path=path, **options)
        assert f"{path}: damaged" in line and "give another checkpoint" in line


@trained_or_rendered
def test_ft_path_another_program(laboratory: Laboratory, options: dict[str, Value]) -> None:
    path = laboratory.home / "200000.tar"
    networks = {"module.mlp_coarse.pts_linears.0.weight": torch.zeros(4, 4)}
    for content in (
        {"global_step": 9, "network_state_dict": networks, "optimizer_state_dict": {}},
        [torch.zeros(3)],
    ):
        torch.save(content, path)
        line = refusal(laboratory, ft_path=path, **options)
        assert str(path) in line and "another program" in line and "train" in line


def test_an_experiment_of_another_program(laboratory: Laboratory) -> None:
    """What was trained elsewhere is never to be removed."""
    path = laboratory.folder("ball") / "200000.tar"
    path.parent.mkdir(parents=True)
    torch.save({"global_step": 9, "network_state_dict": {}, "optimizer_state_dict": {}}, path)
    line = refusal(laboratory)
    assert str(path) in line and "another program" in line and "remove" not in line


@trained_or_rendered
@pytest.mark.parametrize(
    "change",
    [
        {"state": "no JSON"},
        {"state": '{"surprise": 1}'},
        {"network_state_dict": 5},
        {"random": [1, 2]},
    ],
    ids=str,
)
def test_ft_path_wrong_content(
    laboratory: Laboratory,
    experiment: Laboratory,
    options: dict[str, Value],
    change: dict[str, Any],
) -> None:
    path = laboratory.home / "200000.tar"
    torch.save({**experiment.archive("ball", 4), **change}, path)
    assert str(path) in refusal(laboratory, ft_path=path, **options)


@trained_or_rendered
@pytest.mark.parametrize("old_format", [False, True])
def test_ft_path_code_in_the_file_does_not_run(
    laboratory: Laboratory, options: dict[str, Value], old_format: bool
) -> None:
    path, trap = laboratory.home / "200000.tar", laboratory.home / "trap"
    content = {"global_step": 9, "network_state_dict": Hostile(trap)}
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    line = refusal(laboratory, ft_path=path, **options)
    assert not trap.exists()
    assert f"{path}: damaged, or it holds more than tensors" in line


@trained_or_rendered
def test_ft_path_another_architecture(
    laboratory: Laboratory, experiment: Laboratory, options: dict[str, Value]
) -> None:
    path = experiment.folder("ball") / "000004.tar"
    smaller = {"netdepth": 1}, {"N_importance": 0}, {"blur_model_type": "none"}
    for change in ({"netwidth": 24}, {"netdepth_fine": 3}, {"rbk_num_motion": 2}, *smaller):
        line = refusal(laboratory, ft_path=path, **{**options, **change})
        assert str(path) in line and "another configuration" in line
        assert "give the options that it was trained with" in line


def test_an_experiment_of_another_architecture(experiment: Laboratory) -> None:
    line = refusal(experiment, netwidth=24)
    assert str(experiment.folder("ball")) in line and "16" in line and "24" in line
    assert "another configuration" in refusal(experiment, netwidth=24, **RENDER)


def test_an_experiment_of_another_scene(experiment: Laboratory, tmp_path: Path) -> None:
    other = shutil.copytree(experiment.scene, tmp_path / "other")
    assert str(other) in refusal(experiment, datadir=other)


def test_a_step_that_does_not_fit(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpfield.train.memory_plan.free_bytes", lambda device: 5_000_000)
    line = refusal(laboratory, memory="off", N_rand=10**7)
    match = re.search(r"set --N_rand (\d+) or --memory auto", line)
    assert "--N_rand 10000000" in line and match is not None
    fits = int(match[1])
    assert 1 <= fits < 10**4
    laboratory.succeed("ball", memory="off", N_rand=fits, N_iters=2)
    assert "--N_rand" in laboratory.refusal("more", memory="off", N_rand=2 * fits)
