from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from sharpfield.bench.bench import Results, cores_of_each, run_missing, spread_by_ray
from sharpfield.bench.code_digest import code_digest
from sharpfield.bench.pictures import PictureFolder, write_sheet
from sharpfield.bench.rows import NEEDED, Row
from sharpfield.bench.runner import Outcome, Place, run_row
from sharpfield.bench.suite import BenchScene, Budget, Contender, RowKey, Suite
from sharpfield.bench.turns import train_in_turns
from sharpfield.errors import InputError
from sharpfield.presets import BLURS
from sharpfield.scene.toy import ToySettings, make_toy_scene

TINY = ToySettings(width=48, height=32, views=5, hold=4, exposures=33)
SUITE = Suite(
    "tiny",
    "Tiny scenes",
    "For tests.",
    "fast",
    (
        "train.time_budget=0",
        "train.samples=2048",
        "train.log_every=5",
        "hashgrid.levels=3",
        "hashgrid.log2_entries=9",
        "render.grid=16",
        "render.steps=16",
        "blur.motions=3",
    ),
    (
        BenchScene("one", "the first", TINY),
        BenchScene("two", "the second", ToySettings(**{**vars(TINY), "seed": 5})),
    ),
    (
        Contender("dynamic", BLURS["dynamic"], seeds=2),
        Contender("none", BLURS["none"]),
        Contender("wild", (*BLURS["none"], "train.table_rate=1e38", "train.head_rate=1e38")),
    ),
    (
        Budget("steps", ("train.steps=10",), "10 steps"),
        Budget("rays", ("train.ray_budget=1000",), "1000 rays"),
    ),
)


def execute_without_training(
    psnr: dict[str, float],
) -> tuple[list[RowKey], object]:
    """An executor that gives every blur model its PSNR, and the keys that it was asked for."""
    asked: list[RowKey] = []

    def execute(
        suite: Suite, keys: Sequence[RowKey], place: Place
    ) -> Iterator[tuple[RowKey, Outcome]]:
        for key in keys:
            asked.append(key)
            yield key, Outcome(numbers(psnr[key.contender] + key.seed, key.seed), {})

    return asked, execute


in_turns = partial(train_in_turns, tell=lambda key, share: None)


def numbers(psnr: float, seed: int = 0) -> dict[str, object]:
    return {
        "protocol": {"name": "standard"},
        "mean": {"psnr": psnr, "ssim": 0.5, "lpips": None, "flip": 0.1},
        "rays_per_pixel": 2.0,
        "training_seconds": 3.0,
        "samples_per_second": 1e6,
        "peak_memory_bytes": 2**20,
        "seed": seed,
        "machine": "a test",
    }


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "results", tmp_path / "tiles", (SUITE,))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "work", tmp_path, torch.device("cpu"))


def table(results: Results) -> str:
    return (results.folder / "RESULTS.md").read_text()


def test_every_model_gets_its_seeds_and_rivals_stand_side_by_side() -> None:
    keys = SUITE.select(budgets=["steps"])
    assert len(keys) == 2 * (2 + 1 + 1)
    assert [key.contender for key in keys[:3]] == ["dynamic", "none", "wild"]
    assert len({key.scene for key in keys[:3]}) == 1
    assert len(SUITE.select(contenders=["none"], seeds=[3, 4])) == 2 * 2 * 2


def test_an_unknown_name_is_told_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"--scene three: .* one, two"):
        SUITE.select(scenes=["three"])


def test_real_rows_their_pictures_and_a_diverging_one(results: Results, place: Place) -> None:
    keys = SUITE.select(scenes=["one"], seeds=[0])
    told: list[Row] = []
    run_missing(SUITE, keys, place, results, in_turns, told.append)
    failed = {row.key.contender for row in told if row.failure}
    assert failed == {"wild"} and len(told) == 6
    assert "diverged" in table(results) and "(1 failed)" in table(results)
    rows = {(r.key.contender, r.key.budget): r.numbers for r in told if not r.failure}
    assert rows["dynamic", "steps"]["rays_per_pixel"] > rows["none", "steps"]["rays_per_pixel"] == 1
    assert rows["none", "steps"]["step"] == 10
    assert rows["none", "rays"]["mean"]["psnr"] > 5
    assert (results.folder / "pictures" / "tiny" / "one-steps.png").stat().st_size > 1000
    assert not list((place.work / "runs").rglob("*.safetensors"))
    assert results.missing(SUITE, keys) == []


