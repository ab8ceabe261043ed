"""The shipped option files, against the table of method.md A.5."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from sharpfield.classic.ignored import ignored
from sharpfield.classic.option_files import read_option_file
from sharpfield.classic.options import ClassicOptions, parse_options
from sharpfield.classic.translate import to_config

CONFIGS = Path(__file__).parents[2] / "configs"


class Row(NamedTuple):
    group: str
    factor: int
    hold: int
    near: int
    focus: float
    radius: float
    pixels: int
    motions: int


SYNTHETIC_MOTION = "synthetic_camera_motion_blur"
SYNTHETIC_DEFOCUS = "synthetic_defocus_blur"
MOTION = "real_camera_motion_blur"
DEFOCUS = "real_defocus_blur"
OBJECT = "real_object_motion_blur"
TABLE = {
    "blurcozy2room": Row(SYNTHETIC_MOTION, 1, 8, 0, 1, 0.7, 512, 6),
    "blurfactory": Row(SYNTHETIC_MOTION, 1, 8, 5, 0.25, 0.5, 512, 7),
    "blurpool": Row(SYNTHETIC_MOTION, 1, 8, 80, 3, 0.9, 512, 7),
    "blurtanabata": Row(SYNTHETIC_MOTION, 1, 8, 0, 1, 0.85, 512, 7),
    "blurwine": Row(SYNTHETIC_MOTION, 1, 8, 30, 1, 0.7, 512, 7),
    "defocuscozy2room": Row(SYNTHETIC_DEFOCUS, 1, 8, 0, 1, 0.7, 512, 7),
    "defocusfactory": Row(SYNTHETIC_DEFOCUS, 1, 8, 5, 0.25, 0.5, 512, 7),
    "defocuspool": Row(SYNTHETIC_DEFOCUS, 1, 8, 80, 3, 0.9, 512, 7),
    "defocustanabata": Row(SYNTHETIC_DEFOCUS, 1, 8, 0, 1, 0.85, 512, 7),
    "defocuswine": Row(SYNTHETIC_DEFOCUS, 1, 8, 30, 1, 0.7, 512, 7),
    "blurball": Row(MOTION, 4, 7, 10, 1, 1, 512, 7),
    "blurbasket": Row(MOTION, 4, 7, 30, 1, 1, 512, 7),
    "blurbuick": Row(MOTION, 4, 7, 10, 1.5, 0.85, 512, 7),
    "blurcoffee": Row(MOTION, 4, 6, 35, 2, 0.85, 512, 7),
    "blurdecoration": Row(MOTION, 4, 6, 60, 3, 0.9, 512, 7),
    "blurgirl": Row(MOTION, 4, 7, 80, 3, 1.1, 512, 7),
    "blurheron": Row(MOTION, 4, 8, 80, 3, 1.1, 512, 7),
    "blurparterre": Row(MOTION, 4, 6, 80, 1, 1, 1024, 4),
    "blurpuppet": Row(MOTION, 4, 6, 30, 1.2, 0.7, 1024, 4),
    "blurstair": Row(MOTION, 4, 6, 60, 1, 1, 1024, 4),
    "defocusbush": Row(DEFOCUS, 4, 13, 0, 1, 1, 1024, 4),
    "defocuscake": Row(DEFOCUS, 4, 9, 30, 1, 0.8, 1024, 4),
    "defocuscaps": Row(DEFOCUS, 4, 5, 30, 1, 1, 1024, 4),
    "defocuscisco": Row(DEFOCUS, 4, 7, 30, 1, 1, 1024, 4),
    "defocuscoral": Row(DEFOCUS, 4, 10, 30, 1, 1, 1024, 4),
    "defocuscupcake": Row(DEFOCUS, 4, 6, 20, 1, 1, 1024, 4),
    "defocuscups": Row(DEFOCUS, 4, 8, 40, 1, 1, 1024, 4),
    "defocusdaisy": Row(DEFOCUS, 4, 8, 30, 1, 1, 1024, 4),
    "defocussausage": Row(DEFOCUS, 4, 6, 30, 1, 1, 1024, 4),
    "defocusseal": Row(DEFOCUS, 4, 6, 30, 1, 1, 1024, 4),
    "defocustools": Row(DEFOCUS, 4, 7, 30, 1, 1, 1024, 4),
    "blur5grass": Row(OBJECT, 5, 11, 30, 1, 0.8, 1024, 4),
}
# What all 32 original files share, where it has an effect; the blur model is ours.
SHARED: dict[str, object] = {
    "num_gpu": 1,
    "basedir": Path("logs"),
    "tbdir": Path("logs_tb"),
    "dataset_type": "llff",
    "N_samples": 64,
    "N_importance": 64,
    "N_iters": 200000,
    "lrate": 5e-4,
    "lrate_decay": 250,
    "use_viewdirs": True,
    "raw_noise_std": 1.0,
    "rgb_activate": "sigmoid",
    "blur_model_type": "dynamic",
    "kernel_start_iter": 1200,
    "tone_mapping_type": "gamma",
    "use_dpnerf": True,
    "rbk_view_embed_ch": 64,
    "rbk_use_origin": True,
    "rbk_enc_brc_depth": 4,
    "rbk_enc_brc_width": 64,
    "rbk_se_r_depth": 1,
    "rbk_se_r_width": 32,
    "rbk_se_v_depth": 1,
    "rbk_se_v_width": 32,
    "rbk_ccw_depth": 1,
    "rbk_ccw_width": 32,
    "rbk_se_rv_window": 0.1,
    "use_awp": True,
    "awp_sam_emb_depth": 4,
    "awp_sam_emb_width": 64,
    "awp_mot_emb_depth": 1,
    "awp_mot_emb_width": 32,
    "awp_ray_dir_freq": 2,
    "use_coarse_to_fine_opt": True,
    "use_rigidmask": 0,
    "no_ndc": False,
}


def file_of(scene: str) -> Path:
    return CONFIGS / scene / f"tx_{scene}_dpnerf.txt"


def load(scene: str) -> ClassicOptions:
    return parse_options(["--config", str(file_of(scene))])


def test_there_is_one_file_for_each_of_the_32_scenes() -> None:
    assert len(TABLE) == 32
    assert sorted(CONFIGS.glob("*/*")) == sorted(file_of(scene) for scene in TABLE)


@pytest.mark.parametrize("scene", TABLE)
def test_a_scene_has_the_values_of_the_table(scene: str) -> None:
    options, row = load(scene), TABLE[scene]
    assert options.expname == scene
    assert options.datadir == Path("data") / row.group / scene
    found = Row(
        row.group,
        options.factor or 0,
        options.llffhold,
        options.render_rmnearplane,
        options.render_focuspoint_scale,
        options.render_radius_scale,
        options.N_rand,
        options.rbk_num_motion,
    )
    assert found == row


@pytest.mark.parametrize("scene", TABLE)
def test_a_scene_shares_the_rest(scene: str) -> None:
    options = load(scene)
    assert {name: getattr(options, name) for name in SHARED} == SHARED


@pytest.mark.parametrize("scene", TABLE)
def test_a_scene_states_only_what_differs(scene: str) -> None:
    path = file_of(scene)
    own = read_option_file(path).own
    names = [item.name for item in own]
    assert len(set(names)) == len(names)
    required = ["--expname", "-", "--datadir", "-"]
    base = parse_options([*required, "--config", str(CONFIGS / "base.txt")])
    options = load(scene)
    for name in names:
        assert getattr(options, name) != getattr(base, name), f"{path}: {name} repeats the base"


def test_the_base_gives_an_option_once() -> None:
    names = [item.name for item in read_option_file(CONFIGS / "base.txt").own]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("model", ["dynamic", "dpnerf", "none"])
@pytest.mark.parametrize("scene", ["blurball", "defocuscake", "blur5grass"])
def test_shipped_files_translate_without_a_warning(scene: str, model: str) -> None:
    options = parse_options(["--config", str(file_of(scene)), "--blur_model_type", model])
    blur = to_config(options).blur
    assert blur.model == {"dpnerf": "rigid"}.get(model, model)
    assert ignored(options) == []


def test_the_readme_names_every_scene() -> None:
    text = (CONFIGS / "README.md").read_text(encoding="utf-8")
    assert [scene for scene in TABLE if f"`{scene}`" not in text] == []
