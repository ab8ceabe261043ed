from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sharpfield
from sharpfield.errors import InputError
from sharpfield.train.run_folder import claim_run, lock_run, read_run

CONFIG = {"blur": {"kind": "dynamic", "motions": 16}, "train": {"rate": 1e-5, "betas": (0.9, 0.99)}}
HOLD_LOCK = """
import sys
from pathlib import Path
from sharpfield.train.run_folder import lock_run
with lock_run(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_claimed_run_can_be_claimed_again_and_read(tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = claim_run(run, CONFIG, tmp_path / "scene")
    before = (run / "config.yaml").read_bytes()
    assert claim_run(run, CONFIG, tmp_path / "x" / ".." / "scene") == first == read_run(run)
    assert (run / "config.yaml").read_bytes() == before
    assert first.scene == (tmp_path / "scene").resolve()
    assert first.version == sharpfield.__version__
    assert first.config["train"] == {"rate": 1e-5, "betas": [0.9, 0.99]}


def test_another_configuration_names_the_first_key_and_both_values(tmp_path: Path) -> None:
    claim_run(tmp_path / "run", CONFIG, tmp_path)
    other = {"blur": {"kind": "dynamic", "motions": 4}, "train": {"rate": 1.0, "betas": (0.9,)}}
    with pytest.raises(InputError, match=r"blur\.motions = 16, now it is 4.*another --output"):
        claim_run(tmp_path / "run", other, tmp_path)
    fewer = {"blur": CONFIG["blur"], "train": {"rate": 1e-5}}
    with pytest.raises(InputError, match=r"train\.betas = \[0.9, 0.99\], now it is unset"):
        claim_run(tmp_path / "run", fewer, tmp_path)
    assert read_run(tmp_path / "run").config["blur"] == CONFIG["blur"]


def test_a_key_that_may_change_is_recorded(tmp_path: Path) -> None:
    claim_run(tmp_path / "run", {"train": {"steps": 10}, "seed": 1}, tmp_path)
    longer = {"train": {"steps": 20}, "seed": 1}
    claim_run(tmp_path / "run", longer, tmp_path, may_change=frozenset({"train.steps"}))
    assert read_run(tmp_path / "run").config == longer
    with pytest.raises(InputError, match=r"seed = 1, now it is 2"):
        claim_run(
            tmp_path / "run",
            {"train": {"steps": 20}, "seed": 2},
            tmp_path,
            may_change=frozenset({"train.steps"}),
        )


def test_another_scene(tmp_path: Path) -> None:
    claim_run(tmp_path / "run", CONFIG, tmp_path / "door")
    with pytest.raises(InputError, match=r"door, not .*ball; choose another --output"):
        claim_run(tmp_path / "run", CONFIG, tmp_path / "ball")


def test_a_folder_of_something_else_stays_untouched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with (
        pytest.raises(InputError, match="not empty and is no run folder"),
        lock_run(tmp_path),
    ):
        pytest.fail("locked a folder of something else")
    with pytest.raises(InputError, match="not empty and is no run folder"):
        claim_run(tmp_path, CONFIG, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(InputError, match="this is a file"), lock_run(tmp_path / "holiday.jpg"):
        pytest.fail("locked a file")


@pytest.mark.parametrize("text", ["{", "a: 1\n", "\0", "scene: x\nconfig: {}\nschema: 99\n"])
def test_a_foreign_or_damaged_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=r"config\.yaml.*choose another") as caught:
        claim_run(tmp_path, CONFIG, tmp_path)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "config.yaml").read_text() == text


def test_reading_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder"):
        read_run(tmp_path / "missing")
    with pytest.raises(InputError, match="not a run folder"):
        read_run(tmp_path)


def test_a_second_trainer_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    run = tmp_path / "run"
    claim_run(run, CONFIG, tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(run)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(sharpfield.__file__).parents[1])},
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"locked\n"
        with pytest.raises(InputError, match="another training is using"), lock_run(run):
            pytest.fail("locked twice")
        first.kill()
        first.wait()
    with lock_run(run), pytest.raises(InputError, match="another training"), lock_run(run):
        pytest.fail("locked twice in one process")
    assert read_run(run).scene == tmp_path.resolve()


def test_a_failure_before_the_claim_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyError), lock_run(tmp_path / "new"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with lock_run(tmp_path / "new"):
        claim_run(tmp_path / "new", CONFIG, tmp_path)
    assert (tmp_path / "new" / "config.yaml").is_file()
