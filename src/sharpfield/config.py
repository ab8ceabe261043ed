"""The configuration tree: everything that shapes a run, with units, ranges and costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from sharpfield.settings import Range

ActivationName = Literal["none", "relu", "sigmoid", "sigmoid1", "exp", "softplus"]
BlurName = Literal["none", "sparse", "rigid", "dynamic"]
FidelityName = Literal["correct", "original"]
FieldName = Literal["hashgrid", "mlp"]
MaskName = Literal["network", "view"]
MotionsName = Literal["path", "network", "lens", "path+lens"]
OrderName = Literal["spread", "size"]
ToneName = Literal["none", "gamma", "learn"]

Count = Annotated[int, Range(at_least=1)]
Several = Annotated[int, Range(at_least=2)]
CountOrZero = Annotated[int, Range(at_least=0)]
Amount = Annotated[float, Range(at_least=0.0)]
Positive = Annotated[float, Range(above=0.0)]
Share = Annotated[float, Range(at_least=0.0, at_most=1.0)]
SomeShare = Annotated[float, Range(above=0.0, at_most=1.0)]

LARGEST_SEED = 10**9


@dataclass(frozen=True)
class HashGridConfig:
    """The field ``hashgrid``."""

    levels: Count = 8
    """Resolution levels. Time per sample is proportional to it."""
    log2_entries: Annotated[int, Range(at_least=0, at_most=24)] = 0
    """Table rows per level as a power of two; 0: 17 to 20, by the finest level. Memory: 8 bytes x
    4 (Adam) x rows x levels."""
    coarsest: Several = 16
    """Cells per axis of the coarsest level."""
    finest: CountOrZero = 0
    """Cells across of the finest level; 0: 1.3 per pixel of all that the views see side by side."""
    depth_ratio: SomeShare = 0.5
    """Cells in depth per cell across: disparity varies more slowly than the picture."""
    hidden: Count = 64
    """Width of both heads."""
    ensemble: Count = 1
    """Fields that train in turns; a picture is the mean of what they show: less chance in details,
    if training is long enough for each. Memory and time of a picture are proportional to it."""


@dataclass(frozen=True)
class MlpConfig:
    """The field ``mlp``: NeRF's coarse and fine networks."""

    depth: Count = 8
    """Hidden layers of the coarse network; after the fifth, the input joins again."""
    width: Several = 256
    """Width of the coarse network. Time and memory are proportional to it."""
    fine_depth: Count = 8
    """Hidden layers of the fine network."""
    fine_width: Several = 256
    """Width of the fine network."""
    position_octaves: CountOrZero = 10
    """Frequencies of the positional encoding; 0: bare positions."""
    direction_octaves: CountOrZero = 4
    """Frequencies of the encoding of view directions; 0: bare directions."""
    view_directions: bool = True
    """Whether colours depend on the direction of view."""
    colour_activation: ActivationName = "sigmoid"
    """From the network's output to linear colour; with ``scene.tone`` learn, none."""
    density_activation: ActivationName = "relu"
    """From the network's output to density."""


@dataclass(frozen=True)
class RenderConfig:
    """Sampling along rays with the field ``hashgrid``, and pictures with any field."""

    steps: CountOrZero = 0
    """Sample places per ray; empty ones are skipped. 0: 48 to 128, as ``steps_per_pixel`` says."""
    steps_per_pixel: Positive = 0.32
    """Sample places per ray and pixel of the photo's width: what lies within one step looks the
    same to a ray, but not to the next view. The more there are, the fewer rays in a step."""
    grid: CountOrZero = 0
    """Cells of the occupancy grid across, half as many in depth. 0: 128 to 256, by the photos."""
    picture_rays: Count = 16384
    """Rays rendered at once for a picture: bounds its memory."""


