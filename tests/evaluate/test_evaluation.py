from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image
from tests.fake_run import RunMaker

from sharpfield import __version__
from sharpfield.evaluate.evaluation import evaluate, write_evaluation
from sharpfield.evaluate.images import to_8bit
from sharpfield.evaluate.kernel_quality import kernel_quality, local_deviation
from sharpfield.evaluate.metrics import psnr


def test_the_json_file_has_the_documented_structure(make_run: RunMaker) -> None:
    run = make_run(train=3, test=2)
    path = write_evaluation(run, evaluate(run))
    assert path == run.folder / "eval" / "metrics.json"
    content = json.loads(path.read_text())
    assert content["protocol"]["name"] == "standard"
    assert set(content["mean"]) == {"psnr", "ssim", "lpips", "flip"}
    assert [view["name"] for view in content["views"]] == ["photo3.png", "photo4.png"]
    expected = {"training_seconds": 12.5, "rays_per_pixel": 1.75, "seed": 7, "step": 100}
    assert expected.items() <= content.items()
    assert content["peak_memory_bytes"] == 2**28 and content["version"] == __version__
    assert re.fullmatch(r"\w+ \w+, \d+ CPU cores? \(\S+\).*", content["machine"])


def test_renders_are_what_was_scored(make_run: RunMaker) -> None:
    run = make_run()
    evaluation = evaluate(run)
    write_evaluation(run, evaluation)
    saved = np.asarray(Image.open(run.folder / "eval" / "renders" / "photo3.png"))
    np.testing.assert_array_equal(saved, evaluation.renders["photo3.png"])
    np.testing.assert_array_equal(saved, to_8bit(run.truth.sharp["photo3.png"]))


def test_a_quantised_perfect_render_is_perfect(make_run: RunMaker) -> None:
    view = evaluate(make_run()).views[0]
    assert view.psnr == float("inf") and view.ssim == pytest.approx(1.0)


def test_restored_photos_beat_the_blurry_ones(make_run: RunMaker) -> None:
    run = make_run()
    evaluation = evaluate(run)
    assert [score.name for score in evaluation.restored] == [f"photo{i}.png" for i in range(3)]
    last = evaluation.restored[2]
    blurry = psnr(run.scene.views[2].photo, run.truth.sharp["photo2.png"])
    assert last.psnr_blurry == pytest.approx(blurry)
    assert last.psnr > 50 > 30 > last.psnr_blurry
    assert last.psnr_rendered == last.psnr
    type(run).restore_view = lambda self, view, rendered: self.scene.views[view].photo
    kept = evaluate(run).restored[2]
    assert kept.psnr == pytest.approx(blurry) and kept.psnr_rendered == last.psnr


def test_without_truth_views_and_kernel(make_run: RunMaker) -> None:
    run = make_run(motions=1, test=0, truth=False, model="none")
    content = evaluate(run).to_dict()
    assert content["mean"] == dict.fromkeys(["psnr", "ssim", "lpips", "flip"])
    assert content["views"] == [] and "restored" not in content and "kernel_size" not in content
    write_evaluation(run, evaluate(run))


def test_progress_counts_to_the_end(make_run: RunMaker) -> None:
    calls: list[tuple[int, int]] = []
    evaluate(make_run(), "paper", progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_kernel_sizes_that_follow_the_blur_correlate_fully(make_run: RunMaker) -> None:
    quality = kernel_quality(make_run())
    assert quality.spearman == quality.extent_spearman == pytest.approx(1.0)
    assert [view.mean_extent for view in quality.views] == pytest.approx([0, 0.75, 1.5])
    assert [round(view.mean_size, 3) for view in quality.views] == [1.0, 1.5, 2.0]
    assert [view.mean_true_extent for view in quality.views] == pytest.approx([0, 0.5, 1])
    assert quality.mean_size == pytest.approx(1.5)
    pixels = 3 * 40 * 31
    assert quality.textured_pixels == pytest.approx(0.6 * pixels, abs=2)


def test_flat_pixels_do_not_count(make_run: RunMaker) -> None:
    run = make_run()
    for name, photo in run.truth.sharp.items():
        photo[:, 16:] = 0.5
        assert local_deviation(run.truth.sharp[name])[:, 20:].max() < 1e-6
    size = run.kernel_size
    half = np.arange(40) < 18
    type(run).kernel_size = lambda self, view: np.where(half, size(view), 9 - view).astype("f4")
    quality = kernel_quality(run)
    assert quality.spearman == pytest.approx(1.0)
    type(run).kernel_extent = lambda self, view: np.full((31, 40), 9.0 - view, "f4")
    turned = kernel_quality(run)
    assert turned.spearman == quality.spearman and turned.extent_spearman == pytest.approx(-1.0)


def test_without_truth_only_sizes_are_known(make_run: RunMaker) -> None:
    quality = kernel_quality(make_run(truth=False))
    assert quality.spearman is None and quality.extent_spearman is None
    assert quality.texture_threshold is None
    assert quality.textured_pixels == 0 and quality.mean_size == pytest.approx(1.5)
    assert quality.views[0].mean_extent is None and quality.views[0].mean_true_extent is None
