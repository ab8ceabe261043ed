"""The documented commands on the real scene blurball, shrunken, and every file that they write."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity
from tests.classic.laboratory import BLURBALL, ROOT, SMALL, Laboratory, Value

from sharpfield.classic.option_table import OptionTable
from sharpfield.classic.options import parse_options
from sharpfield.scene.llff import read_llff
from sharpfield.scene.scene import Scene

pytestmark = pytest.mark.skipif(
    not BLURBALL.is_dir(), reason=f"the real scene blurball is not at {BLURBALL}"
)

STEPS, MOTIONS, VIEWS, HOLD, FRAMES = 12, 3, 27, 7, 120
WIDTH, HEIGHT = 38, 25
TRAINING: dict[str, Value] = {
    "N_iters": STEPS,
    "kernel_start_iter": 3,
    "i_print": 4,
    "i_tensorboard": 4,
    "i_weights": 6,
    "i_testset": STEPS,
    "i_video": STEPS,
}
ONE: dict[str, Value] = {}
FOUR: dict[str, Value] = {"num_gpu": 4}
SCORES = r"MSE:(\S+) PSNR:(\S+) SSIM:(\S+) LPIPS:(\S+)"


def blurball_in(home: Path) -> Laboratory:
    return Laboratory(BLURBALL, home, {**SMALL, "datadownsample": 16})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Laboratory, str]:
    """An experiment ``ball``, trained to its end, and what the console showed; only to be read."""
    laboratory = blurball_in(tmp_path_factory.mktemp("trained"))
    return laboratory, laboratory.succeed("ball", **TRAINING).shown


@pytest.fixture(scope="module")
def rendered(
    trained: tuple[Laboratory, str], tmp_path_factory: pytest.TempPathFactory
) -> Laboratory:
    """A copy of it in which everything was rendered with the three commands that render."""
    home = tmp_path_factory.mktemp("rendered")
    shutil.copytree(trained[0].home / "logs", home / "logs")
    laboratory = blurball_in(home)
    path: dict[str, Value] = {"ft_path": laboratory.folder("ball") / "000012.tar"}
    laboratory.succeed("ball", **TRAINING, **path, render_only=True, render_test=True)
    laboratory.succeed("ball", **TRAINING, **path, render_only=True)
    laboratory.succeed("ball", **TRAINING, **path, save_warped_ray_img=True)
    return laboratory


@pytest.fixture(scope="module")
def scene() -> Scene:
    return read_llff(BLURBALL, 4, 16, HOLD)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def picture(path: Path) -> np.ndarray:
    image = np.asarray(Image.open(path))
    assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.uint8
    return image


def paper_scores(folder: Path, scene: Scene) -> tuple[float, float, float]:
    """MSE, PSNR and SSIM of the files, as the papers define them: on [-1, 1], uniform window."""
    errors, similarities = [], []
    for index in scene.test_indices:
        photo = scene.views[index].photo.astype(np.float64) * 2 - 1
        render = picture(folder / f"{index:03d}.png") / 255 * 2 - 1
        errors.append(np.mean((photo - render) ** 2))
        similarities.append(
            structural_similarity(photo, render, channel_axis=-1, win_size=7, data_range=2)
        )
    ratios = [10 * np.log10(4 / error) for error in errors]
    return float(np.mean(errors)), float(np.mean(ratios)), float(np.mean(similarities))


def scores_in(line: str) -> tuple[float, float, float]:
    match = re.search(SCORES, line)
    assert match is not None and (match[4] == "null" or float(match[4]) >= 0), line
    assert all(len(match[i].partition(".")[2]) == 8 for i in (1, 2, 3))
    return float(match[1]), float(match[2]), float(match[3])


def test_the_files_have_their_old_names(trained: tuple[Laboratory, str]) -> None:
    classic = {
        "args.txt",
        "config.txt",
        "test_metrics.txt",
        "000006.tar",
        "000012.tar",
        "testset_000012",
        "ball_spiral_000012_rgb.mp4",
        "ball_spiral_000012_disp.mp4",
    }
    ours = {"checkpoints", "config.yaml", "metrics.jsonl", "tensorboard", ".lock"}
    assert names(trained[0].folder("ball")) == classic | ours


def test_the_console_says_how_it_goes(trained: tuple[Laboratory, str]) -> None:
    lines = [line for line in trained[1].splitlines() if line.startswith("[TRAIN]")]
    form = r"\[TRAIN\] Iter: (\d+) Loss: [\d.]+ PSNR: [\d.]+ TIME: \d+:\d\d:\d\d"
    matches = [re.fullmatch(form, line) for line in lines]
    assert [match and match[1] for match in matches] == ["4", "8", "12"]


def test_args_txt_is_an_option_file(trained: tuple[Laboratory, str]) -> None:
    laboratory = trained[0]
    path = laboratory.folder("ball") / "args.txt"
    again = vars(parse_options(["--config", str(path)]))
    typed = vars(parse_options(laboratory.command("ball", **TRAINING)))
    for name in OptionTable.__dataclass_fields__:
        assert name == "config" or again[name] == typed[name], name


def test_args_txt_starts_the_same_training(trained: tuple[Laboratory, str], tmp_path: Path) -> None:
    laboratory = trained[0]
    args = tmp_path / "args.txt"
    shutil.copy(laboratory.folder("ball") / "args.txt", args)
    copy = Laboratory(BLURBALL, tmp_path, {"N_iters": 4, "i_tensorboard": 1, "config": args})
    assert copy.run("again").code == 0
    assert copy.losses("again")[-1] == pytest.approx(laboratory.losses("ball")[0], rel=1e-5)


def test_config_txt_is_the_option_file_with_its_base(trained: tuple[Laboratory, str]) -> None:
    text = (trained[0].folder("ball") / "config.txt").read_text()
    assert "rbk_num_motion = 7" in text and "kernel_start_iter = 1200" in text
    metrics = (trained[0].folder("ball") / "test_metrics.txt").read_text()
    assert metrics.startswith(text.rstrip())


def test_the_scores_are_those_of_the_pictures(
    trained: tuple[Laboratory, str], scene: Scene
) -> None:
    folder = trained[0].folder("ball")
    lines = (folder / "test_metrics.txt").read_text().splitlines()[-2:]
    assert lines[0].startswith("iter12/globalstep11: MSE:") and "protocol paper" in lines[0]
    assert re.fullmatch(r"TRAINING TIME: \d+:\d\d:\d\d", lines[1])
    expected = paper_scores(folder / "testset_000012", scene)
    assert scores_in(lines[0]) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert lines[0] in trained[1]


def test_every_view_is_rendered(trained: tuple[Laboratory, str]) -> None:
    folder = trained[0].folder("ball") / "testset_000012"
    assert names(folder) == {f"{number:03d}.png" for number in range(VIEWS)}
    assert all(picture(path).std() > 0 for path in folder.iterdir())


def test_the_checkpoint_is_read_without_running_code(trained: tuple[Laboratory, str]) -> None:
    for step in (6, STEPS):
        content = trained[0].archive("ball", step)
        assert content["global_step"] == step - 1
        networks: dict[str, Any] = content["network_state_dict"]
        assert networks and content["optimizer_state_dict"]
        assert all(tensor.isfinite().all() for tensor in networks.values())


@pytest.mark.parametrize("kind", ["rgb", "disp"])
def test_the_spiral_while_training(trained: tuple[Laboratory, str], kind: str) -> None:
    path = trained[0].folder("ball") / f"ball_spiral_000012_{kind}.mp4"
    assert iio.imread(path, plugin="FFMPEG").shape == (FRAMES, HEIGHT + 1, WIDTH, 3)


def test_tensorboard(trained: tuple[Laboratory, str]) -> None:
    board = trained[0].board("ball")
    scalars = {"Loss", "PSNR", "Kernel size", "Test MSE", "Test PSNR", "Test SSIM"}
    tags = board.Tags()
    assert scalars <= set(tags["scalars"]) <= scalars | {"Test LPIPS"}
    for tag in ("Loss", "PSNR", "Kernel size"):
        assert [event.step for event in board.Scalars(tag)] == [4, 8, 12]
    lines = (trained[0].folder("ball") / "test_metrics.txt").read_text().splitlines()
    logged = [board.Scalars(f"Test {name}")[0].value for name in ("MSE", "PSNR", "SSIM")]
    assert logged == pytest.approx(scores_in(lines[-2]), rel=1e-5)
    assert tags["histograms"] == ["Kernel sizes"]
    sizes = board.Histograms("Kernel sizes")[0].histogram_value
    assert sizes.num == (VIEWS - 4) * HEIGHT * WIDTH
    assert 1 <= sizes.min <= sizes.max <= MOTIONS + 1
    assert tags["images"] and all(tag.startswith("Kernel size/") for tag in tags["images"])
    shown = board.Images(tags["images"][0])[0].encoded_image_string
    assert Image.open(io.BytesIO(shown)).size == (WIDTH, HEIGHT)


def test_all_views(trained: tuple[Laboratory, str], rendered: Laboratory, scene: Scene) -> None:
    folder = rendered.folder("ball") / "renderonly_test_000011"
    numbers = [f"{number:03d}" for number in range(VIEWS)]
    assert names(folder) == {f"{n}.png" for n in numbers} | {f"{n}_disp.png" for n in numbers}
    before = trained[0].folder("ball") / "testset_000012"
    for number in numbers:
        file = f"{number}.png"
        assert np.array_equal(picture(folder / file), picture(before / file))
        picture(folder / f"{number}_disp.png")
    line = (rendered.folder("ball") / "test_metrics.txt").read_text().splitlines()[-1]
    assert line.startswith("**[Evaluation]** : ")
    assert scores_in(line) == pytest.approx(paper_scores(folder, scene), rel=1e-4, abs=1e-6)


def test_the_spiral_afterwards(rendered: Laboratory) -> None:
    folder = rendered.folder("ball") / "renderonly_path_000011"
    assert names(folder) == {"video.mp4", "video_disp.mp4"}
    for path in folder.iterdir():
        assert iio.imread(path, plugin="FFMPEG").shape == (FRAMES, HEIGHT + 1, WIDTH, 3)


def test_a_small_slide(trained: tuple[Laboratory, str], tmp_path: Path) -> None:
    laboratory = blurball_in(tmp_path)
    laboratory.succeed(
        "other",
        ft_path=trained[0].folder("ball") / "000012.tar",
        render_only=True,
        render_epi=True,
        render_factor=2,
    )
    assert names(laboratory.folder("other")) == {"args.txt", "renderonly_path_000011"}
    folder = laboratory.folder("other") / "renderonly_path_000011"
    assert names(folder) == {"epi_video.mp4", "epi_video_disp.mp4"}
    film = iio.imread(folder / "epi_video.mp4", plugin="FFMPEG")
    assert film.shape == (FRAMES, HEIGHT // 2, WIDTH // 2 + 1, 3)


def test_every_motion(trained: tuple[Laboratory, str], rendered: Laboratory, scene: Scene) -> None:
    folder = rendered.folder("ball") / "warped_ray_img_path_000011"
    stems = [
        f"{index:03d}_scene_{motion:03d}"
        for index in scene.train_indices
        for motion in range(MOTIONS + 1)
    ]
    files = {f"{stem}{end}.png" for stem in stems for end in ("", "_disp")}
    assert names(folder) == files | {"rays_warped.npy"}
    origin = picture(folder / "001_scene_000.png")
    given = picture(trained[0].folder("ball") / "testset_000012" / "001.png")
    assert np.array_equal(origin, given)
    assert not np.array_equal(origin, picture(folder / "001_scene_003.png"))


def test_the_warped_rays(rendered: Laboratory, scene: Scene) -> None:
    rays = np.load(rendered.folder("ball") / "warped_ray_img_path_000011" / "rays_warped.npy")
    assert rays.shape == (VIEWS - 4, MOTIONS + 1, 3, 2)
    for ray, index in zip(rays, scene.train_indices, strict=True):
        camera, pose = scene.views[index].camera, scene.views[index].pose
        x = (WIDTH // 2 + 0.5 - camera.centre_x) / camera.focal_x
        y = (HEIGHT // 2 + 0.5 - camera.centre_y) / camera.focal_y
        direction = pose[:, :3] @ np.array([x, -y, -1.0])
        assert ray[0, :, 0] == pytest.approx(pose[:, 3], abs=1e-5)
        assert ray[0, :, 1] == pytest.approx(direction, abs=1e-5)
    moved = np.abs(rays[:, 1:] - rays[:, :1]).max(axis=(2, 3))
    assert (moved > 0).all() and (moved < 0.5).all()


@pytest.mark.parametrize(("model", "rays"), [("none", 1), ("dpnerf", MOTIONS + 1)])
def test_other_blur_models(tmp_path: Path, model: str, rays: int) -> None:
    laboratory = blurball_in(tmp_path)
    laboratory.succeed("ball", blur_model_type=model)
    lines = laboratory.metrics("ball")
    assert len(lines) == 4 and all(np.isfinite(line["loss"]) for line in lines)
    networks = laboratory.archive("ball", 4)["network_state_dict"]
    assert any(name.startswith("blur.") for name in networks) == (model == "dpnerf")
    laboratory.succeed("ball", blur_model_type=model, save_warped_ray_img=True, render_factor=3)
    folder = laboratory.folder("ball") / "warped_ray_img_path_000003"
    assert len(names(folder)) == 1 + 2 * rays * (VIEWS - 4)
    assert np.load(folder / "rays_warped.npy").shape == (VIEWS - 4, rays, 3, 2)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """The script as a user starts it, in one process and in four, at the same time."""
    laboratory = blurball_in(tmp_path_factory.mktemp("processes"))
    started = {
        name: subprocess.Popen(
            [sys.executable, "run_nerf.py", *laboratory.command(name, **options)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, options in {"one": ONE, "four": FOUR}.items()
    }
    for name, process in started.items():
        shown, complaints = process.communicate()
        assert process.returncode == 0 and "Traceback" not in complaints, complaints
        assert shown.count(f"{name}: 4 iterations, {laboratory.folder(name)}\n") == 1
    return laboratory


def test_four_processes_train_like_one(processes: Laboratory) -> None:
    one, four = processes.metrics("one"), processes.metrics("four")
    assert [line["step"] for line in four] == [line["step"] for line in one] == [1, 2, 3, 4]
    for name in ("loss", "rays_per_pixel"):
        expected = [line[name] for line in one]
        assert [line[name] for line in four] == pytest.approx(expected, rel=1e-4)


def test_one_of_four_processes_writes(processes: Laboratory) -> None:
    assert names(processes.folder("four")) == names(processes.folder("one"))
    assert len(names(processes.home / "tb" / "four")) == 1
    text = (processes.folder("four") / "test_metrics.txt").read_text()
    assert text.count("expname = blurball") == text.count("TRAINING TIME") == 1


def test_the_script_does_what_the_tests_run(processes: Laboratory, tmp_path: Path) -> None:
    inside = blurball_in(tmp_path)
    inside.succeed("inside")
    assert inside.losses("inside") == pytest.approx(processes.losses("one"), rel=1e-5)
