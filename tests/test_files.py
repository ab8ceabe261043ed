from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sharpfield.errors import InputError
from sharpfield.files import replacing, write_bytes, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_into_new_folders_and_leaves_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "text.txt"
    write_text(target, "größer")
    write_text(target, "kleiner")
    assert target.read_text(encoding="utf-8") == "kleiner"
    assert names(target.parent) == ["text.txt"]


def test_json_is_valid_for_every_reader(tmp_path: Path) -> None:
    target = tmp_path / "m.json"
    write_json(
        target,
        {"psnr": float("inf"), "nan": np.float32("nan"), "n": np.int64(3), "t": (1.5, tmp_path)},
    )
    found = json.loads(target.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert found == {"psnr": None, "nan": None, "n": 3, "t": [1.5, str(tmp_path)]}


def test_json_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object"):
        write_json(tmp_path / "m.json", {"x": object()})
    assert names(tmp_path) == []


def test_temporary_path_keeps_the_suffix_and_the_folder(tmp_path: Path) -> None:
    with replacing(tmp_path / "video.mp4") as temporary:
        assert temporary.suffix == ".mp4"
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"x")


@pytest.mark.parametrize("raised", [RuntimeError("boom"), KeyboardInterrupt()])
def test_a_failed_block_keeps_the_old_file(tmp_path: Path, raised: BaseException) -> None:
    target = tmp_path / "x.bin"
    target.write_bytes(b"old")
    with pytest.raises(type(raised)), replacing(target) as temporary:
        temporary.write_bytes(b"half")
        raise raised
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["x.bin"]


def fill_a_disk() -> None:
    with open("/dev/full", "wb") as full:
        full.write(b"x")


def fill_a_disk_inside_a_library() -> None:
    try:
        fill_a_disk()
    except OSError as error:
        raise RuntimeError("the encoder stopped") from error


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full of Linux")
@pytest.mark.parametrize("fill", [fill_a_disk, fill_a_disk_inside_a_library])
def test_a_full_disk_names_the_path_and_the_next_step(
    tmp_path: Path, fill: Callable[[], None]
) -> None:
    target = tmp_path / "x.bin"
    target.write_bytes(b"old")
    with pytest.raises(InputError) as caught, replacing(target) as temporary:
        temporary.write_bytes(b"half")
        fill()
    message = str(caught.value)
    assert str(target) in message and "free some space and run the same command again" in message
    assert "\n" not in message
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["x.bin"]


def test_a_write_cut_short_by_the_system_leaves_nothing(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(InputError, match="no space left"):
            write_bytes(tmp_path / "big.bin", bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names(tmp_path) == []


def test_a_file_in_place_of_a_folder_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="choose another output folder"):
        write_text(tmp_path / "file" / "inner.txt", "x")
    with pytest.raises(InputError, match="choose another output folder"):
        write_text(tmp_path / "file" / "deeper" / "inner.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="a folder stands where this file is needed"):
        write_text(tmp_path / "folder", "x")


def test_an_unrelated_error_passes_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "x.bin"):
        (tmp_path / "elsewhere" / "missing.txt").read_text()
