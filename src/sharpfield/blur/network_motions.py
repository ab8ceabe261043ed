"""DP-NeRF's network of rigid motions: each motion on its own (Lee et al. 2023, section 4.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.blur.motions import Motions, centred, positive_weights
from sharpfield.config import BlurConfig, FidelityName, RigidNetworkConfig
from sharpfield.geometry.camera import Camera

COMPONENTS_THAT_SHIFT = 4
"""Of the six components of a twist; the others, roll and advance, hardly move the picture."""


class NetworkMotions(Motions):
    """One encoder, and heads for rotations, translations and weights.

    ``correct`` motions act in the frame of their camera, start near the identity and have a
    weighted mean of zero, as those of ``RigidMotions``. ``original`` ones act about the origin of
    the world, so that a rotation also shifts far cameras; they start where torch's default biases
    put them, several pixels off and alike in all views; and nothing holds their mean.
    """

    given: Float[Tensor, "views 3 4"]

    def __init__(
        self,
        given: Float[Tensor, "views 3 4"],
        config: BlurConfig,
        network: RigidNetworkConfig,
        camera: Camera,
        depth: float,
        fidelity: FidelityName = "correct",
    ) -> None:
        """``given``: camera-to-world poses of the views. ``depth``: the scene's middle one."""
        super().__init__(len(given), config, camera, depth)
        self.window, self.fidelity = network.window, fidelity
        width = network.encoder_width
        self.code_width = width
        self.encoder = nn.Sequential(*relu_layers(config.embedding, width, network.encoder_depth))
        self.rotation_head = head(
            width, network.rotation_width, network.rotation_depth, 3 * config.motions
        )
        self.translation_head = head(
            width, network.translation_width, network.translation_depth, 3 * config.motions
        )
        self.weight_head = head(
            width, network.weight_width, network.weight_depth, config.motions + 1
        )
        self.register_buffer("given", given.clone(), persistent=False)
        if fidelity == "original":
            self._start_as_published()
        else:
            pixels = config.start_pixels / COMPONENTS_THAT_SHIFT**0.5
            self._start_near_identity(pixels / camera.focal_x, depth)

    def _start_near_identity(self, angle: float, depth: float) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
        for part, spread in (
            (self.rotation_head, angle),
            (self.translation_head, angle * depth),
            (self.weight_head, 0.0),
        ):
            last = last_layer(part)
            nn.init.normal_(last.weight, std=spread / self.window / last.in_features**0.5)

    def _start_as_published(self) -> None:
        """The weights of the last layers are next to nothing, but not their biases."""
        for part in (self.rotation_head, self.translation_head):
            last = last_layer(part)
            bound = 1e-5 * 6.0 / (last.in_features + last.out_features)
            nn.init.uniform_(last.weight, -bound, bound)

    def weights(
        self, code: Float[Tensor, "views code"]
    ) -> Float[Tensor, "views motions_and_origin"]:
        """``sigmoid / sum(sigmoid)``, as a softmax that no logits can turn into 0 / 0."""
        if self.even_weights:
            return super().weights(code)
        return positive_weights(F.logsigmoid(self.weight_head(code)))

    def path(
        self,
        code: Float[Tensor, "views code"],
        weights: Float[Tensor, "views motions_and_origin"],
    ) -> Float[Tensor, "views motions 6"]:
        rotation = self.rotation_head(code).unflatten(1, (-1, 3))
        translation = self.translation_head(code).unflatten(1, (-1, 3))
        twists = self.window * torch.cat([rotation, translation], dim=2)
        if self.fidelity == "original":
            return in_camera_frame(twists, self.given)
        return centred(twists, weights)


def in_camera_frame(
    world: Float[Tensor, "views motions 6"], poses: Float[Tensor, "views 3 4"]
) -> Float[Tensor, "views motions 6"]:
    """The camera-frame twists that move cameras at ``poses`` as ``world`` twists do.

    ``exp(world) pose = pose exp(camera)``: the adjoint map of the inverse pose (Lynch and Park,
    "Modern Robotics", definition 3.20).
    """
    rotation, translation = world[..., :3], world[..., 3:]
    centre = poses[:, None, :, 3].expand_as(rotation)
    moved = translation + torch.linalg.cross(rotation, centre)
    return torch.cat([rotation @ poses[:, :, :3], moved @ poses[:, :, :3]], dim=2)


def relu_layers(inputs: int, width: int, depth: int) -> list[nn.Module]:
    """``depth`` layers of ``width``, each followed by a ReLU."""
    layers: list[nn.Module] = []
    for layer in range(depth):
        layers += [nn.Linear(width if layer else inputs, width), nn.ReLU()]
    return layers


def head(inputs: int, width: int, depth: int, outputs: int) -> nn.Sequential:
    """``depth`` hidden layers of ``width``, and a linear one."""
    hidden = relu_layers(inputs, width, depth)
    return nn.Sequential(*hidden, nn.Linear(width if depth else inputs, outputs))


def last_layer(part: nn.Sequential) -> nn.Linear:
    """The output layer of a head."""
    last = part[-1]
    assert isinstance(last, nn.Linear)
    return last
