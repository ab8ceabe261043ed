from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

import sharpfield
from sharpfield.errors import InputError
from sharpfield.files import JSON
from sharpfield.train.run_folder import claim_run, lock_run, read_run

CONFIG = {"blur": {"kind": "dynamic", "motions": 16}, "train": {"rate": 1e-5, "betas": (0.9, 0.99)}}
PHOTOS = [f"{i}.png" for i in range(9)]
CONTENT: dict[str, JSON] = {"photos": PHOTOS, "held-out photos": ["0.png"], "poses": "1f"}
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
    first = claim_run(run, CONFIG, tmp_path / "scene", CONTENT)
    before, scene = (run / "config.yaml").read_bytes(), tmp_path / "x" / ".." / "scene"
    assert claim_run(run, CONFIG, scene, CONTENT) == first == read_run(run)
    assert (run / "config.yaml").read_bytes() == before
    assert first.scene == (tmp_path / "scene").resolve()
    assert first.version == sharpfield.__version__
    assert first.config["train"] == {"rate": 1e-5, "betas": [0.9, 0.99]}


def test_another_configuration_names_the_first_key_and_both_values(tmp_path: Path) -> None:
    claim_run(tmp_path / "run", CONFIG, tmp_path, CONTENT)
    other = {"blur": {"kind": "dynamic", "motions": 4}, "train": {"rate": 1.0, "betas": (0.9,)}}
    with pytest.raises(InputError, match=r"blur\.motions = 16, now it is 4.*another --output"):
        claim_run(tmp_path / "run", other, tmp_path, CONTENT)
    fewer = {"blur": CONFIG["blur"], "train": {"rate": 1e-5}}
    with pytest.raises(InputError, match=r"train\.betas = \[0.9, 0.99\], now it is unset"):
        claim_run(tmp_path / "run", fewer, tmp_path, CONTENT)
    assert read_run(tmp_path / "run").config["blur"] == CONFIG["blur"]


def test_a_run_of_another_version_is_told_by_what_only_one_of_them_has(tmp_path: Path) -> None:
    """Not by a default that changed, which one would try to set back."""
    claim_run(tmp_path / "run", {"every": 4, "every_hard": 12}, tmp_path, CONTENT)
    with pytest.raises(InputError, match=r"every_hard = 12, now it is unset.*another version"):
        claim_run(tmp_path / "run", {"every": 12}, tmp_path, CONTENT)


def test_a_key_that_may_change_is_recorded(tmp_path: Path) -> None:
    claim_run(tmp_path / "run", {"train": {"steps": 10}, "seed": 1}, tmp_path, CONTENT)
    longer = {"train": {"steps": 20}, "seed": 1}
    claim_run(tmp_path / "run", longer, tmp_path, CONTENT, may_change=frozenset({"train.steps"}))
    assert read_run(tmp_path / "run").config == longer
    with pytest.raises(InputError, match=r"seed = 1, now it is 2"):
        claim_run(
            tmp_path / "run",
            {"train": {"steps": 20}, "seed": 2},
            tmp_path,
            CONTENT,
            may_change=frozenset({"train.steps"}),
        )


@pytest.mark.parametrize(("exists", "content"), [(True, CONTENT), (False, {})])
def test_another_scene(tmp_path: Path, exists: bool, content: dict[str, JSON]) -> None:
    if exists:
        (tmp_path / "door").mkdir()
    claim_run(tmp_path / "run", CONFIG, tmp_path / "door", content)
    with pytest.raises(InputError, match=r"door, not .*ball; choose another --output"):
        claim_run(tmp_path / "run", CONFIG, tmp_path / "ball", CONTENT)


def test_a_scene_that_was_moved_must_be_the_same(tmp_path: Path) -> None:
    claim_run(tmp_path / "run", CONFIG, tmp_path / "gone", CONTENT)
    with pytest.raises(InputError, match="poses changed"):
        claim_run(tmp_path / "run", CONFIG, tmp_path / "here", {**CONTENT, "poses": "2e"})
    claim_run(tmp_path / "run", CONFIG, tmp_path / "here", CONTENT)
    assert read_run(tmp_path / "run").scene == (tmp_path / "here").resolve()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("held-out photos", ["0.png", "4.png"], "held-out photos now with 4.png; restore it"),
        ("held-out photos", [], "held-out photos now without 0.png; restore it"),
        ("photos", ["9.png"], "now without 0.png, 1.png, 2.png ... and with 9.png; restore it"),
        ("photos", PHOTOS[::-1], "photos now in another order"),
        ("poses", "2e", "poses changed from 1f to 2e"),
    ],
)
def test_a_scene_that_is_no_longer_the_same(
    tmp_path: Path, key: str, value: str | list[str], says: str
) -> None:
    claim_run(tmp_path / "run", CONFIG, tmp_path, CONTENT)
    with pytest.raises(InputError, match=re.escape(says)):
        claim_run(tmp_path / "run", CONFIG, tmp_path, {**CONTENT, key: value})
    assert read_run(tmp_path / "run").scene_content == CONTENT


def test_a_run_that_did_not_record_its_scene_goes_on_and_does_so(tmp_path: Path) -> None:
    claim_run(tmp_path / "run", CONFIG, tmp_path, {})
    claim_run(tmp_path / "run", CONFIG, tmp_path, CONTENT)
    assert read_run(tmp_path / "run").scene_content == CONTENT


def test_a_folder_of_something_else_stays_untouched(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with (
        pytest.raises(InputError, match="not empty and is no run folder"),
        lock_run(tmp_path),
    ):
        pytest.fail("locked a folder of something else")
    with pytest.raises(InputError, match="not empty and is no run folder"):
        claim_run(tmp_path, CONFIG, tmp_path, CONTENT)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
    with pytest.raises(InputError, match="this is a file"), lock_run(tmp_path / "holiday.jpg"):
        pytest.fail("locked a file")


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "a: 1\n",
        "\0",
        "scene: x\nconfig: {}\nschema: 99\n",
        "scene: 3\nconfig: {}\nschema: 1\n",
    ],
)
def test_a_foreign_or_damaged_record(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=r"config\.yaml.*choose another") as caught:
        claim_run(tmp_path, CONFIG, tmp_path, CONTENT)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "config.yaml").read_text() == text


def test_reading_what_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder"):
        read_run(tmp_path / "missing")
    with pytest.raises(InputError, match="not a run folder"):
        read_run(tmp_path)
    with pytest.raises(InputError, match="no such run folder"):
        read_run(tmp_path / ("x" * 300))


def test_a_name_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too long"), lock_run(tmp_path / ("x" * 300)):
        pytest.fail("locked what cannot be")


def test_a_second_trainer_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    run = tmp_path / "run"
    claim_run(run, CONFIG, tmp_path, CONTENT)
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
        claim_run(tmp_path / "new", CONFIG, tmp_path, CONTENT)
    assert (tmp_path / "new" / "config.yaml").is_file()


def test_a_lock_that_only_its_release_removes_leaves_no_folder_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where nobody removes an open file."""
    remove = Path.unlink
    held: list[str] = []

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if held:
            raise PermissionError(path)
        remove(path, missing_ok)

    def release(lock: FileLock) -> None:
        held.clear()
        remove(Path(lock.lock_file), missing_ok=True)

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(FileLock, "release", release)
    with lock_run(tmp_path / "new"):
        held.append("the lock")
    assert list(tmp_path.iterdir()) == []
