"""The options of the classic command line: names, types, defaults and meaning.

The names are those of Deblur-NeRF's descendants, so that old scripts and option files go on
working. A class is a group of ``--help``; the text under a field is its help.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sharpfield.config import ActivationName, FidelityName, ToneName

ClassicBlurName = Literal["none", "dpnerf", "dynamic"]
DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, kw_only=True)
class PathOptions:
    """paths"""

    config: Path | None = None
    """Option file. Inside a file, 'base = FILE' names another file that is read first."""
    expname: str
    """Name of the experiment: its folder under basedir and under tbdir."""
    basedir: Path
    """Where checkpoints, pictures and numbers go."""
    datadir: Path
    """The scene: a folder with photos and poses_bounds.npy."""
    tbdir: Path
    """Where TensorBoard's files go."""
    ft_path: Path | None = None
    """Checkpoint to start from; none: the newest of the experiment, if there is one."""
    no_reload: bool = False
    """Start anew although the experiment has checkpoints."""
    torch_hub_dir: str = ""
    """Folder of torch's downloads, in which LPIPS looks for its network; empty: torch's own."""


@dataclass(frozen=True, kw_only=True)
class SceneOptions:
    """scene"""

    dataset_type: str = "llff"
    """Kind of data set; llff is the only one."""
    factor: int | None = None
    """Photos come from images_<factor>; none: those of images/."""
    datadownsample: float = -1.0
    """Photos are shrunk by this whole number further, in memory; 0 or less: as they are."""
    half_res: bool = False
    """Photos are shrunk by two further."""
    llffhold: int = 8
    """Every n-th view, from the first, is held out for testing."""
    no_ndc: bool = False
    """Without normalised device coordinates: for scenes that are not forward-facing."""
    spherify: bool = False
    """Poses that look inwards from all around, brought to the unit sphere; needs no_ndc."""
    tone_mapping_type: ToneName = "none"
    """From linear light to photo colours; learn wants rgb_activate none."""
    white_bkgd: bool = False
    """Does nothing: the last sample of a ray is opaque."""
    shape: str = "greek"
    """Does nothing: for another data set."""
    testskip: int = 8
    """Does nothing: for other data sets."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """training"""

    N_iters: int = 50000
    """Training steps."""
    N_rand: int = 4096
    """Pixels per step over all GPUs, each with all rays of its kernel; memory: see --memory."""
    lrate: float = 5e-4
    """Learning rate of Adam."""
    lrate_decay: int = 250
    """Thousands of steps in which the learning rate falls to a tenth."""
    fidelity: FidelityName = "correct"
    """original: keeps the faults of DP-NeRF that its published numbers contain."""
    precrop_iters: int = 0
    """Does nothing, as in the original."""
    precrop_frac: float = 0.5
    """Does nothing, as in the original."""


@dataclass(frozen=True, kw_only=True)
class FieldOptions:
    """field"""

    netdepth: int = 8
    """Layers of the coarse network."""
    netwidth: int = 256
    """Units per layer of the coarse network."""
    netdepth_fine: int = 8
    """Layers of the fine network."""
    netwidth_fine: int = 256
    """Units per layer of the fine network."""
    i_embed: int = 0
    """-1: bare positions and directions, without positional encoding."""
    multires: int = 10
    """Frequencies of the positional encoding of positions."""
    multires_views: int = 4
    """Frequencies of the positional encoding of directions."""
    use_viewdirs: bool = False
    """Colours depend on the direction of view."""
    rgb_activate: ActivationName = "sigmoid"
    """From the network's output to linear colour."""
    sigma_activate: ActivationName = "relu"
    """From the network's output to density."""


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """sampling"""

    N_samples: int = 64
    """Samples per ray for the coarse network."""
    N_importance: int = 0
    """Further samples for the fine network; 0: the coarse network alone."""
    perturb: float = 1.0
    """0: samples in fixed places; else they move within their strata in training."""
    raw_noise_std: float = 0.0
    """Standard deviation of the noise on the raw density in training."""
    lindisp: bool = False
    """Samples evenly in disparity instead of depth; counts with no_ndc only."""


