from __future__ import annotations

import builtins
import sys
from typing import Any

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from sharpfield.errors import InputError
from sharpfield.evaluate.images import from_8bit, to_8bit
from sharpfield.evaluate.metrics import Lpips, flip, flip_map, mse, psnr, spearman, ssim
from sharpfield.evaluate.protocols import PAPER, STANDARD, Protocol, find_protocol


def pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    photo = rng.uniform(0, 1, (40, 30, 3)).astype(np.float32)
    noise = rng.normal(0, 0.1, photo.shape).astype(np.float32)
    return np.clip(photo + noise, 0, 1), photo


def test_psnr_of_a_known_error() -> None:
    photo = np.full((8, 8, 3), 0.5, dtype=np.float32)
    assert psnr(photo + np.float32(0.1), photo) == pytest.approx(20.0, abs=1e-4)
    assert psnr(photo, photo) == float("inf")


def test_the_protocols_are_the_windows_they_name() -> None:
    render, photo = pair()
    gaussian = structural_similarity(
        photo, render, data_range=1, channel_axis=-1, gaussian_weights=True, sigma=1.5,
        use_sample_covariance=False,
    )  # fmt: skip
    uniform = structural_similarity(photo * 2 - 1, render * 2 - 1, data_range=2, channel_axis=-1)
    assert ssim(render, photo, STANDARD) == pytest.approx(gaussian, abs=1e-5)
    assert ssim(render, photo, PAPER) == pytest.approx(uniform, abs=1e-5)
    assert abs(gaussian - uniform) > 1e-3


def windows(image: np.ndarray) -> np.ndarray:
    """The 49 values of every 7x7 window that lies inside the image."""
    inside = np.lib.stride_tricks.sliding_window_view(image.astype(np.float64), (7, 7), (0, 1))
    return inside.reshape(*inside.shape[:3], 49)


@pytest.mark.parametrize("seed", [0, 1])
def test_paper_ssim_follows_the_formula_of_wang_et_al(seed: int) -> None:
    # On [-1, 1] the range is 2; variances are those of a sample; c1, c2 as in the paper.
    render, photo = pair(seed)
    a, b = (windows(image * 2.0 - 1.0) for image in (render, photo))
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    mean_a, mean_b = a.mean(-1), b.mean(-1)
    covariance = ((a - mean_a[..., None]) * (b - mean_b[..., None])).sum(-1) / 48
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * covariance + c2) / (a.var(-1, ddof=1) + b.var(-1, ddof=1) + c2)
    assert ssim(render, photo, PAPER) == pytest.approx((luminance * structure).mean(), abs=1e-5)


@pytest.mark.parametrize("brightest", [1.0, 0.4])
@pytest.mark.parametrize(("protocol", "span"), [(STANDARD, 1.0), (PAPER, 2.0)])
def test_mse_and_psnr_follow_their_formulas(
    protocol: Protocol, span: float, brightest: float
) -> None:
    # Range 1 on [0, 1] whatever the image holds: the classic code guesses it from the values.
    render, photo = (image * np.float32(brightest) for image in pair())
    error = float(((render.astype(np.float64) - photo) ** 2).mean())
    assert mse(render, photo, protocol) == pytest.approx(span**2 * error)
    assert psnr(render, photo) == pytest.approx(-10 * np.log10(error))
    assert psnr(render, photo) == pytest.approx(
        10 * np.log10(span**2 / mse(render, photo, protocol))
    )
    brighter = [1 - image for image in (render, photo)]
    assert psnr(*brighter) == pytest.approx(psnr(render, photo), abs=1e-4)


def test_ssim_of_equal_images_is_one_and_needs_a_window() -> None:
    photo = pair()[1]
    assert ssim(photo, photo, STANDARD) == pytest.approx(1.0)
    assert ssim(photo[:9], photo[:9], STANDARD) is None
    assert ssim(photo[:9], photo[:9], PAPER) is not None


def test_an_unknown_protocol_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="standard or paper"):
        find_protocol("papre")


def test_flip_is_zero_for_equal_images_and_grows_with_the_error() -> None:
    pytest.importorskip("flip_evaluator")
    render, photo = pair()
    error = flip_map(render, photo)
    assert error is not None and error.shape == photo.shape[:2]
    assert flip(photo, photo) == pytest.approx(0.0, abs=1e-6)
    assert 0 < (flip(render, photo) or 0) < (flip(1 - photo, photo) or 0) <= 1


def test_missing_packages_give_none_and_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name in ("lpips", "flip_evaluator"):
            raise ImportError(name)
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    render, photo = pair()
    missing = Lpips.load("alex")
    assert missing.hint is not None and "pip install lpips" in missing.hint
    assert missing(render, photo) is None and flip(render, photo) is None


@pytest.mark.parametrize("error", [RuntimeError("bad\nstate"), OSError("no network")])
def test_lpips_without_its_weights_gives_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class Broken:
        @staticmethod
        def LPIPS(**options: object) -> None:
            raise error

    monkeypatch.setitem(sys.modules, "lpips", Broken)
    hint = Lpips.load("alex").hint
    assert hint is not None and "\n" not in hint and "weights" in hint


def test_spearman_knows_order_and_its_absence() -> None:
    values = np.arange(10.0)
    assert spearman(values, values**3) == pytest.approx(1.0)
    assert spearman(values, -values) == pytest.approx(-1.0)
    assert spearman(values, np.zeros(10)) is None
    assert spearman(values[:1], values[:1]) is None


def test_8_bits_round_clip_and_return() -> None:
    image = to_8bit(np.array([[[-0.1, 0.5, 1.2], [np.nan, 1 / 255, 0.0]]], dtype=np.float32))
    assert image.tolist() == [[[0, 128, 255], [0, 1, 0]]]
    np.testing.assert_array_equal(to_8bit(from_8bit(image)), image)
