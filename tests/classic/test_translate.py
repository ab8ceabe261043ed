"""From classic options to the configuration tree, and the options that do nothing."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sharpfield.classic.ignored import ignored
from sharpfield.classic.options import ClassicOptions, parse_options
from sharpfield.classic.translate import size_in_bytes, to_config
from sharpfield.config import Config, TrainConfig
from sharpfield.errors import InputError
from sharpfield.presets import preset

CONFIGS = Path(__file__).parents[2] / "configs"
REQUIRED = ["--expname", "ball", "--basedir", "logs", "--datadir", "data", "--tbdir", "tb"]

ORIGINAL = """
num_gpu = 1
expname = blurball_full
basedir = ./logs
tbdir = ./logs_tb
datadir = ./deblurnerf_dataset/real_camera_motion_blur/blurball
dataset_type = llff
factor = 4
llffhold = 7
render_rmnearplane = 10  # [0-128]
N_rand = 1024
N_samples = 64
N_importance = 64
N_iters = 200000
lrate = 5e-4
lrate_decay = 250
use_viewdirs = True
raw_noise_std = 1.0
rgb_activate = sigmoid
# kernel
blur_model_type = dpnerf
kernel_start_iter = 1200
tone_mapping_type = gamma
use_dpnerf
rbk_use_viewdirs
rbk_use_view_embed
rbk_view_embed_ch = 64
rbk_use_origin
rbk_enc_brc_depth = 4
rbk_enc_brc_width = 64
rbk_enc_brc_skips = 4
rbk_num_motion = 4
rbk_se_r_depth = 1
rbk_se_r_width = 32
rbk_se_r_output_ch = 3
rbk_se_v_depth = 1
rbk_se_v_width = 32
rbk_se_v_output_ch = 3
rbk_ccw_depth = 1
rbk_ccw_width = 32
rbk_se_rv_window = 0.1
use_awp
awp_sam_emb_depth = 4
awp_sam_emb_width = 64
awp_mot_emb_depth = 1
awp_mot_emb_width = 32
awp_dir_freq = 2
awp_rgb_freq = 2
awp_depth_freq = 3
awp_ray_dir_freq = 2
use_coarse_to_fine_opt
"""


def options(*arguments: str) -> ClassicOptions:
    return parse_options([*REQUIRED, *arguments])


def config(*arguments: str) -> Config:
    return to_config(options(*arguments))


def value(config: Config, key: str) -> object:
    found: object = config
    for name in key.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize(
    ("arguments", "key", "expected"),
    [
        ("", "field_name", "mlp"),
        ("--fidelity original", "fidelity", "original"),
        ("--factor 4", "scene.factor", 4),
        ("", "scene.factor", 1),
        ("--llffhold 7", "scene.hold", 7),
        ("", "scene.ndc", True),
        ("--no_ndc", "scene.ndc", False),
        ("--no_ndc --spherify", "scene.spherify", True),
        ("--tone_mapping_type learn", "scene.tone", "learn"),
        ("", "scene.tone", "none"),
        ("", "scene.downscale", 1),
        ("--datadownsample 0", "scene.downscale", 1),
        ("--datadownsample 3", "scene.downscale", 3),
        ("--half_res", "scene.downscale", 2),
        ("--half_res --datadownsample 3", "scene.downscale", 6),
        ("--netdepth 3", "mlp.depth", 3),
        ("--netwidth 32", "mlp.width", 32),
        ("--netdepth_fine 3", "mlp.fine_depth", 3),
        ("--netwidth_fine 32", "mlp.fine_width", 32),
        ("--multires 5", "mlp.position_octaves", 5),
        ("--multires_views 2", "mlp.direction_octaves", 2),
        ("--i_embed -1", "mlp.position_octaves", 0),
        ("--i_embed -1", "mlp.direction_octaves", 0),
        ("", "mlp.view_directions", False),
        ("--use_viewdirs", "mlp.view_directions", True),
        ("--rgb_activate none", "mlp.colour_activation", "none"),
        ("--sigma_activate softplus", "mlp.density_activation", "softplus"),
        ("--chunk 99", "render.picture_rays", 99),
        ("--N_samples 32", "hierarchical.coarse", 32),
        ("", "hierarchical.fine", 0),
        ("--N_importance 16", "hierarchical.fine", 16),
        ("", "hierarchical.jitter", 1.0),
        ("--perturb 0", "hierarchical.jitter", 0.0),
        ("--raw_noise_std 1", "hierarchical.density_noise", 1.0),
        ("--render_rmnearplane 10", "hierarchical.near_cut", 10),
        ("--lindisp", "hierarchical.even_disparity", True),
        ("--netchunk 99", "hierarchical.points_at_once", 99),
        ("--blur_model_type none", "blur.model", "none"),
        ("--blur_model_type dpnerf", "blur.model", "none"),
        ("--blur_model_type dpnerf --use_dpnerf", "blur.model", "rigid"),
        ("--blur_model_type dynamic", "blur.model", "dynamic"),
        ("--use_dpnerf", "blur.motions_from", "network"),
        ("--blur_model_type dynamic", "blur.motions_from", "path"),
        ("--rbk_num_motion 7", "blur.motions", 7),
        ("--rbk_view_embed_ch 48", "blur.embedding", 48),
        ("--use_dpnerf", "blur.origin", False),
        ("--use_dpnerf --rbk_use_origin", "blur.origin", True),
        ("--blur_model_type dynamic", "blur.origin", True),
        ("--rbk_enc_brc_depth 2", "rigid_network.encoder_depth", 2),
        ("--rbk_enc_brc_width 16", "rigid_network.encoder_width", 16),
        ("--rbk_se_r_depth 2", "rigid_network.rotation_depth", 2),
        ("--rbk_se_r_width 16", "rigid_network.rotation_width", 16),
        ("--rbk_se_v_depth 2", "rigid_network.translation_depth", 2),
        ("--rbk_se_v_width 16", "rigid_network.translation_width", 16),
        ("--rbk_ccw_depth 2", "rigid_network.weight_depth", 2),
        ("--rbk_ccw_width 16", "rigid_network.weight_width", 16),
        ("--rbk_se_rv_window 0.1", "rigid_network.window", 0.1),
        ("--use_dpnerf", "adaptive.enabled", False),
        ("--use_dpnerf --use_awp", "adaptive.enabled", True),
        ("--blur_model_type dynamic --use_awp", "adaptive.enabled", True),
        ("--blur_model_type none --use_awp", "adaptive.enabled", False),
        ("--use_awp", "adaptive.enabled", False),  # plain rays: use_dpnerf is off
        ("--awp_sam_emb_depth 2", "adaptive.sample_depth", 2),
        ("--awp_sam_emb_width 16", "adaptive.sample_width", 16),
        ("--awp_mot_emb_depth 2", "adaptive.motion_depth", 2),
        ("--awp_mot_emb_width 16", "adaptive.motion_width", 16),
        ("--awp_ray_dir_freq 3", "adaptive.direction_octaves", 3),
        ("", "adaptive.handover", False),
        ("--use_coarse_to_fine_opt", "adaptive.handover", True),
        ("--N_rand 64", "train.pixels", 64),
        ("--N_iters 64", "train.steps", 64),
        ("", "train.time_budget", 0.0),
        ("--lrate 1e-3", "train.head_rate", 1e-3),
        ("--lrate 1e-3", "train.blur_rate", 1e-3),
        ("--lrate 1e-3", "train.mask_rate", 1e-3),
        ("", "train.beta2", 0.999),
        ("", "train.epsilon", 1e-8),
        ("--seed 3", "train.seed", 3),
        ("--i_tensorboard 50", "train.log_every", 50),
        ("--kernel_start_iter 100 --N_iters 1000", "train.warmup", 0.1),
        ("--kernel_start_iter 100 --N_iters 50", "train.warmup", 1.0),
    ],
)
def test_an_option_reaches_its_setting(arguments: str, key: str, expected: object) -> None:
    found = value(config(*arguments.split()), key)
    assert found == expected and type(found) is type(expected)


def test_rates_fall_as_in_the_original() -> None:
    """A tenth per ``lrate_decay`` thousand steps: 0.1 ** (step / 250000) after any step."""
    train = config("--N_iters", "200000", "--lrate_decay", "250").train
    for step in (0, 1200, 200000):
        rate = train.head_rate * train.final_rate ** (step / train.steps)
        assert rate == pytest.approx(5e-4 * 0.1 ** (step / 250000), rel=1e-12)


def test_phases_keep_the_usual_shares() -> None:
    train = config("--N_iters", "200000", "--kernel_start_iter", "1200").train
    usual = TrainConfig()
    assert (train.warmup, train.settle, train.harden) == (0.006, usual.settle, usual.harden)


@pytest.mark.parametrize("start", [0, 10, 200, 400, 900, 1000, 5000])
@pytest.mark.parametrize("hard", [0, 5, 300, 500, 999, 5000])
def test_phases_follow_each_other(start: int, hard: int) -> None:
    train = config(
        *("--N_iters", "1000", "--blur_model_type", "dynamic"),
        *("--kernel_start_iter", str(start), "--use_rigidmask", str(hard)),
    ).train
    assert 0 <= train.warmup <= train.settle <= train.harden <= 1
    if train.warmup < 1 and (hard == 0 or hard > start):
        assert train.warmup < train.settle < train.harden
    if hard > start:
        assert train.harden == min(hard / 1000, 1.0)


def test_use_rigidmask_moves_the_hard_phase_only_where_it_can() -> None:
    given = ("--N_iters", "1000", "--blur_model_type", "dynamic", "--use_rigidmask")
    late = config(*given, "800").train
    assert (late.settle, late.harden) == (TrainConfig().settle, 0.8)
    early = config(*given, "100", "--kernel_start_iter", "40").train
    assert early.harden == 0.1
    assert early.settle == pytest.approx(0.07)


def test_every_option_that_shapes_a_run_is_shipped_as_the_tree_says() -> None:
    """Of the tree's groups that the classic commands use, the shipped files give DP-NeRF's."""
    path = CONFIGS / "defocuscake" / "tx_defocuscake_dpnerf.txt"
    found = to_config(parse_options(["--config", str(path), "--blur_model_type", "dpnerf"]))
    usual = Config()
    assert found.mlp == usual.mlp
    assert found.rigid_network == usual.rigid_network
    assert found.adaptive == dataclasses.replace(usual.adaptive, enabled=True)
    assert found.hierarchical == dataclasses.replace(
        usual.hierarchical, density_noise=1.0, near_cut=30
    )
    assert (found.blur.model, found.blur.motions, found.blur.origin) == ("rigid", 4, True)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("--rbk_num_motion 0", ["--rbk_num_motion 0", "at least 1"]),
        ("--N_rand 0", ["--N_rand 0", "at least 1"]),
        ("--N_iters 0", ["--N_iters 0", "at least 1"]),
        ("--N_samples 1", ["--N_samples 1", "at least 2"]),
        ("--N_importance -1", ["--N_importance -1", "at least 0"]),
        ("--netdepth 0", ["--netdepth 0", "at least 1"]),
        ("--kernel_start_iter -1", ["--kernel_start_iter -1", "at least 0"]),
        ("--use_rigidmask -1", ["--use_rigidmask -1", "at least 0"]),
        ("--i_video 0", ["--i_video 0", "at least 1"]),
        ("--num_gpu 0", ["--num_gpu 0", "at least 1"]),
        ("--lrate 0", ["--lrate 0.0", "above 0"]),
        ("--lrate_decay 0", ["--lrate_decay 0", "above 0"]),
        ("--factor 0", ["--factor 0", "at least 1"]),
        ("--dataset_type blender", ["--dataset_type blender", "llff"]),
        ("--datadownsample 1.5", ["--datadownsample 1.5", "whole number"]),
        ("--memory much", ["--memory much", "auto", "off", "8GB"]),
        ("--seed 20000000000", ["--seed 20000000000", "at most 1000000000"]),
    ],
)
def test_senseless_values_are_refused_in_a_line(arguments: str, parts: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        config(*arguments.split())
    message = str(caught.value)
    assert "\n" not in message and all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GB", 8 * 10**9),
        ("8 gib", 8 * 2**30),
        ("500M", 500 * 10**6),
        ("1.5kb", 1500),
        ("4096", 4096),
        ("2e9", 2 * 10**9),
        ("12B", 12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert size_in_bytes(text) == size
    config("--memory", text)


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "8XB", "8iB", "8 GB or so", "1e999"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InputError, match="--memory"):
        size_in_bytes(text)


@pytest.mark.parametrize(
    ("arguments", "name", "reason"),
    [
        ("--testskip 8", "testskip", "other data sets"),
        ("--shape armchair", "shape", "other data sets"),
        ("--white_bkgd", "white_bkgd", "opaque"),
        ("--precrop_iters 500", "precrop_iters", "original"),
        ("--precrop_frac 0.5", "precrop_frac", "original"),
        ("--awp_dir_freq 2", "awp_dir_freq", "original"),
        ("--awp_rgb_freq 2", "awp_rgb_freq", "original"),
        ("--awp_depth_freq 3", "awp_depth_freq", "original"),
        ("--rbk_use_view_embed", "rbk_use_view_embed", "view's code"),
        ("--rbk_use_viewdirs", "rbk_use_viewdirs", "original"),
        ("--rbk_enc_brc_skips 4", "rbk_enc_brc_skips", "depth"),
        ("--rbk_se_r_output_ch 6", "rbk_se_r_output_ch", "3 numbers"),
        ("--rbk_se_v_output_ch 6", "rbk_se_v_output_ch", "3 numbers"),
        ("--lindisp", "lindisp", "no_ndc"),
        ("--use_rigidmask 1250", "use_rigidmask", "dynamic"),
        ("--blur_model_type dynamic --rbk_enc_brc_depth 4", "rbk_enc_brc_depth", "path"),
        ("--blur_model_type dynamic --rbk_se_r_width 32", "rbk_se_r_width", "path"),
        ("--blur_model_type dynamic --rbk_ccw_depth 1", "rbk_ccw_depth", "path"),
        ("--blur_model_type dynamic --rbk_se_rv_window 1", "rbk_se_rv_window", "path"),
        ("--blur_model_type dynamic --rbk_use_origin false", "rbk_use_origin", "unmoved"),
        ("--blur_model_type dynamic --use_dpnerf false", "use_dpnerf", "none"),
    ],
)
def test_an_option_without_effect_is_named_with_the_reason(
    arguments: str, name: str, reason: str
) -> None:
    (line,) = ignored(options("--use_dpnerf", *arguments.split()))
    names, _, reasons = line.removeprefix("without effect here: ").partition(" (")
    assert names == name and reason in reasons


def test_a_default_that_renders_plain_rays_is_named() -> None:
    (line,) = ignored(options("--blur_model_type", "dpnerf"))
    assert "blur_model_type (dpnerf without use_dpnerf" in line


@pytest.mark.parametrize("model", ["dynamic", "dpnerf", "none"])
def test_a_kernel_that_never_starts_is_named(model: str) -> None:
    given = ("--use_dpnerf", "--blur_model_type", model, "--N_iters", "400")
    lines = ignored(options(*given, "--kernel_start_iter", "400"))
    assert len(lines) == (model != "none")
    assert all("kernel_start_iter 400 of 400 steps" in line for line in lines)
    assert ignored(options(*given, "--kernel_start_iter", "399")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "--white_bkgd false --rbk_use_viewdirs false",
        "--rbk_se_r_output_ch 3 --rbk_se_v_output_ch 3",
        "--lindisp --no_ndc",
        "--rbk_enc_brc_depth 2 --rbk_use_origin false",
        "--blur_model_type none --use_awp --rbk_num_motion 3",
        "--blur_model_type dynamic --use_rigidmask 3000 --rbk_num_motion 3 --use_dpnerf",
    ],
)
def test_what_has_an_effect_is_not_named(arguments: str) -> None:
    assert ignored(options("--use_dpnerf", *arguments.split())) == []


def test_one_line_groups_all_by_reason() -> None:
    (line,) = ignored(options("--use_dpnerf", "--testskip", "4", "--shape", "x", "--white_bkgd"))
    assert line == (
        "without effect here: shape, testskip (for other data sets); "
        "white_bkgd (the last sample of a ray is opaque)"
    )


def test_an_original_file_works_with_one_warning(tmp_path: Path) -> None:
    """DP-NeRF's own blurball file, as method.md A.5 lists it."""
    path = tmp_path / "tx_blurball_dpnerf.txt"
    path.write_text(ORIGINAL, encoding="utf-8")
    found = parse_options(["--config", str(path)])
    (line,) = ignored(found)
    names = [part.split(" (")[0] for part in line.split(": ")[1].split("); ")]
    assert sorted(", ".join(names).split(", ")) == [
        "awp_depth_freq",
        "awp_dir_freq",
        "awp_rgb_freq",
        "rbk_enc_brc_skips",
        "rbk_use_view_embed",
        "rbk_use_viewdirs",
    ]
    shipped = CONFIGS / "blurball" / "tx_blurball_dpnerf.txt"
    changes = ["--blur_model_type", "dpnerf", "--N_rand", "1024", "--rbk_num_motion", "4"]
    assert to_config(found) == to_config(parse_options(["--config", str(shipped), *changes]))


def test_the_preset_paper_is_the_classic_system_with_the_dynamic_kernel(tmp_path: Path) -> None:
    path = tmp_path / "options.txt"
    path.write_text(ORIGINAL)
    classic = to_config(parse_options(["--config", str(path), "--blur_model_type", "dynamic"]))
    paper = preset("paper")
    for group in ("field_name", "mlp", "blur", "rigid_network", "adaptive"):
        assert getattr(paper, group) == getattr(classic, group)
    # The two log at other steps; the classic kernel has no lens.
    for key in ("log_every", "lens_rate"):
        classic_train = dataclasses.replace(classic.train, **{key: getattr(paper.train, key)})
        classic = dataclasses.replace(classic, train=classic_train)
    assert paper.train == classic.train
    assert paper.hierarchical == dataclasses.replace(
        classic.hierarchical, points_at_once=paper.hierarchical.points_at_once, near_cut=0
    )
