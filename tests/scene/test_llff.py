from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image
from scipy.spatial.transform import Rotation

from sharpfield.errors import InputError
from sharpfield.geometry.poses import average_pose, llff_to_opengl
from sharpfield.scene.llff import read_llff, write_llff
from sharpfield.scene.photo_tags import NO_TAGS, read_tags
from sharpfield.scene.scene import Camera, Scene

BLURBALL = Path(__file__).parents[3] / "shared" / "data" / "blurball"
needs_blurball = pytest.mark.skipif(
    not BLURBALL.is_dir(), reason=f"the real scene blurball is not at {BLURBALL}"
)
COUNT = 9
CAMERA = Camera(48, 32, 50.0, 50.0, 24.0, 16.0)


def photos(count: int = COUNT) -> list[np.ndarray]:
    random = np.random.default_rng(3)
    return [random.integers(0, 256, (32, 48, 3), dtype=np.uint8) for _ in range(count)]


def world_poses(count: int = COUNT) -> np.ndarray:
    random = np.random.default_rng(4)
    turn = Rotation.from_rotvec([0.3, 1.0, -0.4])
    rotations = (turn * Rotation.from_rotvec(random.normal(0, 0.1, (count, 3)))).as_matrix()
    centres = random.normal([5.0, -3.0, 2.0], 0.4, (count, 3))
    return np.concatenate([rotations, centres[:, :, None]], axis=-1)


def write(root: Path, count: int = COUNT, hold: int = 4, folder: str = "images_1") -> Path:
    write_llff(
        root,
        photos(count),
        [f"{i:03d}.png" for i in range(count)],
        world_poses(count),
        CAMERA,
        near=np.linspace(2.0, 3.0, count),
        far=np.linspace(9.0, 8.0, count),
        hold=hold,
        folder=folder,
    )
    return root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SHARPFIELD_CACHE", str(tmp_path / "cache"))
    return write(tmp_path / "scene")


