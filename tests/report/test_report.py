from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.fake_run import RunMaker

from sharpfield.evaluate.evaluation import evaluate
from sharpfield.geometry.camera import Camera
from sharpfield.report.cautions import cautions
from sharpfield.report.motion_paths import centre_displacements
from sharpfield.report.numbers import decimal, duration, number_table
from sharpfield.report.report import write_report
from sharpfield.report.training_curve import read_training_curve

VOID = {"meta", "img", "input"}


class Page(HTMLParser):
    """Collects images, outside addresses and text, and checks that tags are balanced."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.alts: list[str] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        values = dict(attrs)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "data-src") and v]
        if tag == "img":
            self.alts.append(values["alt"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def write_log(folder: Path, count: int = 30, gain: float = 0.0) -> None:
    lines = [
        {"step": i, "seconds": i, "loss": 0.1, "psnr": 20 + gain * i, "rays_per_pixel": 2.0}
        for i in range(count)
    ]
    text = "\n".join(map(json.dumps, lines)) + '\n{"step": 30, "sec'
    (folder / "metrics.jsonl").write_text(text)


def image(address: str) -> np.ndarray:
    data = base64.b64decode(address.split(",", 1)[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_the_page_stands_alone_and_shows_everything(make_run: RunMaker) -> None:
    run = make_run()
    write_log(run.folder)
    evaluation = evaluate(run)
    path = write_report(run, evaluation, {"none": evaluation})
    assert path == run.folder / "report.html"
    page = Page(path)
    assert page.addresses and all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"url\(|@import|https?://", page.source)
    for name in ("photo0.png", "photo1.png", "photo2.png"):
        for kind in (", blurry", ", restored"):
            assert name + kind in page.alts
        assert f"Kernel size of {name}" in page.alts and f"Motions of {name}" in page.alts
    assert {"photo3.png, photo", "photo3.png, error"} <= set(page.alts)
    assert any(alt.startswith("photo3.png, none") for alt in page.alts)
    assert any("Training curves" in alt for alt in page.alts)
    assert "dynamic" in page.text and "12 s" in page.text
    shown = [image(address) for address in page.addresses]
    truth = run.truth.sharp["photo2.png"] * 255
    assert min(np.abs(i - truth).mean() for i in shown if i.shape == truth.shape) < 8


def test_without_kernel_truth_held_out_views_and_log(make_run: RunMaker) -> None:
    run = make_run(motions=1, test=0, truth=False, model="none")
    page = Page(write_report(run, evaluate(run)))
    assert page.alts == [f"photo{i}.png, {k}" for i in range(3) for k in ("restored", "blurry")]
    assert "no held-out views" in page.text and "Kernel size" not in page.source


def test_names_are_escaped(make_run: RunMaker) -> None:
    run = make_run()
    type(run).scene = dataclasses.replace(run.scene, name="<script>alert(1)</script>")
    page = Page(write_report(run, evaluate(run)))
    assert page.open == [] and page.source.count("<script>") == 1


def test_many_photos_show_the_most_blurred_and_the_sharpest(make_run: RunMaker) -> None:
    run = make_run(motions=20, train=12, test=0)
    page = Page(write_report(run, evaluate(run)))
    shown = [alt.split(",")[0] for alt in page.alts if alt.endswith("restored")]
    assert shown == [f"photo{i}.png" for i in (11, 10, 9, 8, 7, 6, 5, 0)]
    assert "8 of 12 photos" in page.text


def test_a_healthy_run_raises_no_caution(make_run: RunMaker) -> None:
    run = make_run(test=3)
    assert cautions(run, evaluate(run), read_training_curve(run.folder / "none"), {}) == []
    assert "No sign of a known failure" in Page(write_report(run, evaluate(run))).text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"kernel_size": lambda self, view: np.ones((31, 40), "f4")}, "mask has collapsed"),
        ({"kernel_size": lambda self, view: np.full((31, 40), 4, "f4")}, "saturated"),
        ({"weights": lambda self, view: np.eye(4, dtype="f4")[0]}, "single ray"),
        ({"weights": lambda self, view: np.eye(4, dtype="f4")[3] * np.float32(12)}, "to one side"),
        ({"motion_poses": lambda self, view: far_poses()}, "run away"),
        ({"pose": lambda self, view: far_poses()[1]}, "pose of photo0.png, photo1.png"),
    ],
)
def test_each_failure_has_its_caution(
    make_run: RunMaker, change: dict[str, Any], expected: str
) -> None:
    run = make_run(test=3)
    for name, value in change.items():
        setattr(type(run), name, value)
    found = cautions(run, evaluate(run), read_training_curve(run.folder / "none"), {})
    assert any(expected in caution for caution in found), found


def far_poses() -> np.ndarray:
    poses = np.repeat(np.eye(4, dtype="f4")[None, :3], 4, axis=0)
    poses[1, 0, 3], poses[2, 0, 3] = 1.0, -1.0
    return poses


def test_scores_and_curve_raise_cautions(make_run: RunMaker) -> None:
    run = make_run(test=1)
    write_log(run.folder, gain=0.2)
    evaluation = evaluate(run)
    worse = dataclasses.replace(
        evaluation,
        mean={**evaluation.mean, "psnr": 20.0},
        restored=tuple(dataclasses.replace(s, psnr=1.0) for s in evaluation.restored),
        renders={"photo3.png": np.zeros((31, 40, 3), np.uint8)},
    )
    better = dataclasses.replace(evaluation, mean={**evaluation.mean, "psnr": 25.0})
    curve = read_training_curve(run.folder / "metrics.jsonl")
    found = " ".join(cautions(run, worse, curve, {"none": better}))
    for expected in ("one flat colour", "still improving", "Only 1", "5.00 dB higher", "worse"):
        assert expected in found


def test_the_curve_skips_broken_lines(tmp_path: Path) -> None:
    write_log(tmp_path)
    curve = read_training_curve(tmp_path / "metrics.jsonl")
    assert len(curve.seconds) == 30 and np.isnan(curve.kernel_size).all()
    (tmp_path / "metrics.jsonl").write_text('3\nnull\n{"seconds": 2, "psnr": null}\n[]\n')
    assert len(read_training_curve(tmp_path / "metrics.jsonl").seconds) == 0


def test_displacement_is_the_projection_of_the_centre() -> None:
    camera = Camera(40, 30, 50.0, 60.0, 20.0, 15.0)
    poses = np.repeat(np.eye(4)[None, :3], 3, axis=0)
    poses[1, 0, 3] = 0.2
    poses[2, 1, 3] = 0.2
    moved = centre_displacements(camera, poses, depth=4.0)
    expected = np.array([[0.0, 0.0], [-2.5, 0.0], [0.0, 3.0]])
    np.testing.assert_allclose(moved, expected, atol=1e-12)


def test_the_table_marks_the_best_and_drops_empty_columns(make_run: RunMaker) -> None:
    evaluation = evaluate(make_run())
    low = dataclasses.replace(evaluation, mean={**evaluation.mean, "psnr": 20.0, "lpips": None})
    high = dataclasses.replace(evaluation, mean={**evaluation.mean, "psnr": 21.5, "lpips": None})
    table = number_table({"none": low, "dynamic": high})
    assert not any("LPIPS" in column for column in table.columns)
    cells = [row.cells[0] for row in table.rows]
    assert [(cell.text, cell.best) for cell in cells] == [("20.00", False), ("21.50", True)]


def test_durations_and_decimals_read_well() -> None:
    assert [duration(s) for s in (41.6, 185.0, 3725.0)] == ["42 s", "3 min 05 s", "1 h 02 min"]
    assert decimal(None, 2) == decimal(float("inf"), 2) == "n/a"
