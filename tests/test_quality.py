"""The promise itself, on a small toy scene: minutes of training, so not among the fast tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sharpfield.config import Config
from sharpfield.evaluate.evaluation import Evaluation, evaluate
from sharpfield.run import open_run, read_scene
from sharpfield.scene.toy import ToySettings, make_toy_scene
from sharpfield.settings import with_overrides
from sharpfield.train.loop import Job, train

pytestmark = pytest.mark.slow

SETTINGS = (
    "train.steps=1300",
    "train.samples=32768",
    "hashgrid.log2_entries=15",
    "blur.motions=7",
)


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluation]:
    folder = tmp_path_factory.mktemp("quality")
    make_toy_scene(folder / "scene", ToySettings(width=128, height=88, views=15))
    device = torch.device("cpu")
    scores = {}
    for model in ("none", "dynamic"):
        config = with_overrides(Config(), [*SETTINGS, f"blur.model={model}"])
        scene = read_scene(folder / "scene", config)
        job = Job(folder / model, scene, config, device)
        train(job, lambda trainer, result: None, lambda warning: None)
        scores[model] = evaluate(open_run(Path(folder / model), device))
    return scores


def test_the_dynamic_kernel_sharpens(evaluations: dict[str, Evaluation]) -> None:
    sharp, plain = (evaluations[name].mean["psnr"] for name in ("dynamic", "none"))
    assert sharp is not None and plain is not None
    assert sharp > plain + 1.0


def test_kernels_are_large_where_blur_is(evaluations: dict[str, Evaluation]) -> None:
    sizes = evaluations["dynamic"].kernel_size
    assert sizes is not None and sizes.spearman is not None
    assert sizes.spearman > 0.5
    extents = [view.mean_true_extent or 0.0 for view in sizes.views]
    order = np.argsort(extents)
    by_blur = [sizes.views[i].mean_size for i in order]
    assert by_blur[0] < 1.8 and np.mean(by_blur[-3:]) > 2 * by_blur[0]