@dataclass(frozen=True)
class HierarchicalConfig:
    """Sampling along rays with the field ``mlp``: coarse places, then fine ones where it counts."""

    coarse: Several = 64
    """Stratified samples per ray for the coarse network."""
    fine: CountOrZero = 64
    """Further samples where the coarse network saw something; 0: the coarse network alone."""
    jitter: Share = 1.0
    """Share of its stratum within which a training sample moves; 0: samples in fixed places."""
    density_noise: Amount = 0.0
    """Standard deviation of the noise on the raw density in training, against floaters."""
    near_cut: Annotated[int, Range(at_least=0, at_most=128)] = 0
    """In pictures, density is removed up to this many 128ths of the way; cuts off floaters."""
    even_disparity: bool = False
    """Samples evenly in disparity instead of depth; counts without NDC only."""
    points_at_once: Count = 65536
    """Samples per evaluation of a network: bounds temporary memory."""


@dataclass(frozen=True)
class BlurConfig:
    """The blur model."""

    model: BlurName = "dynamic"
    """none: plain NeRF. sparse: Deblur-NeRF's points in the image plane. rigid: DP-NeRF's rigid
    kernel. dynamic: rigid, sized per pixel by a CNN."""
    motions: Count = 8
    """Rigid motions besides the origin ray; with sparse, points besides the first. With
    rigid and sparse, steps of ``train.samples`` show the fewer pixels the more there are."""
    motions_from: MotionsName = "path+lens"
    """path: along a smooth camera path. network: each on its own, as in DP-NeRF. lens: points of
    an aperture, for defocus. path+lens: along a path, each through a point of the aperture."""
    origin: bool = True
    """Whether the unmoved ray is part of a rigid kernel; it always is of a dynamic one."""
    embedding: Count = 64
    """Width of the code that describes a view."""
    path_points: Several = 5
    """Control points of the smooth camera path that the motions start from."""
    freedom: Amount = 0.3
    """How easily a motion leaves the smooth path, relative to the path itself; 0: never."""
    refine: Amount = 2.0
    """How easily the given poses of smeared photos are corrected, in smears; 0: never. Sharp photos
    hold the scene where it is."""
    even_weights: bool = False
    """Whether all rays count alike, as the virtual cameras of BAD-NeRF's trajectories do."""
    start_pixels: Positive = 1.0
    """Spread of the motions at the start, in pixels at the scene's middle depth."""
    motions_every: Count = 2
    """Once found (``train.settle``), motions and weights learn at every n-th step."""
    order: OrderName = "spread"
    """Order in which gates open. spread: any few sample the path. size: small motions first."""
    first_size: CountOrZero = 4
    """Kernel size, in rays, while the motions are found; the most while gates are soft. 0: all."""
    mask: MaskName = "network"
    """network: the Mask CNN sizes the kernel of every pixel. view: one learned size per view."""
    renormalise: bool = True
    """Whether open rays take over the weight of closed ones; without it, pixels darken."""
    mask_tolerance: Amount = 0.002
    """Rays are closed while that changes the pixel by less than this, in display colours: half a
    step of an 8-bit photo. A long training loses by more, a short one does not."""
    photo_share: Share = 0.3
    """Photos that their whole kernels change by less than this share of what kernels change photos
    in the mean over all of them take one ray per pixel, unless it explains them far better."""
    photo_tolerance: Amount = 0.006
    """So do photos that change by less than this, root mean square in display colours."""
    sharp_tolerance: Amount = 0.005
    """Once gates are hard (``train.harden``), so does a pixel that changes by less than this."""
    ray_spacing: Amount = 0.5
    """Once gates are hard, a pixel has no more rays than one for each so many pixels of its smear,
    and one; small kernels have motions of their own then. 0: as many as the mask wants."""
    mask_channels: Count = 16
    """Width of the Mask CNN."""
    mask_reach: Count = 2
    """Dilation of its last layer: around each pixel it sees 18 + 8 times as many pixels across."""
    mask_every: Count = 12
    """The Mask CNN learns at every n-th step, in a short training more often."""
    mask_views: Count = 2
    """Views that a mask step looks at."""
    mask_exploration: SomeShare = 0.1
    """Share of a mask step's pixels that render all rays, so that closed rays can open again."""

    def most_rays(self, hard: bool) -> int:
        """The most rays that a pixel of a dynamic kernel may have, while gates are soft or hard."""
        rays = self.motions + 1
        return rays if hard else min(self.first_size or rays, rays)