def test_the_same_number_of_rays_is_the_same_number_of_rays(results: Results, place: Place) -> None:
    keys = SUITE.select(["one"], ["none", "dynamic"], ["rays"], [0])
    outcomes = dict(in_turns(SUITE, keys, place))
    steps = {key.contender: outcome.numbers["step"] for key, outcome in outcomes.items()}
    rays = {key.contender: outcome.numbers["rays"] for key, outcome in outcomes.items()}
    for name in steps:
        assert 1000 <= rays[name] < 1000 + 2 * rays[name] / steps[name]


def test_rows_take_turns_and_come_out_as_if_they_were_alone(place: Place) -> None:
    keys = SUITE.select(["one"], ["dynamic", "none"], ["steps"], [0])
    told: list[tuple[RowKey, float]] = []
    together = dict(train_in_turns(SUITE, keys, place, lambda *turn: told.append(turn), 0.0))
    assert told == [(key, step / 10) for step in range(1, 11) for key in keys]
    for key in keys:
        alone = run_row(SUITE, key, place).numbers
        assert alone["mean"] == together[key].numbers["mean"]
        assert alone["rays"] == together[key].numbers["rays"]
        assert together[key].numbers["code"] == code_digest()


def test_rows_name_the_code_that_they_were_started_with(place: Place) -> None:
    (key,) = SUITE.select(["one"], ["none"], ["steps"], [0])
    started = replace(place, code="0123abcd")
    assert dict(in_turns(SUITE, [key], started))[key].numbers["code"] == "0123abcd"


def test_a_row_whose_process_dies_fails_and_the_others_go_on(place: Place) -> None:
    keys = SUITE.select(["one"], ["dynamic", "none"], ["steps"], [0])

    def kill(key: RowKey, share: float) -> None:
        if key == keys[0] and share == 0.5:
            first = min(
                multiprocessing.active_children(), key=lambda each: int(each.name.split("-")[1])
            )
            first.kill()

    outcomes = dict(train_in_turns(SUITE, keys, place, kill, 0.0))
    assert [outcomes[key].failure for key in keys] == ["its process died", None]
    assert not outcomes[keys[0]].lasting


