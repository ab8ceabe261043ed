"""The pictures beside a table: what each blur model made of a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from sharpfield.bench.rows import Row
from sharpfield.bench.suite import RowKey
from sharpfield.errors import InputError
from sharpfield.evaluate.images import write_image
from sharpfield.files import write_bytes

_LINES = {
    "held-out view": ("truth", "render"),
    "restored photo": ("sharp", "restored"),
    "kernel size": ("blurry", "size"),
}
"""Per line of a sheet, the picture of its first column, the same for all, and of the others."""
_INCHES = 1.9


class PictureFolder:
    """Pictures of rows as PNG files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(
        self, key: RowKey, pictures: Mapping[str, UInt8[np.ndarray, "height width 3"]]
    ) -> None:
        """Keep the pictures of a row."""
        for name, picture in pictures.items():
            write_image(self._path(key, name), picture)

    def read(self, key: RowKey, name: str) -> UInt8[np.ndarray, "height width 3"] | None:
        """A picture of a row, None where it has none."""
        path = self._path(key, name)
        try:
            with Image.open(path) as image:
                return np.asarray(image.convert("RGB"))
        except FileNotFoundError:
            return None
        except OSError:
            raise InputError(f"{path}: damaged; remove it") from None

    def _path(self, key: RowKey, name: str) -> Path:
        return self.root / key.path.with_suffix("") / f"{name}.png"


def write_sheet(rows: Sequence[Row], pictures: PictureFolder, target: Path) -> None:
    """The pictures of ``rows``, those of one scene and budget, side by side as a PNG file.

    Nothing is written where no row has any.
    """
    shown = [row for row in rows if row.failure is None]
    tiles = {
        line: [pictures.read(row.key, own) for row in shown] for line, (_, own) in _LINES.items()
    }
    if any(tile is not None for line in tiles.values() for tile in line):
        firsts = {line: pictures.read(shown[0].key, first) for line, (first, _) in _LINES.items()}
        titles = [f"{r.key.contender}\n{r.numbers['mean']['psnr']:.2f} dB" for r in shown]
        png = _sheet(titles, {line: [firsts[line], *tiles[line]] for line in tiles})
        write_bytes(target, png)


def _sheet(
    titles: Sequence[str],
    lines: Mapping[str, Sequence[UInt8[np.ndarray, "height width 3"] | None]],
) -> bytes:
    firsts = {"held-out view": "truth", "restored photo": "truth", "kernel size": "photo"}
    shown = {line: tiles for line, tiles in lines.items() if any(t is not None for t in tiles)}
    columns = 1 + len(titles)
    with matplotlib.rc_context({"font.size": 8}):
        size = (_INCHES * columns, 0.75 * _INCHES * len(shown) + 0.4)
        figure = Figure(size, dpi=120, layout="constrained")
        axes = figure.subplots(len(shown), columns, squeeze=False)
        for row, (line, tiles) in zip(axes, shown.items(), strict=True):
            row[0].set_ylabel(line)
            for axis, tile in zip(row, tiles, strict=True):
                axis.set_xticks([])
                axis.set_yticks([])
                axis.set_frame_on(False)
                if tile is not None:
                    axis.imshow(tile, interpolation="nearest")
            if tiles[0] is not None:
                row[0].set_title(firsts[line])
        for axis, title in zip(axes[0][1:], titles, strict=True):
            axis.set_title(title)
        png = BytesIO()
        figure.savefig(png, format="png")
    return png.getvalue()
