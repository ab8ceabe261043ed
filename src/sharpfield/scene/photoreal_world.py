"""The world of the photoreal scene: a still life on a table in a room, for Mitsuba 3.

World axes are those of a camera that looks straight ahead: x right, y up, z back, so content
lies at z = -2.3 .. -8. Lengths are in scene units. Pictures are the photos that come with
scikit-image; wood and coloured panels are made here.

Source of the renderer: Jakob et al., Mitsuba 3 renderer (2022).
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter
from skimage import data

from sharpfield.errors import InputError

_TABLE = -0.9
"""Height of the table top."""
_FLOOR = -2.2
_BALL = (0.78, -0.6, -3.25)
BALL_CENTRE = np.array(_BALL)
"""Centre of the ball of coloured panels."""
BALL_RADIUS = 0.3
"""Radius of the ball of coloured panels, which nothing hides from the cameras."""

_Point = tuple[float, float, float]
_Part = dict[str, Any]
_Image = UInt8[np.ndarray, "rows columns 3"]


def load_mitsuba() -> Any:
    """The module ``mitsuba``, silent and set to the variant that runs on every processor.

    Raises InputError where it is not installed.
    """
    try:
        mitsuba = importlib.import_module("mitsuba")
        mitsuba.set_variant("scalar_rgb")
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"photoreal scene: needs mitsuba ({reason}); run `pip install 'sharpfield[photoreal]'`"
        ) from None
    mitsuba.set_log_level(mitsuba.LogLevel.Error)
    return mitsuba


def photoreal_world(mitsuba: Any) -> Any:
    """The world as a scene of ``mitsuba``, without a camera. It is always the same."""
    build = _Builder(mitsuba)
    parts = [*_room(build), *_shelf(build), *_table(build), *_still_life(build), *_lights(build)]
    scene: _Part = {"type": "scene"}
    scene |= {f"part{index}": part for index, part in enumerate(parts)}
    # Optimizing merges shapes in an order that differs from run to run, and so would the noise.
    return mitsuba.load_dict(scene, parallel=False, optimize=False)


class _Builder:
    """Shapes and materials in the words of ``mitsuba.load_dict``."""

    def __init__(self, mitsuba: Any) -> None:
        self.mitsuba = mitsuba

    def colour(self, hexadecimal: str) -> _Part:
        """A display colour RRGGBB."""
        linear = (np.array(list(bytes.fromhex(hexadecimal))) / 255.0) ** 2.2
        return {"type": "rgb", "value": linear.tolist()}

    def image(self, image: _Image, repeat: tuple[float, float] = (1.0, 1.0)) -> _Part:
        """A texture; it is repeated that often over the surface, horizontally and vertically."""
        return {
            "type": "bitmap",
            # Texture coordinates count rows from below.
            "bitmap": self.mitsuba.Bitmap(np.ascontiguousarray(image[::-1])),
            "to_uv": self.mitsuba.ScalarTransform4f().scale([*repeat, 1.0]),
        }

    def matt(self, texture: _Part) -> _Part:
        return {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": texture}}

    def glossy(self, texture: _Part, roughness: float) -> _Part:
        """Paint under a clear coat, such as plastic, varnish or glaze."""
        coated = {
            "type": "roughplastic",
            "diffuse_reflectance": texture,
            "alpha": roughness,
            "nonlinear": True,
        }
        return {"type": "twosided", "bsdf": coated}

    def metal(self, material: str, roughness: float) -> _Part:
        return {"type": "roughconductor", "material": material, "alpha": roughness}

    def box(self, centre: _Point, half: _Point, bsdf: _Part, turn: float = 0.0) -> _Part:
        """A box with half edge lengths ``half``, turned by ``turn`` degrees about y."""
        return {"type": "cube", "to_world": self._placed(centre, turn).scale(half), "bsdf": bsdf}

    def sphere(self, centre: _Point, radius: float, bsdf: _Part, turn: float = 0.0) -> _Part:
        upright = self._placed(centre, turn).rotate([1, 0, 0], -90).scale(radius)
        return {"type": "sphere", "to_world": upright, "bsdf": bsdf}

    def sheet(
        self,
        centre: _Point,
        half: tuple[float, float],
        bsdf: _Part,
        turn: float = 0,
        tilt: float = 0,
    ) -> _Part:
        """A rectangle that faces z, tilted back by ``tilt`` degrees, then turned about y."""
        placed = self._placed(centre, turn).rotate([1, 0, 0], -tilt).scale([*half, 1.0])
        return {"type": "rectangle", "to_world": placed, "bsdf": bsdf}

    def lathed(
        self, foot: _Point, profile: list[tuple[float, float]], bsdf: _Part, turn: float = 0.0
    ) -> Any:
        """A body of revolution about the vertical through ``foot``.

        ``profile`` lists (radius, height) from one end of the outline to the other.
        """
        rings = _smooth(np.array(profile))
        around = np.linspace(0, 2 * np.pi, 49)
        across = np.linspace(0, 1, len(rings))
        radius, height = rings[:, None, 0], rings[:, None, 1]
        points = np.stack(
            [radius * np.sin(around), height + 0 * around, radius * np.cos(around)], axis=-1
        )
        texture = np.stack(np.broadcast_arrays(around / (2 * np.pi), across[:, None]), axis=-1)
        corner = np.arange(points[..., 0].size).reshape(points.shape[:2])
        a, b, c, d = corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]
        faces = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)])
        properties = self.mitsuba.Properties()
        properties["bsdf"] = self.mitsuba.load_dict(bsdf)
        mesh = self.mitsuba.Mesh(
            "lathed", corner.size, faces.size // 3, has_vertex_texcoords=True, props=properties
        )
        values = self.mitsuba.traverse(mesh)
        turned = points @ _about_y(turn).T + np.array(foot)
        values["vertex_positions"] = turned.ravel().astype(np.float32)
        values["vertex_texcoords"] = texture.ravel().astype(np.float32)
        values["faces"] = faces.ravel().astype(np.uint32)
        values.update()
        return mesh

    def light(
        self, centre: _Point, half: tuple[float, float], turn: _Point, power: _Point
    ) -> _Part:
        """A bright rectangle that faces z before it is turned about x, then y (degrees)."""
        placed = self._placed(centre, turn[1]).rotate([1, 0, 0], turn[0]).scale([*half, 1.0])
        radiance = {"type": "rgb", "value": list(power)}
        return {
            "type": "rectangle",
            "to_world": placed,
            "bsdf": {"type": "diffuse"},
            "emitter": {"type": "area", "radiance": radiance},
        }

    def _placed(self, centre: _Point, turn: float) -> Any:
        return self.mitsuba.ScalarTransform4f().translate(centre).rotate([0, 1, 0], turn)


def _room(build: _Builder) -> list[_Part]:
    """Floor, walls and the pictures on the back wall."""
    bricks = build.matt(build.image(_tinted(data.brick(), "c9a58e"), (4.0, 2.6)))
    plaster = build.matt(build.image(_tinted(data.gravel(), "c8cdbf", 0.25), (4.0, 3.0)))
    planks = build.glossy(build.image(_wood("8a5f3c", 3), (3.0, 3.0)), 0.25)
    parts = [
        build.sheet((0, 0.5, -8), (4.0, 2.8), bricks),
        build.sheet((-3.5, 0.5, -5.5), (4.0, 2.8), plaster, turn=90),
        build.sheet((3.7, 0.5, -5.5), (4.0, 2.8), plaster, turn=-90),
        build.sheet((0, _FLOOR, -5.5), (4.0, 4.0), planks, tilt=90),
    ]
    pictures: list[tuple[_Point, tuple[float, float], _Image]] = [
        ((-2.35, 0.75, -7.95), (0.75, 0.75), data.astronaut()),
        ((0.1, 1.15, -7.95), (0.95, 0.82), data.hubble_deep_field()),
    ]
    for place, half, picture in pictures:
        parts += _framed(build, place, half, picture, 0.0, "2a1d14")
    return parts


def _shelf(build: _Builder) -> list[_Part]:
    """A book case against the back wall, right."""
    wood = build.matt(build.image(_wood("6d4a30", 5)))
    parts = [build.box((x, -0.2, -7.6), (0.05, 2.0, 0.35), wood) for x in (1.55, 3.55)]
    generator = np.random.default_rng(11)
    covers = ("8c2f2a", "274b6d", "3f6b46", "c9a24b", "d8d2c2", "4a3a5c", "1f2a30", "b8643a")
    for board in (-1.8, -0.95, -0.1, 0.75, 1.6):
        parts.append(build.box((2.55, board, -7.6), (0.95, 0.04, 0.33), wood))
        left = 1.62
        while left < 3.3 and board < 1.5:
            thick = generator.uniform(0.05, 0.11)
            tall = generator.uniform(0.24, 0.36)
            centre = (left + thick, board + 0.04 + tall, -7.55 + generator.uniform(-0.06, 0.06))
            cover = build.matt(build.colour(covers[generator.integers(len(covers))]))
            parts.append(build.box(centre, (0.94 * thick, tall, 0.25), cover))
            left += 2 * thick + (0.25 if generator.random() < 0.08 else 0.0)
    return parts


def _table(build: _Builder) -> list[_Part]:
    """The table, and what lies flat on it."""
    oak = build.glossy(build.image(_wood("b98a58", 7), (1.0, 1.0)), 0.2)
    legs = build.matt(build.colour("5b402a"))
    parts = [build.box((0, _TABLE - 0.06, -3.9), (2.3, 0.06, 1.9), oak)]
    parts += [build.box((x, -1.6, -5.6), (0.08, 0.6, 0.08), legs) for x in (-2.1, 2.1)]
    paper = build.matt(build.image(_shades(data.page()[:, :300])))
    parts.append(build.sheet((0.02, _TABLE + 0.004, -3.35), (0.34, 0.3), paper, 18, 90))
    top = _TABLE
    stack: list[tuple[float, float, _Point, _Image]] = [
        (0.07, 12, (0.50, 0, 0.36), _tinted(data.brick(), "3d5a80")),
        (0.05, -9, (0.44, 0, 0.33), data.rocket()[40:400, 100:600]),
        (0.06, 21, (0.40, 0, 0.30), data.coffee()),
    ]
    for half, turn, size, cover in stack:
        book = build.glossy(build.image(cover), 0.3)
        parts.append(build.box((-1.0, top + half, -3.4), (size[0], half, size[2]), book, turn))
        top += 2 * half
    return parts


def _still_life(build: _Builder) -> list[Any]:
    """What stands on the table."""
    parts: list[Any] = []
    parts += _framed(build, (0.0, _TABLE + 0.52, -4.45), (0.62, 0.42), data.chelsea(), 9, "d9c79a")
    panels = build.glossy(build.image(_panels()), 0.12)
    parts.append(build.sphere(_BALL, BALL_RADIUS, panels, 20))
    parts.append(build.sphere((0.22, _TABLE + 0.13, -2.7), 0.13, build.metal("Cu", 0.25)))
    mug = build.glossy(build.image(_tinted(data.coins(), "cfc6b4")), 0.1)
    wall = [(0.0, 0.0), (0.14, 0.0), (0.15, 0.03), (0.155, 0.34), (0.14, 0.34), (0.135, 0.03)]
    parts.append(build.lathed((-0.33, _TABLE, -2.8), wall, mug, 200))
    coffee = build.glossy(build.colour("3a2012"), 0.08)
    parts.append(build.sheet((-0.33, _TABLE + 0.28, -2.8), (0.095, 0.095), coffee, tilt=90))
    crate = build.matt(build.image(_wood("a67c4e", 9), (0.6, 0.6)))
    parts.append(build.box((-1.65, _TABLE + 0.32, -4.75), (0.5, 0.32, 0.4), crate, 24))
    stone = build.matt(build.image(_tinted(data.gravel(), "b9b2a6"), (3.0, 1.5)))
    parts.append(build.sphere((-1.65, _TABLE + 0.92, -4.75), 0.28, stone))
    vase = build.glossy(build.image(_tinted(data.moon()[60:450, 60:450], "3f7f8c"), (2, 1)), 0.15)
    body = [(0.0, 0.0), (0.17, 0.0), (0.3, 0.28), (0.31, 0.45), (0.13, 0.8), (0.11, 0.9), (0.17, 1)]
    parts.append(build.lathed((-0.82, _TABLE, -4.6), body, vase))
    return parts + _plant(build, (1.5, _TABLE, -4.4))


def _plant(build: _Builder, foot: _Point) -> list[Any]:
    """A clipped bush in a clay pot."""
    clay = build.matt(build.image(_tinted(data.gravel(), "b5653f", 0.5), (3.0, 2.0)))
    pot = [
        (0.0, 0.0),
        (0.22, 0.0),
        (0.3, 0.42),
        (0.34, 0.42),
        (0.34, 0.5),
        (0.28, 0.5),
        (0.0, 0.42),
    ]
    leaves = build.matt(build.image(_tinted(data.grass(), "5f8f3a", 1.3), (3.0, 1.5)))
    parts = [build.lathed(foot, pot, clay)]
    generator = np.random.default_rng(4)
    for _ in range(9):
        x, y, z = generator.normal(0, 0.12, 3) * (1, 1.3, 1) + foot + (0, 0.85, 0)
        parts.append(build.sphere((x, y, z), generator.uniform(0.16, 0.26), leaves))
    return parts


def _framed(
    build: _Builder,
    centre: _Point,
    half: tuple[float, float],
    picture: _Image,
    turn: float,
    colour: str,
) -> list[_Part]:
    """A picture in a frame of varnished wood."""
    frame = build.glossy(build.colour(colour), 0.2)
    mount = build.glossy(build.image(picture), 0.3)
    forward = _about_y(turn) @ (0.0, 0.0, 0.036)
    front = (centre[0] + forward[0], centre[1] + forward[1], centre[2] + forward[2])
    wide = (half[0] + 0.07, half[1] + 0.07, 0.035)
    return [build.box(centre, wide, frame, turn), build.sheet(front, half, mount, turn)]


def _lights(build: _Builder) -> list[_Part]:
    """A window on the left, a soft lamp overhead, and a faint sky."""
    sky = {"type": "constant", "radiance": {"type": "rgb", "value": [0.55, 0.6, 0.68]}}
    return [
        build.light((-3.4, 1.0, -4.2), (1.3, 1.0), (0, 90, 0), (9.5, 10.0, 11.0)),
        build.light((0.6, 3.2, -4.6), (1.6, 1.2), (90, 0, 0), (8.0, 7.2, 6.0)),
        sky,
    ]


def _about_y(degrees: float) -> Float[np.ndarray, "3 3"]:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])


def _smooth(profile: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "rings 2"]:
    """The profile with its corners cut twice, as in Chaikin, An Algorithm for High-Speed Curve
    Generation (1974).
    """
    for _ in range(2):
        cut = np.stack(
            [0.75 * profile[:-1] + 0.25 * profile[1:], 0.25 * profile[:-1] + 0.75 * profile[1:]], 1
        )
        profile = np.concatenate([profile[:1], cut.reshape(-1, 2)[1:-1], profile[-1:]])
    return profile


def _shades(grey: UInt8[np.ndarray, "rows columns"]) -> _Image:
    return np.repeat(grey[..., None], 3, axis=-1)


def _tinted(grey: UInt8[np.ndarray, "rows columns"], colour: str, contrast: float = 1.0) -> _Image:
    """A grey photo in shades of a display colour, which becomes its mean."""
    shade = 1 + contrast * (grey[..., None] / grey.mean() - 1)
    return np.clip(shade * list(bytes.fromhex(colour)), 0, 235).astype(np.uint8)


def _wood(colour: str, seed: int) -> _Image:
    """Six planks along the horizontal, each with its own grain and shade."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(384, 512))
    fine = gaussian_filter(noise, (1.0, 40.0), mode="wrap")
    broad = gaussian_filter(noise, (5.0, 90.0), mode="wrap")
    grain = 0.09 * fine / fine.std() + 0.09 * np.sin(3 * broad / broad.std())
    shade = np.repeat(generator.uniform(0.8, 1.1, 6), 64)[:, None] * (1 + grain)
    shade[::64] *= 0.45
    shade[1::64] *= 0.7
    return np.clip(shade[..., None] * list(bytes.fromhex(colour)), 0, 235).astype(np.uint8)


def _panels() -> _Image:
    """Six coloured panels around a ball, with white caps."""
    colours = ["c8342c", "e9e4d6", "2d5fa8", "e6b32e", "e9e4d6", "3b8a4e"]
    panels = np.array([list(bytes.fromhex(colour)) for colour in colours], np.uint8)
    image = np.broadcast_to(np.repeat(panels, 32, axis=0), (96, 192, 3)).copy()
    image[:6] = image[-6:] = 225
    return image