def fail(root: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_llff(root, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def change_table(root: Path, change: Callable[[np.ndarray], np.ndarray | None]) -> None:
    table = np.load(root / "poses_bounds.npy")
    changed = change(table)
    np.save(root / "poses_bounds.npy", table if changed is None else changed)


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def centres(scene: Scene) -> np.ndarray:
    return np.stack([view.pose[:, 3] for view in scene.views])


# The writer and the reader agree.


def test_written_scene_reads_back(root: Path) -> None:
    scene = read_llff(root)
    assert scene.name == "scene" and scene.root == root
    assert [view.name for view in scene.views] == [f"{i:03d}.png" for i in range(COUNT)]
    assert scene.test_indices == (0, 4, 8)
    assert scene.train_indices == (1, 2, 3, 5, 6, 7)
    for view, photo in zip(scene.views, photos(), strict=True):
        assert view.camera == CAMERA
        assert view.photo.dtype == view.pose.dtype == np.float32
        np.testing.assert_array_equal(np.rint(view.photo * 255).astype(np.uint8), photo)


def test_from_input_maps_the_world_to_the_scene(root: Path) -> None:
    scene = read_llff(root)
    poses = world_poses()
    transform = scene.from_input
    scale = 1 / (2.0 * 0.75)
    np.testing.assert_array_equal(transform[3], [0, 0, 0, 1])
    np.testing.assert_allclose(
        transform[:3, :3].T @ transform[:3, :3], scale**2 * np.eye(3), atol=1e-12
    )
    mapped = poses[:, :, 3] @ transform[:3, :3].T + transform[:3, 3]
    np.testing.assert_allclose(mapped, centres(scene), atol=1e-6)
    axes = transform[:3, :3] / scale @ poses[:, :, :3]
    np.testing.assert_allclose(axes, [view.pose[:, :3] for view in scene.views], atol=1e-6)


def test_bounds_are_scaled_to_four_thirds(root: Path) -> None:
    scene = read_llff(root)
    assert scene.near == pytest.approx(4 / 3)
    assert scene.far == pytest.approx(9.0 / (2.0 * 0.75))


def test_average_pose_is_the_identity(root: Path) -> None:
    poses = np.stack([view.pose for view in read_llff(root).views]).astype(np.float64)
    np.testing.assert_allclose(average_pose(poses), np.eye(3, 4), atol=1e-6)


def test_units_of_the_input_do_not_matter(root: Path, tmp_path: Path) -> None:
    def shrink(table: np.ndarray) -> None:
        table[:, [3, 8, 13]] *= 1e-3
        table[:, 15:] *= 1e-3

    before = centres(read_llff(root))
    change_table(root, shrink)
    np.testing.assert_allclose(centres(read_llff(root)), before, atol=1e-6)


def face_inwards(table: np.ndarray) -> None:
    """Cameras on a dome around (5, -3, 2) in the columns down, right, back, t of the file."""
    random = np.random.default_rng(6)
    for row in table:
        offset = random.normal(0, 1, 3) * [1.0, 1.0, 0.3] + [0.0, 0.0, 2.0]
        back = offset / np.linalg.norm(offset)
        right = np.cross([0.0, 0.0, 1.0], back)
        right /= np.linalg.norm(right)
        centre = offset + np.array([5.0, -3.0, 2.0])
        pose = np.stack([-np.cross(back, right), right, back, centre], axis=1)
        row[:15].reshape(3, 5)[:, :4] = pose


def test_spherify_brings_inward_views_to_the_unit_sphere(root: Path) -> None:
    change_table(root, face_inwards)
    scene, plain = read_llff(root, spherify=True), read_llff(root)
    transform = scene.from_input
    scale = np.cbrt(np.linalg.det(transform[:3, :3]))
    assert (centres(scene) ** 2).sum(axis=-1).mean() == pytest.approx(1.0)
    np.testing.assert_allclose(transform @ [5.0, -3.0, 2.0, 1.0], [0, 0, 0, 1], atol=1e-9)
    assert (scene.near, scene.far) == pytest.approx((2.0 * scale, 9.0 * scale))
    assert scene.near / plain.near == pytest.approx(scene.far / plain.far)
    table = np.load(root / "poses_bounds.npy")
    world = llff_to_opengl(table[:, :15].reshape(-1, 3, 5)[:, :, :4])
    mapped = world[:, :, 3] @ transform[:3, :3].T + transform[:3, 3]
    np.testing.assert_allclose(mapped, centres(scene), atol=1e-6)
    axes = transform[:3, :3] / scale @ world[:, :, :3]
    np.testing.assert_allclose(axes, [view.pose[:, :3] for view in scene.views], atol=1e-6)


def test_spherify_needs_cameras_that_look_inwards(root: Path) -> None:
    def align(table: np.ndarray) -> None:
        table[:, [0, 1, 2, 5, 6, 7, 10, 11, 12]] = table[0, [0, 1, 2, 5, 6, 7, 10, 11, 12]]

    change_table(root, align)
    message = fail(root, spherify=True)
    assert message.startswith(str(root / "poses_bounds.npy"))
    assert "parallel" in message and "turn spherify off" in message


# Which photos, how large.


def test_downscale_averages_and_scales_the_camera(root: Path) -> None:
    full, half = read_llff(root), read_llff(root, downscale=2)
    assert half.views[0].camera == Camera(24, 16, 25.0, 25.0, 12.0, 8.0)
    expected = full.views[3].photo.reshape(16, 2, 24, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(half.views[3].photo, expected, atol=1e-6)
    np.testing.assert_array_equal(centres(half), centres(full))


def test_factor_none_takes_the_smallest_existing_photos(root: Path) -> None:
    (root / "images_2").mkdir()
    for path in (root / "images_1").iterdir():
        Image.open(path).reduce(2).save(root / "images_2" / path.name)
    assert read_llff(root).views[0].camera.width == 24
    assert read_llff(root, factor=1).views[0].camera.width == 48


def test_images_alone_are_factor_one(root: Path) -> None:
    (root / "images_1").rename(root / "images")
    assert read_llff(root).views[0].camera == CAMERA
    assert read_llff(root, factor=1).views[0].camera == CAMERA


def test_missing_factor_is_made_in_the_cache(root: Path, tmp_path: Path) -> None:
    (root / "images_1").rename(root / "images")
    before = snapshot(root)
    scene = read_llff(root, factor=2)
    assert snapshot(root) == before
    assert any((tmp_path / "cache").rglob("000.png"))
    assert scene.views[0].camera == Camera(24, 16, 25.0, 25.0, 12.0, 8.0)
    expected = read_llff(root, downscale=2).views[5]
    assert expected.name == scene.views[5].name
    np.testing.assert_allclose(scene.views[5].photo, expected.photo, atol=0.51 / 255)


@pytest.mark.parametrize("factor", [1, 2])
def test_views_have_the_tags_of_the_users_photos(root: Path, factor: int) -> None:
    (root / "images_1").rename(root / "images")
    photo = root / "images" / "000.png"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.open(photo).save(photo, exif=exif)
    first, second = read_llff(root, factor=factor).views[:2]
    assert first.tags == read_tags(photo) != NO_TAGS
    assert second.tags == NO_TAGS


def test_poses_made_on_other_sizes_give_the_right_focal_length(root: Path) -> None:
    def enlarge(table: np.ndarray) -> None:
        table[:, [4, 9, 14]] *= 4

    change_table(root, enlarge)
    assert read_llff(root).views[0].camera == CAMERA


# The split.


@pytest.mark.parametrize(("hold", "expected"), [(None, (0, 4, 8)), (3, (0, 3, 6)), (100, (0,))])
def test_hold_option_overrides_the_marker(
    root: Path, hold: int | None, expected: tuple[int, ...]
) -> None:
    assert read_llff(root, hold=hold).test_indices == expected


def test_without_marker_no_view_is_held_out(root: Path) -> None:
    (root / "hold=4").unlink()
    assert read_llff(root).test_indices == ()
    assert read_llff(root, hold=8).test_indices == (0, 8)


@pytest.mark.parametrize("name", ["hold=0", "hold=-3", "hold=", "hold=two", "hold=1.5"])
def test_bad_marker(root: Path, name: str) -> None:
    (root / "hold=4").rename(root / name)
    message = fail(root)
    assert str(root / name) in message and "rename it" in message
    assert read_llff(root, hold=3).test_indices == (0, 3, 6)


def test_two_markers(root: Path) -> None:
    (root / "hold=5").touch()
    message = fail(root)
    assert "hold=4" in message and "hold=5" in message


def test_nothing_left_to_train_on(root: Path) -> None:
    assert "hold 1: holds out all 9 photos" in fail(root, hold=1)


def test_photos_of_several_cameras(root: Path) -> None:
    def zoom(table: np.ndarray) -> None:
        table[3, 14] *= 1.1

    change_table(root, zoom)
    message = fail(root)
    assert "003.png" in message and "a single camera" in message


@pytest.mark.parametrize("option", ["hold", "factor", "downscale"])
def test_options_below_one(root: Path, option: str) -> None:
    assert f"{option} 0: give a whole number of at least 1" in fail(root, **{option: 0})


# Folders that are no scene.


def test_no_such_folder(tmp_path: Path) -> None:
    assert "no such folder" in fail(tmp_path / "nothing")


def test_file_instead_of_folder(root: Path) -> None:
    assert "not a folder" in fail(root / "poses_bounds.npy")


def test_folder_without_photos(root: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path / 'empty'}: no photos" in fail(tmp_path / "empty")
    for path in (root / "images_1").iterdir():
        path.unlink()
    assert f"{root / 'images_1'}: no photos" in fail(root)


def test_bare_photos_are_told_where_poses_come_from(root: Path, tmp_path: Path) -> None:
    (root / "images_1").rename(tmp_path / "mine")
    assert "imgs2poses.py" in fail(tmp_path / "mine")


def test_missing_poses_are_told_where_they_come_from(root: Path) -> None:
    (root / "poses_bounds.npy").unlink()
    assert "imgs2poses.py" in fail(root)


def test_photo_folder_of_a_scene_is_sent_to_the_scene(root: Path) -> None:
    assert fail(root / "images_1").endswith(f"give its folder, {root}")


def test_missing_factor_without_full_photos(root: Path) -> None:
    message = fail(root, factor=3)
    assert "no images_3" in message and "images_1" in message


@pytest.mark.parametrize("folder", ["", "images_1"])
def test_unreadable_folder(root: Path, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    real = os.scandir

    def refuse(path: os.PathLike[str]) -> object:
        if Path(path) == root / folder:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)
    message = fail(root)
    assert message.startswith(f"{root / folder}: cannot read") and "Permission denied" in message


def test_unreadable_poses(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert fail(root).startswith(f"{root / 'poses_bounds.npy'}: cannot read this file")


# Poses files that are none.


def put(table: np.ndarray, row: int, column: int, value: float) -> None:
    table[row, column] = value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t[:, :15], "shape (9, 15)"),
        (lambda t: t[0], "shape (17,)"),
        (lambda t: t[:7], "7 rows but 9 photos"),
        (lambda t: np.concatenate([t, t]), "18 rows but 9 photos"),
        (lambda t: put(t, 2, 3, np.nan), "row 2 (photo 002.png) has the value nan in column 3"),
        (lambda t: put(t, 8, 16, np.inf), "row 8 (photo 008.png) has the value inf in column 16"),
        (lambda t: put(t, 1, 15, 0.0), "row 1 (photo 001.png) has near bound 0"),
        (lambda t: put(t, 1, 15, -2.5), "near bound -2.5"),
        (lambda t: put(t, 3, 15, 50.0), "near bound 50 not below far bound"),
        (lambda t: put(t, 3, 14, 0.0), "focal length 0"),
        (lambda t: put(t, 3, 4, -32.0), "height -32"),
        (lambda t: put(t, 5, 0, 3.0), "row 5 (photo 005.png) has a pose"),
        (lambda t: t.astype(str), "where real numbers are needed"),
        (lambda t: t + 1j, "where real numbers are needed"),
    ],
)
def test_bad_table(
    root: Path, change: Callable[[np.ndarray], np.ndarray | None], words: str
) -> None:
    change_table(root, change)
    message = fail(root)
    assert message.startswith(str(root / "poses_bounds.npy")) and words in message
    assert "make " in message


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.target,)

    def __init__(self, target: str) -> None:
        self.target = target