@dataclass(frozen=True)
class RigidNetworkConfig:
    """DP-NeRF's network from a view's code to its motions (``blur.motions_from`` network).

    A depth counts the hidden layers of a part; its width is that of those layers.
    """

    encoder_depth: Count = 4
    """Layers that all heads share."""
    encoder_width: Count = 64
    """Width of those layers."""
    rotation_depth: CountOrZero = 1
    """Layers of the head for rotations."""
    rotation_width: Count = 32
    """Width of those layers."""
    translation_depth: CountOrZero = 1
    """Layers of the head for translations."""
    translation_width: Count = 32
    """Width of those layers."""
    weight_depth: CountOrZero = 1
    """Layers of the head for kernel weights."""
    weight_width: Count = 32
    """Width of those layers."""
    window: Positive = 0.1
    """Radians, and scene units, per unit of a head's output."""


@dataclass(frozen=True)
class SparseConfig:
    """Deblur-NeRF's kernel of points in the image plane (``blur.model`` sparse).

    Of ``blur``, it heeds ``motions`` and ``motions_every`` alone; the published kernel has 4.
    """

    window: Positive = 10.0
    """A view's canonical points lie within this many pixels of the pixel."""
    jitter: Amount = 0.15
    """Standard deviation, in pixels, of the noise on the canonical points in training."""
    embedding: CountOrZero = 32
    """Width of the code that describes a view, 0 at the start."""
    point_octaves: CountOrZero = 2
    """Frequencies of the encoding of canonical points; 0: bare points."""
    pixel_octaves: CountOrZero = 2
    """Frequencies of the encoding of the pixel's place in the photo; 0: the bare place."""
    depth: Count = 4
    """Hidden layers of the network, before one more that sees its input again."""
    width: Count = 64
    """Width of those layers."""
    origin_scale: Amount = 0.01
    """Scene units by which a ray's origin moves per unit of the network's output."""
    alignment: Amount = 0.1
    """Weight of the loss that holds the first point at the pixel, per pixel of distance."""


@dataclass(frozen=True)
class AdaptiveConfig:
    """DP-NeRF's adaptive weight proposal; it needs the field ``mlp`` and works in training only."""

    enabled: bool = False
    """Whether kernel weights are also proposed per pixel, from what its rays meet."""
    sample_depth: Count = 4
    """Layers that look at a sample's feature."""
    sample_width: Count = 64
    """Width of those layers."""
    motion_depth: CountOrZero = 1
    """Layers after the first that look at a whole ray."""
    motion_width: Count = 32
    """Width of those layers."""
    direction_octaves: CountOrZero = 2
    """Frequencies of the encoding of ray directions."""
    handover: bool = True
    """The loss moves from the view's weights to the proposed ones, from 10 % to 90 %."""


