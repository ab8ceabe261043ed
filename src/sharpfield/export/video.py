"""Videos along a camera path: colour and depth, as MP4."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from sharpfield.errors import InputError
from sharpfield.evaluate.images import to_8bit
from sharpfield.export.maps import DEPTH_COLOURS, colourise
from sharpfield.files import replacing
from sharpfield.run import Run

_QUALITY = 8
_DEPTH_PERCENTILES = (1.0, 99.0)


def render_path(
    run: Run,
    poses: Float[np.ndarray, "frames 3 4"],
    output_mp4: Path,
    fps: float = 30.0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Render the scene along ``poses`` (scene units) to an MP4, and its depth beside it.

    Writes ``output_mp4`` and ``<stem>_depth.mp4`` and returns both; H.264, 4:2:0. Sizes are padded
    to even by repeating the last row or column. The depth colours (red near, blue far) span
    percentiles 1 to 99 of the NDC depth in the first frame, so that they do not flicker.
    ``progress`` gets (done, total) frames. Raises ``InputError`` when a file cannot be written.
    """
    output_depth = output_mp4.with_name(f"{output_mp4.stem}_depth.mp4")
    camera = run.scene.views[0].camera
    size = (camera.width + camera.width % 2, camera.height + camera.height % 2)
    near, far = 0.0, 1.0
    with (
        replacing(output_mp4) as colour_file,
        replacing(output_depth) as depth_file,
        _writing(colour_file, size, fps) as colour_video,
        _writing(depth_file, size, fps) as depth_video,
    ):
        for number, pose in enumerate(poses):
            rendered = run.render(camera, pose)
            if number == 0:
                near, far = np.percentile(rendered.depth, _DEPTH_PERCENTILES)
            depth = colourise(-rendered.depth, -float(far), -float(near), DEPTH_COLOURS)
            colour_video.send(_even(to_8bit(rendered.colour)).tobytes())
            depth_video.send(_even(depth).tobytes())
            if progress is not None:
                progress(number + 1, len(poses))
    return [output_mp4, output_depth]


@contextmanager
def _writing(
    path: Path, size: tuple[int, int], fps: float
) -> Iterator[Generator[None, bytes, None]]:
    """An H.264 encoder that takes RGB frames of ``size`` (width, height) as bytes.

    Raises ``InputError`` where imageio-ffmpeg is missing: training and scores go without it.
    """
    try:
        import imageio_ffmpeg
    except ImportError:
        raise InputError(
            f"{path.parent}: videos need imageio-ffmpeg; pip install imageio-ffmpeg"
        ) from None
    video = imageio_ffmpeg.write_frames(
        str(path),
        size,
        fps=fps,
        codec="libx264",
        quality=_QUALITY,
        macro_block_size=2,
        ffmpeg_log_level="error",
        output_params=["-movflags", "+faststart"],
    )
    video.send(None)
    try:
        yield video
    finally:
        video.close()


def _even(
    image: UInt8[np.ndarray, "height width 3"],
) -> UInt8[np.ndarray, "even_height even_width 3"]:
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