def test_pickles_are_never_executed(root: Path, tmp_path: Path) -> None:
    path, proof = root / "poses_bounds.npy", tmp_path / "executed"
    np.save(path, np.array([Bomb(str(proof))], dtype=object), allow_pickle=True)
    assert f"{path}: damaged or pickled" in fail(root)
    path.write_bytes(pickle.dumps(Bomb(str(proof))))
    assert f"{path}: not a NumPy .npy file" in fail(root)
    assert not proof.exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04zip", b"\x93NUMPY"])
def test_no_npy_file(root: Path, content: bytes) -> None:
    path = root / "poses_bounds.npy"
    path.write_bytes(content)
    assert str(path) in fail(root)


def test_truncated_npy_file_and_damaged_header(root: Path) -> None:
    path = root / "poses_bounds.npy"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    assert f"{path}: damaged" in fail(root)
    path.write_bytes(content[:10] + b"{'descr': ((" + content[22:])
    assert f"{path}: damaged" in fail(root)
    path.write_bytes(content.replace(b"(9, 17)", b"(9999999999999999, 17)"))
    assert f"{path}: damaged" in fail(root)


def test_poses_of_upright_photos_for_lying_ones(root: Path) -> None:
    def turn(table: np.ndarray) -> None:
        table[:, [4, 9]] = table[:, [9, 4]]

    change_table(root, turn)
    message = fail(root)
    assert "32x48" in message and "48x32" in message


