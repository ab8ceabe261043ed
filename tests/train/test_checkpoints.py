from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from sharpfield.errors import InputError
from sharpfield.files import JSON
from sharpfield.train.checkpoints import load_checkpoint, remove_checkpoints, save_checkpoint


def tensors(value: float) -> dict[str, torch.Tensor]:
    shared = torch.full((4, 6), value)
    return {
        "field.table": shared,
        "field.transposed": shared.T,
        "field.row": shared[1],
        "mask": torch.tensor([True, False]),
        "half": torch.full((3,), value, dtype=torch.bfloat16),
        "adam.step": torch.tensor(value),
        "empty": torch.zeros(0, 3),
    }


def test_gives_back_every_bit(tmp_path: Path) -> None:
    state: dict[str, JSON] = {"seconds": 1.25, "history": [1, None, "é"], "nested": {"on": True}}
    path = save_checkpoint(tmp_path, 1234, tensors(0.1), state)
    assert path == tmp_path / "checkpoints" / "step_00001234.safetensors"
    loaded = load_checkpoint(tmp_path, {"field.row": torch.Size([6])})
    assert loaded is not None
    assert (loaded.step, loaded.state, loaded.path, loaded.warning) == (1234, state, path, None)
    assert loaded.tensors.keys() == tensors(0.1).keys()
    for name, tensor in tensors(0.1).items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor)


def test_no_checkpoint_yet(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, None) is None
    assert load_checkpoint(tmp_path / "missing", None) is None


def test_keeps_the_newest_two_by_step_number(tmp_path: Path) -> None:
    for step in (9, 10, 100, 99_999_999, 100_000_000):
        save_checkpoint(tmp_path, step, tensors(step), {})
    found = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert found == ["step_100000000.safetensors", "step_99999999.safetensors"]
    loaded = load_checkpoint(tmp_path, None)
    assert loaded is not None and loaded.step == 100_000_000


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flip_a_bit_of_a_tensor(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


def empty(data: bytes) -> bytes:
    return b""


def zeros(data: bytes) -> bytes:
    return bytes(len(data))


@pytest.mark.parametrize("damage", [cut, flip_a_bit_of_a_tensor, empty, zeros])
def test_a_damaged_checkpoint_is_replaced_by_the_one_before(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    older = save_checkpoint(tmp_path, 10, tensors(1.0), {"n": 1})
    newest = save_checkpoint(tmp_path, 20, tensors(2.0), {"n": 2})
    newest.write_bytes(damage(newest.read_bytes()))
    loaded = load_checkpoint(tmp_path, None)
    assert loaded is not None
    assert (loaded.step, loaded.path, loaded.state) == (10, older, {"n": 1})
    assert loaded.warning is not None and str(newest) in loaded.warning

    resumed = save_checkpoint(tmp_path, 15, tensors(3.0), {})
    assert sorted((tmp_path / "checkpoints").iterdir()) == [older, resumed]

    for path in (older, resumed):
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=resumed.name):
        load_checkpoint(tmp_path, None)


def test_a_failed_write_keeps_the_checkpoints_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, 1, tensors(1.0), {})
    save_checkpoint(tmp_path, 2, tensors(2.0), {})

    def full(self: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(InputError, match=r"step_00000003.*run the same command again"):
        save_checkpoint(tmp_path, 3, tensors(3.0), {})
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2
    loaded = load_checkpoint(tmp_path, None)
    assert loaded is not None and loaded.step == 2


def test_other_shapes_name_the_tensor_and_both_shapes(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, tensors(1.0), {})
    expected = {"field.row": torch.Size([6]), "field.table": torch.Size([8, 6])}
    with pytest.raises(InputError, match=r"another configuration.*field.table is \(4, 6\).*\(8, 6"):
        load_checkpoint(tmp_path, expected)
    with pytest.raises(InputError, match=r"another configuration.*blur.weights is missing"):
        load_checkpoint(tmp_path, {"blur.weights": torch.Size([2])})


def test_a_tensor_more_of_an_expected_kind_is_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, {"model/a": torch.ones(2), "model/b": torch.ones(3)}, {})
    with pytest.raises(InputError, match=r"another version .*\(model/b is not expected"):
        load_checkpoint(tmp_path, {"model/a": torch.Size([2])})


def test_copies_that_the_user_made_are_left_alone(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, tensors(1.0), {})
    copy = path.with_name("step_00000001_before.safetensors")
    copy.write_bytes(path.read_bytes())
    for step in (2, 3, 4):
        save_checkpoint(tmp_path, step, tensors(1.0), {})
    remove_checkpoints(tmp_path)
    assert list(copy.parent.iterdir()) == [copy]
    assert load_checkpoint(tmp_path) is None


def test_tensors_are_no_map_of_the_file(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, {"a": torch.zeros(1000)}, {})
    loaded = load_checkpoint(tmp_path)
    assert loaded is not None
    with path.open("r+b") as file:
        file.seek(-4000, 2)
        file.write(b"\xff" * 4000)
    assert (loaded.tensors["a"] == 0).all()


def test_random_numbers_go_on_where_they_stopped(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    torch.rand(17, generator=generator)
    save_checkpoint(tmp_path, 1, {"random": generator.get_state()}, {})
    uninterrupted = torch.rand(100, generator=generator)
    loaded = load_checkpoint(tmp_path, None)
    assert loaded is not None
    resumed = torch.Generator()
    resumed.set_state(loaded.tensors["random"])
    assert torch.equal(torch.rand(100, generator=resumed), uninterrupted)
