"""Small blur models over random photos, and pixels for them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from sharpfield.blur.dynamic import DynamicBlur
from sharpfield.blur.kernel import BlurModel, Kernel, Phase, Pixels
from sharpfield.blur.lens import LensMotions, ShakenLens
from sharpfield.blur.mask import MaskNetwork
from sharpfield.blur.motions import PIXELS_PER_UNIT, Motions, RigidMotions, displacements
from sharpfield.blur.network_motions import NetworkMotions
from sharpfield.blur.none import NoBlur
from sharpfield.blur.pose_correction import PoseCorrection
from sharpfield.blur.rigid import RigidBlur
from sharpfield.blur.sparse import SparseBlur
from sharpfield.blur.tone import gamma_curve
from sharpfield.config import BlurConfig, FidelityName, RigidNetworkConfig, SparseConfig
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.se3 import exponential

CAMERA = Camera(24, 16, 30.0, 30.0, 12.0, 8.0)
DEPTH = 2.0
VIEWS = 5
MOTIONS = 6
RAYS = MOTIONS + 1
NETWORK = RigidNetworkConfig(encoder_depth=2, encoder_width=16, rotation_width=8)

WARM = Phase(kernel_open=False)
FIRST = Phase(kernel_open=True)
FIRST_LEARNING = Phase(kernel_open=True, learn_mask=True)
SOFT = Phase(kernel_open=True, mask_open=True, temperature=1.0)
SOFT_LEARNING = Phase(kernel_open=True, mask_open=True, temperature=0.3, learn_mask=True)
HARD = Phase(kernel_open=True, mask_open=True)
HARD_LEARNING = Phase(kernel_open=True, mask_open=True, learn_mask=True)
PHASES = (WARM, FIRST, FIRST_LEARNING, SOFT, SOFT_LEARNING, HARD, HARD_LEARNING)


def mask_network(model: DynamicBlur) -> MaskNetwork:
    """The Mask CNN of a model that has one."""
    assert isinstance(model.mask, MaskNetwork)
    return model.mask


def config(**changes: float | str) -> BlurConfig:
    given = {
        "motions": MOTIONS,
        "embedding": 8,
        "path_points": 4,
        "freedom": 0.5,
        "start_pixels": 1.0,
        "first_size": 3,
        "mask_tolerance": 0.03,
        "mask_channels": 6,
        "mask_exploration": 0.25,
    }
    return BlurConfig(**(given | changes))  # type: ignore[arg-type]


def given_poses() -> Tensor:
    return exponential(torch.randn(VIEWS, 6, generator=torch.Generator().manual_seed(21)) * 0.1)


SMEARED = 3
"""Views from this one on have photos without detail."""


def photos() -> Tensor:
    random = torch.Generator().manual_seed(22)
    noise = torch.rand(VIEWS, CAMERA.height, CAMERA.width, 3, generator=random)
    noise[SMEARED:] = 0.5 + 0.02 * noise[SMEARED:]
    return noise


def none() -> NoBlur:
    return NoBlur(given_poses(), CAMERA.height, CAMERA.width)


def sparse(seed: int = 0, **changes: float) -> SparseBlur:
    torch.manual_seed(seed)
    given = SparseConfig(embedding=8, depth=2, width=16)
    return SparseBlur(given_poses(), MOTIONS, replace(given, **changes), CAMERA)  # type: ignore[arg-type]


def path_motions(seed: int = 0, **changes: float | str) -> RigidMotions:
    torch.manual_seed(seed)
    return RigidMotions(VIEWS, config(**changes), CAMERA, DEPTH)


def network_motions(
    blur: BlurConfig | None = None,
    network: RigidNetworkConfig = NETWORK,
    fidelity: FidelityName = "correct",
    seed: int = 0,
) -> NetworkMotions:
    torch.manual_seed(seed)
    return NetworkMotions(given_poses(), blur or config(), network, CAMERA, DEPTH, fidelity)


def rigid(seed: int = 0, **changes: float) -> RigidBlur:
    return RigidBlur(given_poses(), path_motions(seed, **changes), CAMERA, DEPTH)


def rigid_network(seed: int = 0, **changes: float) -> RigidBlur:
    motions = network_motions(config(**changes), seed=seed)
    return RigidBlur(given_poses(), motions, CAMERA, DEPTH)


def lens(seed: int = 0, **changes: float) -> RigidBlur:
    torch.manual_seed(seed)
    motions = LensMotions(VIEWS, config(**changes), CAMERA, DEPTH)
    return RigidBlur(given_poses(), motions, CAMERA, DEPTH)


def without_origin(seed: int = 0, **changes: float) -> RigidBlur:
    motions = path_motions(seed, **changes)
    return RigidBlur(given_poses(), motions, CAMERA, DEPTH, origin=False)


def trajectory(seed: int = 0) -> RigidBlur:
    return without_origin(seed, freedom=0.0, even_weights=True)


def dynamic(seed: int = 0, **changes: float | str) -> DynamicBlur:
    motions = path_motions(seed, **changes)
    return DynamicBlur(given_poses(), motions, config(**changes), CAMERA, DEPTH, photos())


def shaken_lens(seed: int = 0, **changes: float | str) -> ShakenLens:
    torch.manual_seed(seed)
    return ShakenLens(VIEWS, config(**changes), CAMERA, DEPTH)


def rigid_lens(seed: int = 0, **changes: float) -> RigidBlur:
    return RigidBlur(given_poses(), shaken_lens(seed, **changes), CAMERA, DEPTH)


def dynamic_lens(seed: int = 0, **changes: float | str) -> DynamicBlur:
    motions = shaken_lens(seed, **changes)
    return DynamicBlur(given_poses(), motions, config(**changes), CAMERA, DEPTH, photos())


def dynamic_network(seed: int = 0, **changes: float) -> DynamicBlur:
    blur = config(order="size", **changes)
    motions = network_motions(blur, seed=seed)
    return DynamicBlur(given_poses(), motions, blur, CAMERA, DEPTH, photos())


def correct_poses(model: RigidBlur) -> None:
    """Let the given poses be corrected, as they are where nothing else is asked for."""
    unit = model.motions.unit / PIXELS_PER_UNIT
    model.correction = PoseCorrection(model.poses, unit, 2.0)


def stir(model: nn.Module) -> None:
    """Random heads in place of the careful start, and random stored sizes."""
    random = torch.Generator().manual_seed(23)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random) * 0.2)
        if isinstance(model, DynamicBlur):
            model.sizes.copy_(torch.rand(model.sizes.shape, generator=random) * (RAYS + 2) - 1)


def force_size(model: DynamicBlur, size: float) -> None:
    """Make the Mask CNN answer ``size`` everywhere, and remember that answer."""
    with torch.no_grad():
        mask_network(model).head.weight.zero_()
        bias = mask_network(model).head.bias
        assert bias is not None
        bias.fill_((size - 1) / (RAYS - 1) - 0.5)
        spreads = model.spreads(model.motion_poses())
        model.sizes.copy_(model.mask(torch.arange(VIEWS), model.motions.embedding, spreads))


def path_of(motions: Motions) -> Tensor:
    """The twists of its views: (views, motions, 6)."""
    code = motions.code()
    return motions.path(code, motions.weights(code))


def pixels_moved(poses: Tensor) -> Tensor:
    """By each motion, root mean square over the photo: (views, motions)."""
    return displacements(poses, CAMERA, DEPTH).square().mean(-1).sqrt()


def random_pixels(count: int = 80, seed: int = 24) -> Pixels:
    random = torch.Generator().manual_seed(seed)
    size = torch.tensor([CAMERA.width, CAMERA.height])
    xy = (torch.rand(count, 2, generator=random) * size).floor() + 0.5
    return Pixels(torch.randint(VIEWS, (count,), generator=random), xy)


def kernel_of(model: BlurModel, pixels: Pixels, phase: Phase) -> Kernel:
    return model.kernel(pixels, phase)


def random_colours(rays: int) -> Tensor:
    return torch.rand(rays, 3, generator=torch.Generator().manual_seed(26))


def own_loss(model: BlurModel, kernel: Kernel, pixels: Pixels, colours: Tensor) -> Tensor:
    """With grey photos."""
    return model.own_loss(kernel, pixels, torch.full((len(pixels), 3), 0.5), colours, gamma_curve)