def test_truncated_photo(root: Path) -> None:
    path = root / "images_1" / "004.png"
    path.write_bytes(path.read_bytes()[:1000])
    assert fail(root).startswith(f"{path}: this photo is damaged")


def test_photos_of_different_sizes(root: Path) -> None:
    Image.new("RGB", (40, 32)).save(root / "images_1" / "006.png")
    message = fail(root)
    assert all(word in message for word in ("000.png", "48x32", "006.png", "40x32"))


def test_downscale_that_leaves_nothing(root: Path) -> None:
    assert "downscale" in fail(root, downscale=5)


# The writer refuses what it cannot write.


def test_writer_keeps_foreign_photos(root: Path) -> None:
    before = snapshot(root)
    with pytest.raises(InputError, match=r"008\.png belongs to another scene"):
        write(root, count=8)
    with pytest.raises(InputError, match="hold=4 belongs to another scene"):
        write(root, hold=5)
    with pytest.raises(InputError, match="images_1 belongs to another scene"):
        write(root, folder="images")
    assert snapshot(root) == before


def test_writer_refuses_what_the_format_cannot_hold(tmp_path: Path) -> None:
    bounds = np.array([1.0, 1.0])

    def attempt(names: list[str], camera: Camera) -> None:
        with pytest.raises(ValueError, match=r"names|square|size"):
            write_llff(
                tmp_path / "s", photos(2), names, world_poses(2), camera, bounds, 2 * bounds, 2
            )

    attempt(["b.png", "a.png"], CAMERA)
    attempt(["a.png", "a.png"], CAMERA)
    attempt(["a", "b"], CAMERA)
    attempt(["a.png", "b.png"], Camera(48, 32, 50.0, 51.0, 24.0, 16.0))
    attempt(["a.png", "b.png"], Camera(48, 32, 50.0, 50.0, 23.0, 16.0))
    attempt(["a.png", "b.png"], Camera(24, 16, 50.0, 50.0, 12.0, 8.0))
    assert not (tmp_path / "s").exists()


