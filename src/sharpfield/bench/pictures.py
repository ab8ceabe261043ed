"""The pictures beside a table: what each blur model made of a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple, TypeAlias

import matplotlib
import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from sharpfield.bench.rows import Row
from sharpfield.bench.suite import RowKey
from sharpfield.evaluate.images import write_image
from sharpfield.files import write_bytes

_LINES = {
    "held-out view": ("render", {"truth": "truth"}),
    "restored photo": ("restored", {"truth": "sharp", "photo": "blurry"}),
    "kernel size": ("size", {"photo": "blurry"}),
}
"""Per line of a sheet, what it shows of each row, and what stands before them: the first there is
of some pictures that are the same for all rows, by title."""
_TILE, _SHEET = 1.9, 8.0
"""Least widths, in inches, of a tile and of a sheet."""

_Picture: TypeAlias = UInt8[np.ndarray, "height width 3"]


class _Line(NamedTuple):
    title: str
    first: _Picture | None
    tiles: list[_Picture | None]


class PictureFolder:
    """Pictures of rows as PNG files."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, key: RowKey, pictures: Mapping[str, _Picture]) -> None:
        """Keep the pictures of a row."""
        for name, picture in pictures.items():
            write_image(self._path(key, name), picture)

    def read(self, key: RowKey, name: str) -> _Picture | None:
        """A picture of a row, None where it has none, or none that can be read."""
        try:
            with Image.open(self._path(key, name)) as image:
                return np.asarray(image.convert("RGB"))
        except OSError:
            return None

    def _path(self, key: RowKey, name: str) -> Path:
        return self.root / key.path.with_suffix("") / f"{name}.png"


def write_sheet(rows: Sequence[Row], pictures: PictureFolder, target: Path) -> None:
    """The pictures of ``rows``, those of one scene and budget, side by side as a PNG file.

    A sheet that there is stays where some row has none (they were made elsewhere), and nothing is
    written where no row has any.
    """
    shown = [row for row in rows if row.failure is None]
    keys = [row.key for row in shown]
    if target.exists() and any(pictures.read(key, "render") is None for key in keys):
        return
    lines = {}
    for name, (own, before) in _LINES.items():
        tiles = [pictures.read(key, own) for key in keys]
        if any(tile is not None for tile in tiles):
            lines[name] = _Line(*_first(pictures, keys, before), tiles)
    if lines:
        titles = [f"{r.key.contender}\n{r.numbers['mean']['psnr']:.2f} dB" for r in shown]
        write_bytes(target, _sheet(titles, lines))


def _first(
    pictures: PictureFolder, keys: Sequence[RowKey], names: Mapping[str, str]
) -> tuple[str, _Picture | None]:
    for title, name in names.items():
        for key in keys:
            picture = pictures.read(key, name)
            if picture is not None:
                return title, picture
    return "", None


def _sheet(titles: Sequence[str], lines: Mapping[str, _Line]) -> bytes:
    columns = 1 + len(titles)
    width = max(_SHEET, _TILE * columns)
    with matplotlib.rc_context({"font.size": 8}):
        size = (width, 0.75 * width / columns * len(lines) + 0.4)
        figure = Figure(size, dpi=120, layout="constrained")
        axes = figure.subplots(len(lines), columns, squeeze=False)
        for row, (name, line) in zip(axes, lines.items(), strict=True):
            row[0].set_ylabel(name)
            row[0].set_title(line.title)
            for axis, tile in zip(row, (line.first, *line.tiles), strict=True):
                axis.set_xticks([])
                axis.set_yticks([])
                axis.set_frame_on(False)
                if tile is not None:
                    axis.imshow(tile, interpolation="nearest")
        for axis, title in zip(axes[0][1:], titles, strict=True):
            axis.set_title(title)
        png = BytesIO()
        figure.savefig(png, format="png")
    return png.getvalue()
