"""From the classic options to the configuration tree of every run."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from sharpfield.classic.options import ClassicOptions
from sharpfield.config import (
    LARGEST_SEED,
    AdaptiveConfig,
    BlurConfig,
    BlurName,
    Config,
    HierarchicalConfig,
    MlpConfig,
    RenderConfig,
    RigidNetworkConfig,
    SceneConfig,
    TrainConfig,
)
from sharpfield.errors import InputError

_PHASE = 0.2
"""Least share of what is left of training for each phase of the mask, when the kernel is late."""

_SIZE = re.compile(
    r"(?P<number>\d+(\.\d+)?(e\d+)?)\s*((?P<prefix>[KMGT])(?P<binary>i)?)?B?", re.IGNORECASE
)

_AT_LEAST = {
    "N_rand": 1,
    "N_iters": 1,
    "N_samples": 2,
    "N_importance": 0,
    "netdepth": 1,
    "netwidth": 1,
    "netdepth_fine": 1,
    "netwidth_fine": 1,
    "multires": 0,
    "multires_views": 0,
    "perturb": 0,
    "raw_noise_std": 0,
    "llffhold": 1,
    "kernel_start_iter": 0,
    "use_rigidmask": 0,
    "rbk_num_motion": 1,
    "rbk_view_embed_ch": 1,
    "rbk_enc_brc_depth": 1,
    "rbk_enc_brc_width": 1,
    "rbk_se_r_depth": 0,
    "rbk_se_r_width": 1,
    "rbk_se_v_depth": 0,
    "rbk_se_v_width": 1,
    "rbk_ccw_depth": 0,
    "rbk_ccw_width": 1,
    "awp_sam_emb_depth": 1,
    "awp_sam_emb_width": 1,
    "awp_mot_emb_depth": 0,
    "awp_mot_emb_width": 1,
    "awp_ray_dir_freq": 0,
    "render_rmnearplane": 0,
    "render_factor": 0,
    "i_print": 1,
    "i_tensorboard": 1,
    "i_weights": 1,
    "i_testset": 1,
    "i_video": 1,
    "num_gpu": 1,
    "seed": 0,
    "chunk": 1,
    "netchunk": 1,
}
_POSITIVE = ("lrate", "lrate_decay", "rbk_se_rv_window", "render_focuspoint_scale")


def to_config(options: ClassicOptions) -> Config:
    """The run that the options describe. Raises ``InputError`` for values that make no sense."""
    _check(options)
    return Config(
        scene=_scene(options),
        field_name="mlp",
        fidelity=options.fidelity,
        mlp=_mlp(options),
        render=RenderConfig(picture_rays=options.chunk),
        hierarchical=_hierarchical(options),
        blur=_blur(options),
        rigid_network=_rigid_network(options),
        adaptive=_adaptive(options),
        train=_train(options),
    )


def _check(options: ClassicOptions) -> None:
    for name, least in _AT_LEAST.items():
        value = getattr(options, name)
        if value < least:
            raise InputError(f"--{name} {value}: give at least {least}")
    if options.seed > LARGEST_SEED:
        raise InputError(f"--seed {options.seed}: give at most {LARGEST_SEED}")
    for name in _POSITIVE:
        value = getattr(options, name)
        if value <= 0:
            raise InputError(f"--{name} {value}: give a number above 0")
    if options.memory not in ("auto", "off"):
        size_in_bytes(options.memory)
    if options.dataset_type != "llff":
        raise InputError(f"--dataset_type {options.dataset_type}: no such data set; give llff")
    if options.spherify and not options.no_ndc:
        raise InputError("--spherify: asks for scenes without NDC; give --no_ndc too")
    if options.factor is not None and options.factor < 1:
        raise InputError(f"--factor {options.factor}: give at least 1, as in images_<factor>")


def _scene(options: ClassicOptions) -> SceneConfig:
    return SceneConfig(
        factor=options.factor or 1,
        downscale=_downscale(options),
        hold=options.llffhold,
        ndc=not options.no_ndc,
        spherify=options.spherify,
        tone=options.tone_mapping_type,
    )


def _downscale(options: ClassicOptions) -> int:
    wanted = max(options.datadownsample, 0.0)
    if wanted != int(wanted):
        raise InputError(f"--datadownsample {wanted}: give a whole number, such as 2")
    return max(int(wanted), 1) * (2 if options.half_res else 1)


def _mlp(options: ClassicOptions) -> MlpConfig:
    encoded = options.i_embed != -1
    return MlpConfig(
        depth=options.netdepth,
        width=options.netwidth,
        fine_depth=options.netdepth_fine,
        fine_width=options.netwidth_fine,
        position_octaves=options.multires if encoded else 0,
        direction_octaves=options.multires_views if encoded else 0,
        view_directions=options.use_viewdirs,
        colour_activation=options.rgb_activate,
        density_activation=options.sigma_activate,
    )


def _hierarchical(options: ClassicOptions) -> HierarchicalConfig:
    return HierarchicalConfig(
        coarse=options.N_samples,
        fine=options.N_importance,
        jitter=1.0 if options.perturb else 0.0,  # the original knows no half jitter
        density_noise=options.raw_noise_std,
        near_cut=options.render_rmnearplane,
        even_disparity=options.lindisp,
        points_at_once=options.netchunk,
    )


def _blur(options: ClassicOptions) -> BlurConfig:
    dynamic = options.blur_model_type == "dynamic"
    return BlurConfig(
        model=_blur_model(options),
        motions=options.rbk_num_motion,
        motions_from="path" if dynamic else "network",
        origin=dynamic or options.rbk_use_origin,
        embedding=options.rbk_view_embed_ch,
        refine=0.0,  # the classic system takes poses as they are given
        motions_every=1,
        ray_spacing=0.0,
    )


def _blur_model(options: ClassicOptions) -> BlurName:
    if options.blur_model_type == "dpnerf":
        return "rigid" if options.use_dpnerf else "none"
    return options.blur_model_type


def _rigid_network(options: ClassicOptions) -> RigidNetworkConfig:
    return RigidNetworkConfig(
        encoder_depth=options.rbk_enc_brc_depth,
        encoder_width=options.rbk_enc_brc_width,
        rotation_depth=options.rbk_se_r_depth,
        rotation_width=options.rbk_se_r_width,
        translation_depth=options.rbk_se_v_depth,
        translation_width=options.rbk_se_v_width,
        weight_depth=options.rbk_ccw_depth,
        weight_width=options.rbk_ccw_width,
        window=options.rbk_se_rv_window,
    )


def _adaptive(options: ClassicOptions) -> AdaptiveConfig:
    return AdaptiveConfig(
        enabled=options.use_awp and _blur_model(options) != "none",
        sample_depth=options.awp_sam_emb_depth,
        sample_width=options.awp_sam_emb_width,
        motion_depth=options.awp_mot_emb_depth,
        motion_width=options.awp_mot_emb_width,
        direction_octaves=options.awp_ray_dir_freq,
        handover=options.use_coarse_to_fine_opt,
    )


def _train(options: ClassicOptions) -> TrainConfig:
    phases = _phases(options)
    return TrainConfig(
        pixels=options.N_rand,
        textured=0.0,
        large_errors=0.0,
        steps=options.N_iters,
        warmup=phases.warmup,
        settle=phases.settle,
        harden=phases.harden,
        head_rate=options.lrate,
        blur_rate=options.lrate,
        mask_rate=options.lrate,
        final_rate=0.1 ** (options.N_iters / (options.lrate_decay * 1000)),
        average=0.0,
        beta2=0.999,
        epsilon=1e-8,
        seed=options.seed,
        log_every=options.i_tensorboard,
    )


@dataclass(frozen=True)
class _Phases:
    """Starts of the phases of the blur model, as shares of training, in order."""

    warmup: float
    settle: float
    harden: float


def _phases(options: ClassicOptions) -> _Phases:
    """The usual shares, moved back where the kernel starts late, or to ``use_rigidmask``."""
    usual = TrainConfig()
    warmup = min(options.kernel_start_iter / options.N_iters, 1.0)
    settle = max(usual.settle, warmup + _PHASE * (1 - warmup))
    phases = _Phases(warmup, settle, max(usual.harden, settle + _PHASE * (1 - settle)))
    if options.blur_model_type != "dynamic" or not options.use_rigidmask:
        return phases
    harden = min(max(options.use_rigidmask / options.N_iters, warmup), 1.0)
    if settle >= harden:
        settle = (warmup + harden) / 2
    return _Phases(warmup, settle, harden)


def size_in_bytes(text: str) -> int:
    """A size such as 8GB, 500 MiB or 1.5e9 in bytes. Raises ``InputError`` for anything else."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or not math.isfinite(float(match["number"])):
        raise InputError(f"--memory {text}: give auto, off, or a size such as 8GB")
    unit = 1024 if match["binary"] else 1000
    return int(float(match["number"]) * unit ** "BKMGT".index((match["prefix"] or "B").upper()))