INTERRUPTED = """
import signal, sys, torch
signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background ignores it
from dataclasses import replace
from pathlib import Path
from sharpfield.bench.runner import Place
from sharpfield.bench.suite import Budget
from sharpfield.bench.turns import train_in_turns
from tests.bench.test_bench import SUITE
folder = Path(sys.argv[1])
suite = replace(SUITE, budgets=(Budget("long", ("train.steps=1000000",), "days"),))
keys = suite.select(["one"], ["dynamic", "none"], seeds=[0])
place = Place(folder, folder, torch.device("cpu"))
try:
    tell = lambda key, share: print(share, flush=True)
    for row in train_in_turns(suite, keys, place, tell, 0.0):
        raise SystemExit(str(row))
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_ctrl_c_ends_the_processes_of_all_rows_without_a_word(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=root, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for _ in range(2):  # one turn of either row
            assert process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        complaints = process.communicate(timeout=60)[1]
    assert process.returncode == 130, complaints
    assert "Traceback" not in complaints


def test_only_training_that_diverged_is_not_tried_again(place: Place) -> None:
    (wild,) = SUITE.select(["one"], ["wild"], ["steps"], [0])
    (calm,) = SUITE.select(["one"], ["none"], ["steps"], [0])
    assert run_row(SUITE, wild, place).lasting
    folder = (place.work / "runs" / calm.path).with_suffix("")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("a file where a folder is needed")
    outcome = run_row(SUITE, calm, place)
    assert outcome.failure is not None and not outcome.lasting


def test_names_given_twice_are_one_row() -> None:
    assert len(SUITE.select(["one"] * 2, ["none"] * 2, ["steps"] * 2, [0, 0])) == 1


def test_a_scene_that_holds_nothing_out_fails_in_words(place: Place) -> None:
    suite = replace(SUITE, scenes=(BenchScene("bare", "a real one", Path("bare")),))
    make_toy_scene(place.data / "bare", TINY)
    (place.data / "bare" / f"hold={TINY.hold}").unlink()
    (key,) = suite.select(["bare"], ["none"], ["steps"], [0])
    outcome = run_row(suite, key, place)
    assert outcome.failure is not None and "no view is held out" in outcome.failure


def test_rows_that_are_there_are_not_trained_again(results: Results, place: Place) -> None:
    asked, execute = execute_without_training({"dynamic": 30.0, "none": 20.0, "wild": 10.0})
    run_missing(SUITE, SUITE.select(scenes=["one"]), place, results, execute, lambda row: None)  # type: ignore[arg-type]
    assert len(asked) == 8
    run_missing(SUITE, SUITE.select(), place, results, execute, lambda row: None)  # type: ignore[arg-type]
    assert len(asked) == 16
    assert {key.scene for key in asked[8:]} == {"two"}


def test_the_table_has_means_spreads_winner_and_verdict(results: Results, place: Place) -> None:
    _, execute = execute_without_training({"dynamic": 30.0, "none": 31.0, "wild": 10.0})
    run_missing(SUITE, SUITE.select(), place, results, execute, lambda row: None)  # type: ignore[arg-type]
    text = table(results)
    assert "| dynamic | 30.50 ± 0.71 | 30.50 ± 0.71 | 30.50 |" in text
    assert "| none | **31.00** | **31.00** | 31.00 |" in text
    assert "first in 0 of 2 scenes; furthest behind in one, -1.00 dB to none" in text


def test_variants_of_our_model_are_no_rivals(results: Results, place: Place) -> None:
    contenders = (
        *SUITE.contenders[:2],
        Contender("no-lens", (*BLURS["dynamic"], "blur.motions_from=path")),
    )
    suite = replace(SUITE, contenders=contenders)
    _, execute = execute_without_training({"dynamic": 30.0, "none": 20.0, "no-lens": 35.0})
    results = replace(results, suites=(suite,))
    run_missing(suite, suite.select(), place, results, execute, lambda row: None)  # type: ignore[arg-type]
    assert "`dynamic` is first in 2 of 2 scenes" in table(results)


def test_the_table_says_which_code_made_how_many_rows(results: Results, place: Place) -> None:
    keys = SUITE.select(contenders=["dynamic", "none"], budgets=["steps"], seeds=[0])
    for key, code in zip(keys, ["aaaa", "aaaa", "bbbb", None], strict=True):
        known = {} if code is None else {"code": code}
        results.keep(SUITE, key, Outcome({**numbers(30.0), **known}, {}))
    results.write_tables(SUITE)
    assert "Code: aaaa (2 rows), bbbb (1 rows), unknown (1 rows)." in table(results)


def test_the_digest_of_the_code_knows_statements_from_words(tmp_path: Path) -> None:
    def digest(name: str, **modules: str) -> str:
        for module, text in modules.items():
            path = tmp_path / name / f"{module.replace('_', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return code_digest(tmp_path / name)

    first = digest("a", blur_gate='"""Gates."""\nWIDTH = 3  # ranks\n', cli_app="x = 1\n")
    assert digest("b", blur_gate="WIDTH = 3\n", cli_app="x = 2\n") == first
    assert digest("c", blur_gate="WIDTH = 4\n", cli_app="x = 1\n") != first
    assert digest("d", blur_door="WIDTH = 3\n", cli_app="x = 1\n") != first


def test_machines_of_a_cluster_must_be_alike() -> None:
    assert cores_of_each([{"CPU": 8.0}, {"memory": 1e9}, {"CPU": 8.0}]) == 8.0
    with pytest.raises(InputError, match="have 8 and 16 cores"):
        cores_of_each([{"CPU": 16.0}, {"CPU": 8.0}])
    with pytest.raises(InputError, match="have no cores"):
        cores_of_each([{"CPU": 0.0}])


class RayError(Exception):
    """As Ray's own."""


