"""The whole model of a run: field, renderer, blur model and tone curve, built from a scene."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.blur.dynamic import DynamicBlur
from sharpfield.blur.kernel import BlurModel, Kernel, Pixels
from sharpfield.blur.none import NoBlur
from sharpfield.blur.rigid import RigidBlur
from sharpfield.blur.tone import gamma_curve
from sharpfield.config import Config, HashGridConfig
from sharpfield.fields.hashgrid import HashGridField
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.ndc import NdcCube
from sharpfield.geometry.rays import Rays, camera_directions, pixel_centres, rays_from_poses
from sharpfield.render.occupancy import OccupancyGrid
from sharpfield.render.renderer import Renderer
from sharpfield.scene.scene import Scene

IMAGE_CHUNK = 16384
"""Rays rendered at once for a picture: bounds its memory to some 100 MiB."""


@dataclass(frozen=True)
class RenderedView:
    """A sharp picture: display colours in [0, 1], and the expected ``t`` of each ray in [0, 1]."""

    colour: Float[np.ndarray, "height width 3"]
    depth: Float[np.ndarray, "height width"]


class Model(nn.Module):
    """Everything that is learned, and how a sharp picture is made from it."""

    def __init__(self, scene: Scene, config: Config) -> None:
        super().__init__()
        self.camera = scene.views[0].camera
        train = torch.tensor(scene.train_indices)
        poses = torch.from_numpy(np.stack([view.pose for view in scene.views])).float()
        self.gamma = config.scene.tone == "gamma"
        self.field = HashGridField(sized_for(config.hashgrid, self.camera))
        grid = config.render.grid
        self.renderer = Renderer(
            NdcCube.around(self.camera, poses[train], scene.near, scene.far),
            OccupancyGrid((grid, grid, grid // 2)),
            config.render.steps,
        )
        photos = torch.from_numpy(np.stack([scene.views[i].photo for i in scene.train_indices]))
        self.blur = build_blur(config, poses[train], photos, self.camera, middle_depth(scene))

    def display(self, linear: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """The tone curve: linear light to photo colours."""
        return gamma_curve(linear) if self.gamma else linear

    def kernel_rays(self, pixels: Pixels, kernel: Kernel) -> Rays:
        """World rays of a kernel: the pixels' directions, seen from the kernel's poses."""
        directions = camera_directions(pixels.xy, self.camera)[kernel.pixel]
        return rays_from_poses(directions, kernel.poses)

    def load_checkpoint(self, tensors: dict[str, Tensor]) -> None:
        """Take the tensors that a checkpoint keeps under ``model/``."""
        prefix = "model/"
        self.load_state_dict(
            {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        )

    @torch.no_grad()
    def render(self, camera: Camera, pose: Float[np.ndarray, "3 4"]) -> RenderedView:
        """The sharp view of a camera at a camera-to-world pose, in scene units."""
        device = self.field.table.device
        directions = camera_directions(pixel_centres(camera), camera).to(device)
        at = torch.as_tensor(pose, dtype=torch.float32, device=device)
        rays = rays_from_poses(directions, at.expand(len(directions), 3, 4))
        parts = []
        for start in range(0, len(rays), IMAGE_CHUNK):
            part = rays[slice(start, start + IMAGE_CHUNK)]
            parts.append(self.renderer(self.field, part, self.renderer.image_offsets(part)))
        shape = (camera.height, camera.width)
        colour = self.display(torch.cat([part.colour for part in parts])).clamp(0, 1)
        depth = torch.cat([part.depth for part in parts])
        return RenderedView(colour.view(*shape, 3).cpu().numpy(), depth.view(shape).cpu().numpy())


def sized_for(config: HashGridConfig, camera: Camera) -> HashGridConfig:
    """The grid with ``finest`` 0 replaced by what the photos' width asks for."""
    return config if config.finest else replace(config, finest=round(1.6 * camera.width))


def build_blur(
    config: Config,
    poses: Float[Tensor, "views 3 4"],
    photos: Float[Tensor, "views height width 3"],
    camera: Camera,
    depth: float,
) -> BlurModel:
    """The configured blur model over the training views."""
    if config.blur.model == "none":
        return NoBlur(poses, camera.height, camera.width)
    if config.blur.model == "rigid":
        return RigidBlur(poses, config.blur, camera, depth)
    return DynamicBlur(poses, config.blur, camera, depth, photos)


def middle_depth(scene: Scene) -> float:
    """The depth, in scene units, in the middle of the scene's range of disparities."""
    return 2.0 / (1.0 / scene.near + 1.0 / scene.far)
