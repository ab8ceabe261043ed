"""The benchmarks that are there, without training them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sharpfield.bench.suite import RowKey
from sharpfield.bench.suites import ABLATIONS, BLUR, SUITES
from sharpfield.cli.app import run
from sharpfield.evaluate.protocols import find_protocol
from sharpfield.model import check_combination
from sharpfield.presets import preset
from sharpfield.settings import with_overrides


def every_row() -> list[RowKey]:
    return [key for suite in SUITES.values() for key in suite.select()]


def test_the_settings_of_every_row_exist_and_go_together() -> None:
    for key in every_row():
        suite = SUITES[key.suite]
        check_combination(with_overrides(preset(suite.preset), suite.assignments(key)))
        find_protocol(suite.protocol)


def test_no_two_rows_share_a_file() -> None:
    paths = [key.path for key in every_row()]
    assert len(set(paths)) == len(paths)


def test_blur_compares_every_model_on_ten_scenes_by_time_and_by_rays() -> None:
    assert len(BLUR.scenes) == 10
    kinds = {contender.name.split("-")[0] for contender in BLUR.contenders}
    assert kinds == {"dynamic", "rigid", "none", "sparse", "trajectory", "lens", "dpnerf"}
    seeds = {contender.name: contender.seeds for contender in BLUR.contenders}
    assert seeds["dynamic-6"] == seeds["rigid-6"] == seeds["none"] == 3
    assert [budget.name for budget in BLUR.budgets] == ["time", "rays"]


def test_ablations_change_one_thing_each() -> None:
    base = set(ABLATIONS.contenders[0].settings)
    for contender in ABLATIONS.contenders[1:]:
        changed = {setting.split("=")[0] for setting in set(contender.settings) - base}
        if contender.name.startswith("rigid"):
            changed -= {"blur.model", "blur.motions_from"}
        assert len(changed) <= 1 or contender.name in ("no-pressure", "no-sharp-photos")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["blurr"], ["bench blurr", "blur"]),
        (["blur", "--scene", "evn"], ["--scene evn", "even"]),
        (["blur", "--model", "dynamc"], ["--model dynamc", "dynamic-6"]),
        (["blur", "--budget", "hour"], ["--budget hour", "time"]),
    ],
)
def test_a_wrong_name_is_one_line_with_the_right_ones(
    words: list[str], named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["bench", *words, "--output", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and all(name in shown for name in named)
    assert not (tmp_path / "out").exists()


def test_spreading_without_ray_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["bench", "blur", "--scene", "even", "--model", "none", "--spread"]
    assert run([*words, "--output", str(tmp_path), "--work", str(tmp_path)]) == 2
    assert "pip install 'sharpfield[ray]'" in capsys.readouterr().err
