"""Options that crashed in the original, did nothing there, or stand beside its usual path."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from tests.classic.laboratory import Laboratory, Value, assert_same_archives
from tests.classic.made_scene import CAMERA, write_inward_scene

DPNERF: dict[str, Value] = {"blur_model_type": "dpnerf"}
OUTSIDE: dict[str, Value] = {"no_ndc": True, "lindisp": True}
VARIANTS: dict[str, dict[str, Value]] = {
    "coarse network alone": {"N_importance": 0},
    "coarse network alone, dpnerf": {"N_importance": 0, **DPNERF},
    "no adaptive weights": {"use_awp": "false"},
    "no adaptive weights, dpnerf": {"use_awp": "false", **DPNERF},
    "no unmoved ray": {"rbk_use_origin": "false", **DPNERF},
    "no handover": {"use_coarse_to_fine_opt": "false"},
    "adaptive weights of another width": {"awp_sam_emb_width": 24, "awp_mot_emb_width": 16},
    "half size": {"half_res": True},
    "no ndc": {"no_ndc": True},
    "no ndc, even in disparity": OUTSIDE,
    "learned tone curve": {"tone_mapping_type": "learn", "rgb_activate": "none"},
    "no tone curve": {"tone_mapping_type": "none"},
    "as published": {"fidelity": "original", **DPNERF},
    "no view directions": {"use_viewdirs": "false"},
    "no positional encoding": {"i_embed": -1},
    "fixed samples": {"perturb": 0, "raw_noise_std": 0},
    "small pieces": {"netchunk": 100, "chunk": 50},
    "other activations": {"rgb_activate": "softplus", "sigma_activate": "softplus"},
    "no kernel": {"use_dpnerf": "false", **DPNERF},
}


def tensors(laboratory: Laboratory, name: str, step: int) -> dict[str, torch.Tensor]:
    networks: dict[str, torch.Tensor] = laboratory.archive(name, step)["network_state_dict"]
    return networks


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_trains(laboratory: Laboratory, variant: str) -> None:
    outcome = laboratory.run("ball", **VARIANTS[variant])
    assert outcome.code == 0 and "Traceback" not in outcome.complaints
    losses = laboratory.losses("ball")
    assert len(losses) == 4 and all(math.isfinite(loss) for loss in losses)
    assert all(tensor.isfinite().all() for tensor in tensors(laboratory, "ball", 4).values())


def test_an_inward_scene(laboratory: Laboratory) -> None:
    scene = write_inward_scene(laboratory.home / "ring")
    inward: dict[str, Value] = {"datadir": scene, "no_ndc": True, "spherify": True}
    laboratory.succeed("ring", **inward)
    assert all(math.isfinite(loss) for loss in laboratory.losses("ring"))
    laboratory.succeed("ring", **inward, render_only=True)
    assert (laboratory.folder("ring") / "renderonly_path_000003" / "video.mp4").is_file()


def test_without_importance_samples_there_is_one_network(laboratory: Laboratory) -> None:
    laboratory.succeed("one", N_importance=0, N_iters=2)
    laboratory.succeed("two", N_iters=2)
    assert not any("fine" in name for name in tensors(laboratory, "one", 2))
    assert any("fine" in name for name in tensors(laboratory, "two", 2))


@pytest.mark.parametrize(("origin", "count"), [("true", 4), ("false", 3)])
def test_a_kernel_with_and_without_the_unmoved_ray(
    laboratory: Laboratory, origin: str, count: int
) -> None:
    laboratory.succeed("ball", **DPNERF, rbk_use_origin=origin, kernel_start_iter=0)
    assert laboratory.metrics("ball")[-1]["rays_per_pixel"] == count


def test_small_pieces_change_nothing(laboratory: Laboratory) -> None:
    laboratory.succeed("whole")
    laboratory.succeed("pieces", **VARIANTS["small pieces"])
    assert laboratory.losses("pieces") == pytest.approx(laboratory.losses("whole"), rel=1e-4)


def test_render_factor_makes_whole_pictures_smaller(laboratory: Laboratory) -> None:
    laboratory.succeed("ball")
    views: dict[str, Value] = {"render_only": True, "render_test": True}
    laboratory.succeed("ball", **views)
    folder = laboratory.folder("ball") / "renderonly_test_000003"
    large = Image.open(folder / "001.png")
    assert large.size == (CAMERA.width, CAMERA.height)
    large.load()
    scores = (laboratory.folder("ball") / "test_metrics.txt").read_text()
    outcome = laboratory.run("ball", **views, render_factor=2)
    assert outcome.code == 0 and "--render_factor 2" in outcome.complaints
    small = Image.open(folder / "001.png")
    assert small.size == (CAMERA.width // 2, CAMERA.height // 2)
    assert (laboratory.folder("ball") / "test_metrics.txt").read_text() == scores
    expected = np.asarray(large.resize(small.size, Image.Resampling.BOX), dtype=float)
    assert np.abs(expected - np.asarray(small)).mean() < 6


def test_one_process_renders(laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    laboratory.succeed("ball")
    monkeypatch.delattr("sharpfield.classic.app.launch")
    views: dict[str, Value] = {"render_only": True, "render_test": True, "num_gpu": 2}
    laboratory.succeed("ball", **views)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    before = laboratory.files()
    laboratory.succeed("ball", **views)
    assert laboratory.files() == before


def test_the_near_cut_acts_on_pictures_only(laboratory: Laboratory) -> None:
    foggy: dict[str, Value] = {"sigma_activate": "softplus"}
    laboratory.succeed("cut", render_rmnearplane=112, **foggy)
    laboratory.succeed("whole", render_rmnearplane=0, **foggy)
    assert_same_archives(laboratory.archive("cut", 4), laboratory.archive("whole", 4))
    nearest = []
    for cut in (0, 112):
        foggy["render_rmnearplane"] = cut
        laboratory.succeed("whole", render_only=True, render_test=True, **foggy)
        path = laboratory.folder("whole") / "renderonly_test_000003" / "001_disp.png"
        nearest.append(1 - np.asarray(Image.open(path)).max() / 255)
    assert nearest[0] < 0.8 < 0.87 < nearest[1]


def test_options_without_effect_are_named_once(laboratory: Laboratory) -> None:
    outcome = laboratory.run("ball", white_bkgd=True, precrop_iters=5, N_iters=2)
    assert outcome.code == 0
    assert outcome.complaints.count("warning:") == 1
    assert "white_bkgd" in outcome.complaints and "precrop_iters" in outcome.complaints


def test_a_split_step_has_the_same_result(laboratory: Laboratory) -> None:
    options: dict[str, Value] = {"N_rand": 60, "N_iters": 3}
    whole = laboratory.succeed("whole", memory="off", **options)
    split = laboratory.succeed("split", memory="1MB", **options)
    assert "memory:" not in whole.shown
    lines = [line for line in split.shown.splitlines() if line.startswith("memory:")]
    assert len(lines) == 1 and "rays at a time" in lines[0]
    assert laboratory.losses("split") == pytest.approx(laboratory.losses("whole"), rel=1e-4)


def test_a_seed_changes_the_run(laboratory: Laboratory) -> None:
    laboratory.succeed("zero", N_iters=2)
    laboratory.succeed("one", N_iters=2, seed=1)
    assert laboratory.losses("zero") != laboratory.losses("one")
