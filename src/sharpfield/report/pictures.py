"""Images as data addresses inside the page, and legends as CSS."""

from __future__ import annotations

import base64
import io

import numpy as np
from jaxtyping import UInt8
from matplotlib import colormaps
from matplotlib.colors import to_hex
from PIL import Image

PHOTO_WIDTH = 1000
MAP_WIDTH = 420
_LEGEND_STOPS = 9


def picture(image: UInt8[np.ndarray, "height width 3"], widest: int = PHOTO_WIDTH) -> str:
    """A ``data:`` address with the image as JPEG, shrunk to at most ``widest`` pixels across."""
    height, width = image.shape[:2]
    if width > widest:
        size = (widest, max(1, round(height * widest / width)))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="JPEG", quality=90, subsampling=0)
    return _address("image/jpeg", buffer.getvalue())


def plot(png: bytes) -> str:
    """A ``data:`` address with a PNG file."""
    return _address("image/png", png)


def legend_gradient(colours: str) -> str:
    """A matplotlib colour map as a CSS gradient from left to right."""
    stops = [to_hex(colormaps[colours](stop)) for stop in np.linspace(0, 1, _LEGEND_STOPS)]
    return f"linear-gradient(90deg, {', '.join(stops)})"


def _address(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
