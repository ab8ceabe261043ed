"""Videos along a camera path: colour and depth, as MP4."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, UInt8

from sharpfield.errors import InputError
from sharpfield.evaluate.images import to_8bit
from sharpfield.export.maps import DEPTH_COLOURS, colourise
from sharpfield.files import replacing
from sharpfield.geometry.ndc import faces_forward
from sharpfield.progress import OnProgress, ignore
from sharpfield.run import Run

Frame: TypeAlias = UInt8[np.ndarray, "height width 3"]

_QUALITY = 8
_DEPTH_PERCENTILES = (1.0, 99.0)


def render_path(
    run: Run,
    poses: Float[np.ndarray, "frames 3 4"],
    output_mp4: Path,
    fps: float = 30.0,
    progress: OnProgress = ignore,
) -> list[Path]:
    """Render the scene along ``poses`` (scene units) to an MP4, and its depth beside it.

    Writes ``output_mp4`` and ``<stem>_depth.mp4`` and returns both; H.264, 4:2:0. Sizes are padded
    to even by repeating the last row or column. The depth colours (red near, blue far) span
    percentiles 1 to 99 of the NDC depth in the first frame, so that they do not flicker.
    ``progress`` gets (done, total) frames. Raises ``InputError`` when a file cannot be written, and
    for a pose that the scene's coordinates do not show.
    """
    _check_shown(run, poses, output_mp4)
    output_depth = output_mp4.with_name(f"{output_mp4.stem}_depth.mp4")
    camera = run.scene.views[0].camera
    size = (camera.width, camera.height)
    near, far = 0.0, 1.0
    with (
        replacing(output_mp4) as colour_file,
        replacing(output_depth) as depth_file,
        _writing(colour_file, size, fps, _QUALITY) as write_colour,
        _writing(depth_file, size, fps, _QUALITY) as write_depth,
    ):
        for number, pose in enumerate(poses):
            rendered = run.render(camera, pose)
            if number == 0:
                near, far = np.percentile(rendered.depth, _DEPTH_PERCENTILES)
            depth = colourise(-rendered.depth, -float(far), -float(near), DEPTH_COLOURS)
            write_colour(to_8bit(rendered.colour))
            write_depth(depth)
            progress(number + 1, len(poses))
    return [output_mp4, output_depth]


def _check_shown(run: Run, poses: Float[np.ndarray, "frames 3 4"], path: Path) -> None:
    if not run.config.scene.ndc:
        return
    camera = run.scene.views[0].camera
    for number, pose in enumerate(poses):
        if not faces_forward(pose, camera):
            raise InputError(
                f"{path.name}: pose {number} looks aside or back, which normalised device "
                "coordinates do not show; use a path that faces forward, such as spiral"
            )


def write_video(
    path: Path,
    frames: Iterable[UInt8[np.ndarray, "height width 3"]],
    size: tuple[int, int],
    fps: float = 30.0,
    quality: float = 8,
) -> None:
    """Write RGB ``frames`` of ``size`` (width, height) to an MP4, atomically; H.264, 4:2:0.

    ``quality`` goes from 0 to 10, best. Frames are taken one by one, so that an iterator may make
    them meanwhile; odd sizes are padded to even by repeating the last row or column.
    Raises ``InputError`` when the file cannot be written or imageio-ffmpeg is missing, ValueError
    for a frame of another size and for no frames.
    """
    with replacing(path) as file, _writing(file, size, fps, quality) as write:
        empty = True
        for frame in frames:
            write(frame)
            empty = False
        if empty:
            raise ValueError("a video needs at least one frame")


@contextmanager
def _writing(
    path: Path, size: tuple[int, int], fps: float, quality: float
) -> Iterator[Callable[[Frame], None]]:
    """An H.264 encoder, as a function that takes RGB frames of ``size`` (width, height).

    Raises ``InputError`` where imageio-ffmpeg is missing, since training and scores go without it,
    for an ``fps`` that is no number of frames, and where it fails: what ffmpeg says is not passed
    on, but it is a full disk as a rule.
    """
    width, height = size
    if not 0.0 < fps < math.inf:
        raise InputError(f"{fps} frames per second: give a number such as 30")
    try:
        import imageio_ffmpeg
    except ImportError:
        raise InputError(
            f"{path.parent}: videos need imageio-ffmpeg; pip install imageio-ffmpeg"
        ) from None
    video = imageio_ffmpeg.write_frames(
        str(path),
        (width + width % 2, height + height % 2),
        fps=fps,
        codec="libx264",
        quality=quality,
        macro_block_size=2,
        ffmpeg_log_level="error",
        output_params=["-movflags", "+faststart"],
    )
    try:
        video.send(None)
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"{path.parent}: ffmpeg cannot be started; pip install imageio-ffmpeg, or say in "
            "IMAGEIO_FFMPEG_EXE where it is"
        ) from error
    failed = f"{path.parent}: ffmpeg could not write a video; free some space and try again"
    written = 0

    def write(frame: Frame) -> None:
        nonlocal written
        if frame.shape != (height, width, 3):
            raise ValueError(f"a frame has the shape {frame.shape} in a {width}x{height} video")
        try:
            video.send(_even(frame).tobytes())
        except OSError as error:
            raise InputError(failed) from error
        written += 1

    try:
        yield write
    finally:
        video.close()
    try:
        found = imageio_ffmpeg.count_frames_and_secs(str(path))[0] if written else 0
    except RuntimeError:
        found = 0
    if found != written:
        raise InputError(failed)


def _even(
    image: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "even_height even_width 3"]:
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