def test_interrupted_writer_leaves_no_readable_scene(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path, data: bytes) -> None:
        if path.name == "003.png":
            raise KeyboardInterrupt

    monkeypatch.setattr("sharpfield.files.write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(root)
    assert "no poses_bounds.npy" in fail(root)


# The real scene.


@needs_blurball
def test_blurball() -> None:
    scene = read_llff(BLURBALL)
    assert scene.name == "blurball" and len(scene.views) == 27
    assert scene.test_indices == (0, 7, 14, 21)
    assert [view.name for view in scene.views] == [f"{i:03d}.png" for i in range(27)]
    for view in scene.views:
        assert view.photo.shape == (400, 600, 3)
        assert (view.camera.centre_x, view.camera.centre_y) == (300, 200)
        assert view.camera.focal_x == pytest.approx(1684.43072412 / 4)
        assert view.camera.focal_y == pytest.approx(1684.43072412 / 4)
    assert scene.near == pytest.approx(4 / 3)
    assert scene.far == pytest.approx(29.73636276710649 / (10.847889476359242 * 0.75))
    poses = np.stack([view.pose for view in scene.views]).astype(np.float64)
    np.testing.assert_allclose(average_pose(poses), np.eye(3, 4), atol=1e-6)
    table = np.load(BLURBALL / "poses_bounds.npy")
    world = llff_to_opengl(table[:, :15].reshape(-1, 3, 5)[:, :, :4])
    mapped = world[:, :, 3] @ scene.from_input[:3, :3].T + scene.from_input[:3, 3]
    np.testing.assert_allclose(mapped, poses[:, :, 3], atol=1e-6)


@needs_blurball
def test_blurball_downscaled() -> None:
    scene = read_llff(BLURBALL, downscale=2)
    assert scene.views[26].photo.shape == (200, 300, 3)
    assert scene.views[26].camera.focal_x == pytest.approx(1684.43072412 / 8)


@needs_blurball
def test_blurball_factor_8_through_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARPFIELD_CACHE", str(tmp_path))
    before = snapshot(BLURBALL)
    scene = read_llff(BLURBALL, factor=8)
    assert snapshot(BLURBALL) == before
    assert len(list(tmp_path.rglob("*.png"))) == 27
    assert scene.views[26].name == "026.jpg"
    assert scene.views[0].photo.shape == (200, 300, 3)
    assert scene.views[0].camera.focal_x == pytest.approx(1684.43072412 / 8)
    # Another way to the same pixels: the published images_4, halved in memory.
    published = read_llff(BLURBALL, downscale=2).views[0].photo
    assert np.abs(scene.views[0].photo - published).mean() < 0.02