class OneMachine(ModuleType):
    """What is used of Ray, on a cluster of one machine that loses the rows of ``lost``."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, lost: str) -> None:
        super().__init__("ray")
        self.lost = lost

    def init(self, **options: object) -> None: ...

    def nodes(self) -> list[dict[str, object]]:
        return [{"Alive": True, "Resources": {"CPU": 2.0}}, {"Alive": False, "Resources": {}}]

    def remote(self, **options: object) -> Callable[[Callable[..., Outcome]], SimpleNamespace]:
        assert options["num_cpus"] == 2.0
        return lambda function: SimpleNamespace(remote=partial(partial, function))

    def wait(self, tasks: list[object], num_returns: int) -> tuple[list[object], list[object]]:
        return tasks[:num_returns], tasks[num_returns:]

    def get(self, task: partial[Outcome]) -> Outcome:
        if task.args[1].contender == self.lost:
            raise RayError("a long story\nthe node died")
        return task()


def test_rows_spread_by_ray_come_back_or_say_why_not(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", OneMachine(lost="wild"))
    keys = SUITE.select(["one"], ["none", "wild"], ["steps"], [0])
    outcomes = {key.contender: outcome for key, outcome in spread_by_ray(SUITE, keys, place)}
    assert outcomes["none"].numbers["step"] == 10
    assert outcomes["wild"].failure == "the machine failed: the node died"
    assert not outcomes["wild"].lasting


def test_a_map_of_one_size_counts_as_no_correlation(results: Results, place: Place) -> None:
    def execute(
        suite: Suite, keys: Sequence[RowKey], place: Place
    ) -> Iterator[tuple[RowKey, Outcome]]:
        for key in keys:
            found = {"dynamic": 0.8 if key.scene == "one" else None}.get(key.contender)
            size: dict[str, object] = {"spearman": found, "views": []}
            yield key, Outcome({**numbers(30.0), "kernel_size": size}, {})

    keys = SUITE.select(contenders=["dynamic", "none"], budgets=["steps"], seeds=[0])
    run_missing(SUITE, keys, place, results, execute, lambda row: None)
    column = {line.split(" | ")[0]: line.split(" | ") for line in table(results).splitlines()}
    place_in_line = column["| blur model"].index("Spearman")
    assert column["| dynamic"][place_in_line] == "0.40"
    assert column["| none"][place_in_line] == "-"


def test_rows_are_scored_by_the_protocol_of_their_suite(place: Place) -> None:
    suite = replace(SUITE, protocol="paper")
    key = suite.select(scenes=["one"], contenders=["none"], budgets=["steps"])[0]
    assert run_row(suite, key, place).numbers["protocol"]["name"] == "paper"


def test_ssim_by_another_protocol_has_its_own_column(results: Results) -> None:
    suite = replace(SUITE, scenes=SUITE.scenes[:1])
    results = Results(results.folder, results.tiles, (suite,))
    for key in suite.select(contenders=["dynamic", "none"], budgets=["steps"], seeds=[0]):
        ours = {"name": "paper" if key.contender == "dynamic" else "standard"}
        results.keep(suite, key, Outcome({**numbers(30.0), "protocol": ours}, {}))
    results.write_tables(suite)
    assert "| PSNR | SSIM | SSIM as published | FLIP |" in table(results)
    assert "| dynamic | 1 | 30.00 | - | 0.500 |" in table(results)
    assert "| none | 1 | 30.00 | 0.500 | - |" in table(results)


def test_means_are_taken_over_scenes_that_everybody_has(results: Results, place: Place) -> None:
    _, execute = execute_without_training({"dynamic": 30.0, "none": 20.0, "wild": 10.0})
    keys = [key for key in SUITE.select() if (key.scene, key.contender) != ("two", "none")]
    run_missing(SUITE, keys, place, results, execute, lambda row: None)  # type: ignore[arg-type]
    assert "| none | 20.00 | - | - |" in table(results)
    assert "| dynamic | 2 | 30.50 |" in table(results) and "| none | 1 | 20.00 |" in table(results)


def test_a_row_of_other_settings_is_not_this_row(results: Results, place: Place) -> None:
    key = SUITE.select()[0]
    results.keep(SUITE, key, Outcome(numbers(30.0), {}))
    path = results.folder / "rows" / key.path
    content = json.loads(path.read_text())
    content["recipe"]["settings"][0] = "train.time_budget=1"
    path.write_text(json.dumps(content))
    assert results.missing(SUITE, [key]) == [key]


@pytest.mark.parametrize("missing", sorted(NEEDED))
def test_a_row_that_lacks_a_number_is_damaged(results: Results, missing: str) -> None:
    key, other = SUITE.select()[:2]
    for each in (key, other):
        results.keep(SUITE, each, Outcome(numbers(30.0), {}))
    path = results.folder / "rows" / key.path
    content = json.loads(path.read_text())
    del content[missing]
    path.write_text(json.dumps(content))
    results.write_tables(SUITE)
    assert f"{path.name} is damaged; remove it" in table(results)


def test_a_suite_of_one_scene_has_a_line_for_a_model_that_failed(results: Results) -> None:
    suite = replace(SUITE, scenes=SUITE.scenes[:1])
    results = Results(results.folder, results.tiles, (suite,))
    for key in suite.select(contenders=["dynamic", "wild"], budgets=["steps"], seeds=[0]):
        failure = "training diverged" if key.contender == "wild" else None
        results.keep(suite, key, Outcome(numbers(30.0), {}, failure, lasting=True))
    results.write_tables(suite)
    assert "| wild | 0 | - (1 failed) | - |" in table(results)
    assert "| dynamic | 1 | 30.00 | 0.500 |" in table(results)


def test_a_damaged_picture_is_left_out(results: Results) -> None:
    key = SUITE.select()[0]
    path = results.tiles / key.path.with_suffix("") / "render.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no picture")
    assert PictureFolder(results.tiles).read(key, "render") is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", "3"])
def test_a_damaged_row_says_so_in_the_table(results: Results, place: Place, text: str) -> None:
    key = SUITE.select()[0]
    path = results.folder / "rows" / key.path
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert results.missing(SUITE, [key]) == []
    results.write_tables(SUITE)
    assert f"{path.name} is damaged; remove it" in table(results)


def test_a_scene_of_another_version_fails_its_rows_and_the_table_goes_on(
    results: Results, place: Place
) -> None:
    truth = place.work / "scenes" / "one" / "truth"
    truth.mkdir(parents=True)
    (truth / "settings.json").write_text("{}")
    keys = SUITE.select(contenders=["none"], budgets=["steps"])
    told: list[Row] = []
    run_missing(SUITE, keys, place, results, in_turns, told.append)
    assert [row.failure is None for row in told] == [False, True]
    assert str(place.work / "scenes" / "one") in table(results)
    assert results.missing(SUITE, keys) == keys[:1], "after the folder is gone, it is trained"


def test_a_missing_real_scene_says_where_it_is_looked_for(tmp_path: Path) -> None:
    scene = BenchScene("real", "", Path("nowhere"))
    with pytest.raises(InputError, match=r"nowhere: no such scene; .*--data"):
        scene.prepare(tmp_path, tmp_path)


def test_pictures_of_a_row_come_back(results: Results, place: Place) -> None:
    folder = PictureFolder(results.tiles)
    picture = np.random.default_rng(0).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    key = SUITE.select()[0]
    folder.write(key, {"render": picture})
    read = folder.read(key, "render")
    assert read is not None and np.array_equal(read, picture)
    assert folder.read(key, "truth") is None


def test_a_sheet_shows_the_photo_where_the_truth_is_unknown(
    results: Results, tmp_path: Path
) -> None:
    def painted(colour: tuple[int, int, int]) -> np.ndarray:
        return np.broadcast_to(np.array(colour, np.uint8), (20, 30, 3))

    def green(sheet: Path) -> int:
        pixels = np.asarray(Image.open(sheet).convert("RGB")).reshape(-1, 3)
        return int((pixels == (0, 255, 0)).all(1).sum())

    folder = PictureFolder(results.tiles)
    key = SUITE.select()[0]
    rows = [Row(key, {"mean": {"psnr": 20.0}})]
    write_sheet(rows, folder, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
    gray = painted((90, 90, 90))
    folder.write(key, {"restored": gray, "size": gray, "blurry": painted((0, 255, 0))})
    write_sheet(rows, folder, tmp_path / "real.png")
    folder.write(key, {"sharp": gray})
    write_sheet(rows, folder, tmp_path / "synthetic.png")
    assert 1.8 < green(tmp_path / "real.png") / green(tmp_path / "synthetic.png") < 2.2


def test_a_sheet_is_not_replaced_by_one_with_holes(results: Results, tmp_path: Path) -> None:
    folder, sheet = PictureFolder(results.tiles), tmp_path / "sheet.png"
    here, elsewhere = SUITE.select()[:2]
    rows = [Row(key, {"mean": {"psnr": 20.0}}) for key in (elsewhere, here)]
    folder.write(here, {"render": np.zeros((8, 12, 3), np.uint8)})
    sheet.write_bytes(b"complete")
    write_sheet(rows, folder, sheet)
    assert sheet.read_bytes() == b"complete"
    folder.write(elsewhere, {"render": np.zeros((8, 12, 3), np.uint8)})
    write_sheet(rows, folder, sheet)
    assert sheet.read_bytes() != b"complete"
