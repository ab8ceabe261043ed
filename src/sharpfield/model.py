"""The whole model of a run: field, renderer, blur model and tone curve, built from a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.blur.adaptive import AdaptiveWeights
from sharpfield.blur.dynamic import DynamicBlur
from sharpfield.blur.kernel import TRAINED, BlurModel, Kernel, Pixels
from sharpfield.blur.lens import LensMotions, ShakenLens
from sharpfield.blur.motions import PIXELS_PER_UNIT, Motions, RigidMotions
from sharpfield.blur.network_motions import NetworkMotions
from sharpfield.blur.none import NoBlur
from sharpfield.blur.pose_correction import PoseCorrection
from sharpfield.blur.rigid import RigidBlur
from sharpfield.blur.sparse import SparseBlur
from sharpfield.blur.tone import build_tone
from sharpfield.config import Config
from sharpfield.errors import InputError
from sharpfield.fields.hashgrid import HashGridField
from sharpfield.fields.mlp import MlpField
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.ndc import NdcCube, to_ndc
from sharpfield.geometry.rays import (
    Rays,
    camera_directions,
    image_points,
    pixel_centres,
    rays_from_poses,
)
from sharpfield.ops.ray_maps import pixel_rays
from sharpfield.render.ensemble import EnsembleRenderer
from sharpfield.render.hierarchical import HierarchicalRenderer, Span
from sharpfield.render.marching import MarchingRenderer
from sharpfield.render.renderer import RayFeatures, Renderer
from sharpfield.scene.scene import Scene
from sharpfield.sizes import sized_for

NEAREST = 0.9
"""Without NDC, rays start at this fraction of the nearest depth."""


@dataclass(frozen=True)
class RenderedView:
    """A sharp picture: display colours in [0, 1], and the expected ``t`` of each ray in [0, 1]."""

    colour: Float[np.ndarray, "height width 3"]
    depth: Float[np.ndarray, "height width"]


@dataclass(frozen=True)
class ReblurredView:
    """A training photo as the model explains it, blur and all, in display colours in [0, 1].

    ``own`` is the share of each pixel's light, in [0, 1], that comes from nearly where the sharp
    photo has it: 1 where the kernel does not move. ``extent`` is the length, in pixels, of an even
    straight smear that spreads as far as the pixel's rays do, at the depth that they see.
    """

    colour: Float[np.ndarray, "height width 3"]
    own: Float[np.ndarray, "height width"]
    extent: Float[np.ndarray, "height width"]


class Model(nn.Module):
    """Everything that is learned, and how a sharp picture is made from it."""

    config: Config
    """The given one, with the sizes that the photos ask for."""

    def __init__(self, scene: Scene, config: Config) -> None:
        super().__init__()
        check_combination(config)
        self.camera = scene.views[0].camera
        train = torch.tensor(scene.train_indices)
        poses = torch.from_numpy(np.stack([view.pose for view in scene.views])).float()[train]
        cube, across = None, 1.0
        if config.field_name == "hashgrid":
            cube = NdcCube.around(self.camera, poses, scene.near, scene.far)
            across = cube.photo_widths
        self.config = config = sized_for(config, self.camera.width, across)
        self.picture_rays = config.render.picture_rays
        self.field = build_field(config)
        self.renderer = build_renderer(config, scene, cube)
        self.ndc = config.scene.ndc
        photos = torch.from_numpy(np.stack([scene.views[i].photo for i in scene.train_indices]))
        self.blur = build_blur(config, poses, photos, self.camera, middle_depth(scene))
        self.adaptive = build_adaptive(config, self.field, self.blur)
        self.tone = build_tone(config.scene.tone)

    def display(self, linear: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """The tone curve: linear light to photo colours."""
        return self.tone(linear)

    def adaptive_weights(
        self, pixels: Pixels, kernel: Kernel, met: RayFeatures
    ) -> Float[Tensor, " rays"]:
        """Kernel weights as the adaptive weight proposal has them; only where there is one."""
        if self.adaptive is None or not isinstance(self.blur, RigidBlur):
            raise TypeError("this model proposes no weights")
        directions = camera_directions(pixels.xy, self.camera)
        origin = rays_from_poses(directions, self.blur.poses[pixels.view])
        sampled = to_ndc(origin, self.camera) if self.ndc else origin
        code = self.blur.motions.code().index_select(0, pixels.view)
        along = F.normalize(sampled.directions, dim=1)
        return self.adaptive(met.features, met.lengths, along, code, kernel)

    def kernel_rays(self, pixels: Pixels, kernel: Kernel) -> Rays:
        """World rays of a kernel: the pixels' directions, seen from the kernel's poses."""
        return pixel_rays(pixels.xy, kernel.pixel, kernel.poses, self.camera)

    def checkpoint_shapes(self) -> dict[str, torch.Size]:
        """Shapes of the tensors that a checkpoint keeps under ``model/``."""
        return {f"model/{name}": value.shape for name, value in self.state_dict().items()}

    def load_checkpoint(self, tensors: dict[str, Tensor]) -> None:
        """Take the tensors that a checkpoint keeps under ``model/``."""
        prefix = "model/"
        self.load_state_dict(
            {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        )

    @torch.no_grad()
    def render(self, camera: Camera, pose: Float[np.ndarray, "3 4"]) -> RenderedView:
        """The sharp view of a camera at a camera-to-world pose, in scene units."""
        device = self.blur.poses.device
        directions = camera_directions(pixel_centres(camera), camera).to(device)
        at = torch.as_tensor(pose, dtype=torch.float32, device=device)
        rays = rays_from_poses(directions, at.expand(len(directions), 3, 4))
        parts = []
        for start in range(0, len(rays), self.picture_rays):
            part = rays[slice(start, start + self.picture_rays)]
            parts.append(self.renderer(self.field, part, None))
        shape = (camera.height, camera.width)
        colour = self.display(torch.cat([part.colour for part in parts])).clamp(0, 1)
        depth = torch.cat([part.depth for part in parts])
        return RenderedView(colour.view(*shape, 3).cpu().numpy(), depth.view(shape).cpu().numpy())

    @torch.no_grad()
    def reblur(self, view: int) -> ReblurredView:
        """The photo of a training view, by its place among them, as its whole kernel blurs it.

        Not as the mask leaves it: a ray too few, which training can bear, would leave blur in a
        restored photo. With the kernel's own weights: adaptive ones need what only training
        remembers of a ray.
        """
        xy = pixel_centres(self.camera).to(self.blur.poses.device)
        every = Pixels(torch.full((len(xy),), view, device=xy.device), xy)
        at_once = max(1, self.picture_rays // self.blur.base_weights().shape[1])
        parts = [
            self._reblurred(every[slice(start, start + at_once)])
            for start in range(0, len(every), at_once)
        ]
        shape = (self.camera.height, self.camera.width)
        colour, own, extent = (torch.cat(values).cpu() for values in zip(*parts, strict=True))
        return ReblurredView(
            colour.view(*shape, 3).numpy(), own.view(shape).numpy(), extent.view(shape).numpy()
        )

    def _reblurred(self, pixels: Pixels) -> tuple[Tensor, Tensor, Tensor]:
        """Colours, own shares and extents of pixels, by their whole kernels."""
        kernel = self.blur.whole_kernel(pixels)
        rays = self.kernel_rays(pixels, kernel)
        rendered = self.renderer(self.field, rays, None)
        colour = self.display(kernel.blend(rendered.colour)).clamp(0, 1)
        disparity = kernel.blend(1.0 / self.renderer.lengths(rays, rendered.depth)[:, None])
        moved = self._displacements(pixels, kernel, rays, disparity)
        own = kernel.blend(torch.exp(-0.5 * moved.square().sum(1, keepdim=True)))
        return colour, own, extents(kernel, moved)

    @torch.no_grad()
    def limit_kernels(self, view: int) -> None:
        """Let a dynamic kernel know how far it smears a training view, by its place among them.

        At the depths that unmoved rays see.
        """
        blur = self.blur
        if not isinstance(blur, DynamicBlur) or self.config.blur.ray_spacing == 0:
            return
        pixels = blur.grid(view)
        kernel = RigidBlur.kernel(blur, pixels, TRAINED)
        rays = self.kernel_rays(pixels, kernel)
        unmoved = rays[slice(None, None, blur.rays)]
        depth = self.renderer(self.field, unmoved, None).depth
        disparity = 1.0 / self.renderer.lengths(unmoved, depth)[:, None]
        moved = self._displacements(pixels, kernel, rays, disparity)
        blur.limit(view, extents(kernel, moved))

    def _displacements(
        self, pixels: Pixels, kernel: Kernel, rays: Rays, disparity: Float[Tensor, "pixels 1"]
    ) -> Float[Tensor, "rays 2"]:
        """From each pixel to where its unmoved camera sees its kernel rays at depth 1 / disparity.

        In pixels.
        """
        unmoved = self.blur.centres()[pixels.view[kernel.pixel]]
        shifted = rays.origins - unmoved[:, :, 3]
        towards = rays.directions + disparity[kernel.pixel] * shifted
        seen = (unmoved[:, :, :3] * towards[:, :, None]).sum(1)  # in the unmoved camera's axes
        return image_points(seen, self.camera) - pixels.xy[kernel.pixel]


def extents(kernel: Kernel, moved: Float[Tensor, "rays 2"]) -> Float[Tensor, " pixels"]:
    """Lengths of even straight smears that spread as far as ``moved`` rays do, in pixels."""
    squared = moved.square().sum(1, keepdim=True)
    spread = kernel.blend(squared)[:, 0] - kernel.blend(moved).square().sum(1)
    return (12.0 * spread.clamp(min=0.0)).sqrt()


def check_combination(config: Config) -> None:
    """Raises ``InputError`` for settings that exclude each other."""
    train = config.train
    if not train.warmup <= train.settle <= train.harden:
        raise InputError(
            f"settings train.warmup {train.warmup:g}, settle {train.settle:g}, harden "
            f"{train.harden:g}: these stages follow each other; give shares that do not fall"
        )
    if train.settle_steps and not 0 < train.warmup_steps <= train.settle_steps:
        raise InputError(
            f"settings train.warmup_steps {train.warmup_steps}, settle_steps {train.settle_steps}: "
            "these stages follow each other; give steps that do not fall, or settle_steps 0"
        )
    centred = config.blur.motions_from != "network" or config.fidelity == "correct"
    if config.blur.motions == 1 and centred and config.blur.model in ("rigid", "dynamic"):
        raise InputError(
            "setting blur.motions: 1 motion is its own mean and moves nothing; give at least 2"
        )
    if config.scene.spherify and config.scene.ndc:
        raise InputError("setting scene.spherify: true asks for scene.ndc false and --field mlp")
    if config.hashgrid.ensemble > 1 and config.field_name != "hashgrid":
        raise InputError(
            f"setting hashgrid.ensemble: {config.hashgrid.ensemble} fields train in turns with "
            "--field hashgrid only; use --set hashgrid.ensemble=1"
        )
    if config.field_name == "hashgrid":
        excluded = {
            "scene.ndc": not config.scene.ndc,
            "adaptive.enabled": config.adaptive.enabled,
            "scene.tone": config.scene.tone == "learn",
        }
        for key in (key for key, wrong in excluded.items() if wrong):
            group, name = key.split(".")
            value = getattr(getattr(config, group), name)
            raise InputError(f"setting {key}: {value} does not go with hashgrid; use --field mlp")


def build_field(config: Config) -> HashGridField | MlpField | nn.ModuleList:
    """The configured field, or those of an ensemble."""
    if config.field_name == "mlp":
        return MlpField(config.mlp, two=config.hierarchical.fine > 0)
    fields = [HashGridField(config.hashgrid) for _ in range(config.hashgrid.ensemble)]
    return fields[0] if len(fields) == 1 else nn.ModuleList(fields)


def build_renderer(config: Config, scene: Scene, cube: NdcCube | None) -> Renderer:
    """The renderer that goes with the field: through ``cube``, where it has one."""
    if cube is not None:
        grid, steps = config.render.grid, config.render.steps
        cells = (grid, grid, max(1, grid // 2))
        each = [MarchingRenderer(cube, cells, steps) for _ in range(config.hashgrid.ensemble)]
        return each[0] if len(each) == 1 else EnsembleRenderer(each)
    span = None if config.scene.ndc else Span(NEAREST * scene.near, scene.far)
    features = config.adaptive.enabled and config.blur.model in ("rigid", "dynamic")
    camera = scene.views[0].camera
    return HierarchicalRenderer(config.hierarchical, camera, span, features)


def build_blur(
    config: Config,
    poses: Float[Tensor, "views 3 4"],
    photos: Float[Tensor, "views height width 3"],
    camera: Camera,
    depth: float,
) -> BlurModel:
    """The configured blur model over the training views."""
    blur = config.blur
    if blur.model == "none":
        return NoBlur(poses, camera.height, camera.width)
    if blur.model == "sparse":
        return SparseBlur(poses, blur.motions, config.sparse, camera)
    motions: Motions
    if blur.motions_from == "network":
        network = config.rigid_network
        motions = NetworkMotions(poses, blur, network, camera, depth, config.fidelity)
    elif blur.motions_from == "lens":
        motions = LensMotions(len(poses), blur, camera, depth)
    elif blur.motions_from == "path+lens":
        motions = ShakenLens(len(poses), blur, camera, depth)
    else:
        motions = RigidMotions(len(poses), blur, camera, depth)
    correction = None  # a network's motions have a mean of their own, and a still lens no smear
    if blur.refine > 0 and isinstance(motions, RigidMotions):
        correction = PoseCorrection(poses, motions.unit / PIXELS_PER_UNIT, blur.refine)
    if blur.model == "rigid":
        return RigidBlur(poses, motions, camera, depth, blur.origin, correction)
    return DynamicBlur(poses, motions, blur, camera, depth, photos, correction)


def build_adaptive(config: Config, field: nn.Module, blur: BlurModel) -> AdaptiveWeights | None:
    """The adaptive weight proposal, where it is wanted and there is a kernel."""
    if not (config.adaptive.enabled and isinstance(field, MlpField)):
        return None
    if not isinstance(blur, RigidBlur):
        return None
    return AdaptiveWeights(
        config.blur.motions,
        field.feature_channels,
        blur.motions.code_width,
        config.adaptive,
        config.fidelity,
    )


def middle_depth(scene: Scene) -> float:
    """The depth, in scene units, in the middle of the scene's range of disparities."""
    return 2.0 / (1.0 / scene.near + 1.0 / scene.far)