@dataclass(frozen=True, kw_only=True)
class KernelOptions:
    """blur kernel"""

    blur_model_type: ClassicBlurName = "dpnerf"
    """none: plain NeRF. dpnerf: rigid kernel. dynamic: the Mask CNN sizes it per pixel."""
    kernel_start_iter: int = 0
    """Steps of plain NeRF before the kernel starts."""
    use_rigidmask: int = 0
    """Step at which dynamic's masks turn hard; 0: at 70 % of training. DK-NeRF's 1250 leaves the
    mask 25 soft steps when the kernel starts at 1200; it is known to open everything then."""
    use_dpnerf: bool = False
    """With dpnerf: off, it renders plain rays, that is, blur_model_type none."""
    rbk_num_motion: int = 4
    """Rigid motions of a kernel besides the unmoved ray; memory and time grow with it."""
    rbk_use_origin: bool = False
    """Whether the unmoved ray is part of dpnerf's kernel; it always is of dynamic's."""
    rbk_view_embed_ch: int = 32
    """Width of the code that describes a view."""
    rbk_enc_brc_depth: int = 4
    """dpnerf: layers from the code to all heads."""
    rbk_enc_brc_width: int = 64
    """dpnerf: units of those layers."""
    rbk_enc_brc_skips: int = 4
    """Does nothing: it lies beyond the default depth, and skips are not built."""
    rbk_se_r_depth: int = 1
    """dpnerf: layers of the head for rotations."""
    rbk_se_r_width: int = 32
    """dpnerf: units of those layers."""
    rbk_se_r_output_ch: int = 3
    """Does nothing: a rotation is 3 numbers."""
    rbk_se_v_depth: int = 1
    """dpnerf: layers of the head for translations."""
    rbk_se_v_width: int = 32
    """dpnerf: units of those layers."""
    rbk_se_v_output_ch: int = 3
    """Does nothing: a translation is 3 numbers."""
    rbk_ccw_depth: int = 1
    """dpnerf: layers of the head for weights."""
    rbk_ccw_width: int = 32
    """dpnerf: units of those layers."""
    rbk_se_rv_window: float = 0.2
    """dpnerf: radians, and scene units, per unit of a head's output."""
    rbk_use_view_embed: bool = False
    """Does nothing, as in the original: a kernel always has a view's code."""
    rbk_use_viewdirs: bool = False
    """Does nothing, as in the original."""


@dataclass(frozen=True, kw_only=True)
class AdaptiveOptions:
    """adaptive weights"""

    use_awp: bool = False
    """Kernel weights are also proposed per pixel, from what its rays meet."""
    use_coarse_to_fine_opt: bool = False
    """The loss moves from the view's weights to the proposed ones, from 10 % to 90 %."""
    awp_sam_emb_depth: int = 4
    """Layers that look at a sample."""
    awp_sam_emb_width: int = 32
    """Units of those layers."""
    awp_mot_emb_depth: int = 1
    """Layers, after the first, that look at a whole ray."""
    awp_mot_emb_width: int = 32
    """Units of those layers."""
    awp_ray_dir_freq: int = 2
    """Frequencies of the encoding of ray directions."""
    awp_dir_freq: int = 2
    """Does nothing, as in the original."""
    awp_rgb_freq: int = 2
    """Does nothing, as in the original."""
    awp_depth_freq: int = 2
    """Does nothing, as in the original."""


@dataclass(frozen=True, kw_only=True)
class RenderingOptions:
    """rendering"""

    render_only: bool = False
    """No training: render a video along a spiral path from the checkpoint, and end."""
    render_test: bool = False
    """With render_only: the poses of the photos instead of the spiral."""
    render_epi: bool = False
    """A sideways path instead of the spiral."""
    render_factor: int = 0
    """Pictures are smaller than the photos by this whole number; 0: as large."""
    render_rmnearplane: int = 0
    """In pictures, density is removed up to this many 128ths of the way; changes the metrics."""
    render_focuspoint_scale: float = 1.0
    """Scale of the distance that the spiral looks at."""
    render_radius_scale: float = 1.0
    """Scale of the width and height of the spiral."""
    save_warped_ray_img: bool = False
    """No training: render every motion of every training view, and end."""


@dataclass(frozen=True, kw_only=True)
class LoggingOptions:
    """logging (steps between)"""

    i_print: int = 200
    """Lines on the console."""
    i_tensorboard: int = 200
    """Numbers in TensorBoard."""
    i_weights: int = 20000
    """Checkpoints."""
    i_testset: int = 20000
    """Renders of all views, with metrics of the held-out ones."""
    i_video: int = 20000
    """Videos along the spiral."""


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """machine"""

    device: DeviceName = "auto"
    """Where to compute; auto: CUDA when there is one."""
    num_gpu: int = 1
    """GPUs to train on; N_rand pixels are shared among them."""
    memory: str = "auto"
    """A step is split to fit into this: auto (what is free), off (never split), or as 8GB."""
    seed: int = 0
    """Seeds everything random."""
    chunk: int = 32768
    """Rays rendered at once for a picture: bounds its memory."""
    netchunk: int = 65536
    """Samples per evaluation of a network: bounds temporary memory."""


GROUPS = (
    PathOptions,
    SceneOptions,
    TrainingOptions,
    FieldOptions,
    SamplingOptions,
    KernelOptions,
    AdaptiveOptions,
    RenderingOptions,
    LoggingOptions,
    MachineOptions,
)


@dataclass(frozen=True, kw_only=True)
class OptionTable(
    PathOptions,
    SceneOptions,
    TrainingOptions,
    FieldOptions,
    SamplingOptions,
    KernelOptions,
    AdaptiveOptions,
    RenderingOptions,
    LoggingOptions,
    MachineOptions,
):
    """Every option of the classic command line."""