@dataclass(frozen=True)
class TrainConfig:
    """The training loop."""

    samples: Count = 65536
    """Field samples per step, about, whatever the blur model; pixels per step follow from it."""
    pixels: CountOrZero = 0
    """Pixels per step; 0: as many as ``samples`` allow."""
    textured: Share = 0.4
    """Share of the pixels that are drawn in proportion to the photo's contrast around them."""
    large_errors: Amount = 1.5
    """Errors count by their squares up to so many times their root mean square of late, larger ones
    in proportion: a few pixels that are not found yet leave the others alone. 0: all by squares."""
    rays_at_once: CountOrZero = 0
    """Kernel rays per part of a step, which bounds its memory; 0: all. Results stay the same,
    but for adaptive weights of ``fidelity`` original, which normalise over a part."""
    time_budget: Amount = 0.0
    """Training seconds; 0: use ``steps``. Set-up, compilation and evaluation are not counted."""
    ray_budget: CountOrZero = 0
    """Kernel rays to render in training, when there is no time budget; 0: use ``steps``."""
    steps: Count = 2000
    """Optimiser steps when there is no budget."""
    warmup: Share = 0.05
    """Share of training as plain NeRF, before the kernel starts."""
    warmup_steps: CountOrZero = 0
    """Steps after which it starts at the latest; 0: no such limit."""
    settle: Share = 0.3
    """Share of training after which sharp photos take one ray, and the mask has soft gates."""
    settle_steps: CountOrZero = 0
    """Steps after which they do so at the latest; 0: no such limit."""
    harden: Share = 0.7
    """Share of training after which the mask decides alone and gates are exactly 0 or 1."""
    table_rate: Amount = 2e-2
    """Adam rate of the hash table."""
    head_rate: Amount = 6e-3
    """Adam rate of the heads, and of the networks of ``mlp``."""
    blur_rate: Amount = 2e-3
    """Adam rate of the motions, weights and a learned tone curve."""
    lens_rate: Amount = 3e-2
    """Adam rate of apertures and depths in focus: two numbers per view, no network moves them."""
    mask_rate: Amount = 4e-3
    """Adam rate of the Mask CNN."""
    final_rate: SomeShare = 0.1
    """All rates decay exponentially to this share."""
    average: Share = 0.1
    """Share of training, at its end, over which parameters are averaged; 0: the last ones count."""
    beta2: Annotated[float, Range(at_least=0.0, below=1.0)] = 0.99
    """Adam's memory of squared gradients."""
    epsilon: Positive = 1e-15
    """Adam's floor under the root of the squared gradients."""
    seed: Annotated[int, Range(at_least=0, at_most=LARGEST_SEED)] = 0
    """Seeds everything random."""
    log_every: Count = 20
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: Amount = 60.0
    """Seconds between checkpoints."""


@dataclass(frozen=True)
class SceneConfig:
    """How the scene folder is read."""

    factor: CountOrZero = 0
    """Photos come from ``images_<factor>``; 0: the folder with the largest factor."""
    downscale: Count = 1
    """Photos are shrunk by this much further, in memory."""
    hold: CountOrZero = 0
    """Every n-th view is held out; 0: as the folder's ``hold=<n>`` marker says, else none."""
    ndc: bool = True
    """Normalised device coordinates, for forward-facing scenes; without them, field mlp only."""
    spherify: bool = False
    """Poses that look inwards from all around, brought to the unit sphere; asks for no NDC."""
    tone: ToneName = "gamma"
    """Tone curve from linear light to photo colours: gamma 2.2, none, or learned with mlp."""


@dataclass(frozen=True)
class Config:
    """A run, completely."""

    scene: SceneConfig = field(default_factory=SceneConfig)
    """The photos."""
    field_name: FieldName = "hashgrid"
    """The radiance field."""
    fidelity: FidelityName = "correct"
    """original: keeps the faults of DP-NeRF that its published numbers contain."""
    hashgrid: HashGridConfig = field(default_factory=HashGridConfig)
    """Settings of the field ``hashgrid``."""
    mlp: MlpConfig = field(default_factory=MlpConfig)
    """Settings of the field ``mlp``."""
    render: RenderConfig = field(default_factory=RenderConfig)
    """Settings of the renderer."""
    hierarchical: HierarchicalConfig = field(default_factory=HierarchicalConfig)
    """Settings of the renderer of ``mlp``."""
    blur: BlurConfig = field(default_factory=BlurConfig)
    """Settings of the blur model."""
    rigid_network: RigidNetworkConfig = field(default_factory=RigidNetworkConfig)
    """Settings of DP-NeRF's motions."""
    sparse: SparseConfig = field(default_factory=SparseConfig)
    """Settings of Deblur-NeRF's kernel."""
    adaptive: AdaptiveConfig = field(default_factory=AdaptiveConfig)
    """Settings of the adaptive weight proposal."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Settings of the training loop."""
