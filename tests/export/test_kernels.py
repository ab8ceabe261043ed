from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from tests.fake_run import RunMaker

from sharpfield.errors import InputError
from sharpfield.evaluate.images import to_8bit
from sharpfield.export.camera_path import read_path
from sharpfield.export.coordinates import transform_poses
from sharpfield.export.kernels import export_kernels


def similarity() -> np.ndarray:
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = 2.5 * turn, [1, 2, 3]
    return matrix


def test_the_folder_holds_what_the_design_lists(make_run: RunMaker) -> None:
    run = make_run()
    folder = export_kernels(run)
    stems = ["photo0", "photo1", "photo2"]
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    endings = (".npy", ".png", "_overlay.png")
    expected = {f"{m}/{stem}{end}" for m in ("size", "extent") for stem in stems for end in endings}
    numbered = [f"{stem}_{k}.png" for stem in stems for k in range(4)]
    expected |= {f"{kind}/{name}" for kind in ("masks", "warped") for name in numbered}
    assert files == expected | {"poses.npy", "poses.json"}
    size = np.load(folder / "size" / "photo2.npy")
    assert size.dtype == np.float32 and size.shape == (31, 40)
    np.testing.assert_array_equal(size, run.kernel_size(2))
    extent = np.load(folder / "extent" / "photo2.npy")
    assert extent.dtype == np.float32
    np.testing.assert_array_equal(extent, run.kernel_extent(2))


def test_masks_and_warped_views_show_their_motion(make_run: RunMaker) -> None:
    run = make_run()
    folder = export_kernels(run)
    mask = np.asarray(Image.open(folder / "masks" / "photo2_2.png"))
    assert mask.shape == (31, 40) and mask[:, :20].min() == 255 and mask[:, 20:].max() == 0
    warped = np.asarray(Image.open(folder / "warped" / "photo1_2.png"))
    pose = run.motion_poses(1)[2]
    np.testing.assert_array_equal(
        warped, to_8bit(run.render(run.scene.views[1].camera, pose).colour)
    )
    assert (warped != np.asarray(Image.open(folder / "warped" / "photo1_0.png"))).any()


@pytest.mark.parametrize("kind", ["size", "extent"])
def test_a_map_has_a_legend_and_one_scale_for_all_photos(make_run: RunMaker, kind: str) -> None:
    folder = export_kernels(make_run())
    first = np.asarray(Image.open(folder / kind / "photo0.png"))
    last = np.asarray(Image.open(folder / kind / "photo2.png"))
    assert first.shape[0] > 31 and first.shape[1] == 40
    np.testing.assert_array_equal(first[31:], last[31:])
    np.testing.assert_array_equal(first[:31, 20:], last[:31, 20:])
    assert (first[:31, :20] != last[:31, :20]).any(axis=-1).all()


def test_poses_are_in_input_coordinates(make_run: RunMaker) -> None:
    run = make_run(from_input=similarity())
    folder = export_kernels(run)
    poses = np.load(folder / "poses.npy")
    assert poses.shape == (3, 4, 3, 4)
    back = transform_poses(poses, similarity())
    np.testing.assert_allclose(back, [run.motion_poses(i) for i in range(3)], atol=1e-6)
    axes = poses[..., :3]
    identity = np.broadcast_to(np.eye(3), axes.shape)
    np.testing.assert_allclose(axes.swapaxes(-1, -2) @ axes, identity, atol=1e-12)
    described = json.loads((folder / "poses.json").read_text())
    assert [view["name"] for view in described["views"]] == [f"photo{i}.png" for i in range(3)]
    np.testing.assert_array_equal([view["poses"] for view in described["views"]], poses)
    assert sum(described["views"][0]["weights"]) == pytest.approx(1.0)


def test_exported_poses_can_be_rendered_as_a_path(make_run: RunMaker) -> None:
    run = make_run(from_input=similarity())
    folder = export_kernels(run)
    views = json.loads((folder / "poses.json").read_text())["views"]
    path = folder / "path.json"
    path.write_text(json.dumps(views[1]))
    np.testing.assert_array_equal(read_path(path), np.load(folder / "poses.npy")[1])


def test_a_run_without_kernels_says_so(make_run: RunMaker) -> None:
    run = make_run(motions=1, model="none")
    with pytest.raises(InputError, match="--blur dynamic"):
        export_kernels(run)
    assert not (run.folder / "kernels").exists()
