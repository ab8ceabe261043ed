"""What the Mask CNN sees of a photo."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tests.blur.models import config

from sharpfield.blur.mask import SHRINK, MaskNetwork, blur_evidence
from sharpfield.blur.tone import to_linear

RATIO = 4
"""Channel of the fine gradient over the coarse one."""


def texture(views: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(views, height, width, 3, generator=torch.Generator().manual_seed(7))


def test_colours_are_means_in_linear_light() -> None:
    photos = texture(2, 12, 16)
    squares = to_linear(photos).unfold(1, SHRINK, SHRINK).unfold(2, SHRINK, SHRINK)
    means = squares.mean((4, 5)).permute(0, 3, 1, 2)
    torch.testing.assert_close(blur_evidence(photos)[:, :3], means)


def test_blur_lowers_the_share_of_fine_detail() -> None:
    sharp = texture(1, 32, 48)
    ratios = []
    for width in (1, 3, 7):
        smeared = F.avg_pool2d(
            sharp.permute(0, 3, 1, 2), width, 1, width // 2, count_include_pad=False
        )
        ratios.append(float(blur_evidence(smeared.permute(0, 2, 3, 1))[:, RATIO].mean()))
    assert ratios[0] > 1.5 * ratios[1] > 1.5 * 1.2 * ratios[2], ratios


@pytest.mark.parametrize("reach", [1, 2, 6])
def test_a_pixel_sees_as_far_as_the_setting_says(reach: int) -> None:
    mask = MaskNetwork(texture(1, 160, 160), config(mask_reach=reach))
    with torch.no_grad():
        for parameter in mask.parameters():
            parameter.fill_(0.01)
    evidence = torch.ones_like(mask.evidence).requires_grad_()
    mask.evidence = evidence
    sizes = mask(torch.tensor([0]), torch.ones(1, 8), torch.zeros(1, 3, 3))
    sizes[0, sizes.shape[1] // 2, sizes.shape[2] // 2].backward()
    assert evidence.grad is not None
    rows, columns = evidence.grad[0].abs().sum(0).nonzero(as_tuple=True)
    across = (18 + 8 * reach) // SHRINK
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == across
