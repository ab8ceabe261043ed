"""The world of the toy scene: textured spheres and boxes, and where they stand.

World axes are those of a camera that looks straight ahead: x right, y up, z back, so content
lies at z = -2.9 .. -8, or from -1.2 on where near things are wanted. Lengths are in scene units.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.transform import Rotation

from sharpfield.scene.toy_texture_cpu import Pattern
from sharpfield.scene.toy_trace_cpu import ACROSS, BOX, CELL, CELLS, SPHERE


class World(NamedTuple):
    """Objects as parallel arrays; a named tuple because numba reads its fields without copies."""

    kind: Int[np.ndarray, " objects"]
    """SPHERE or BOX."""
    centre: Float[np.ndarray, "objects 3"]
    half: Float[np.ndarray, "objects 3"]
    """Half edge lengths of a box; the radius, three times, of a sphere."""
    axes: Float[np.ndarray, "objects 3 3"]
    """Rows are the object's own axes in world coordinates."""
    reach: Float[np.ndarray, " objects"]
    """Radius of the bounding sphere."""
    blockers: Int[np.ndarray, "cells cells"]
    """Bit i is set where object i may shade a cell of the plane across the sunlight."""
    pattern: Int[np.ndarray, " objects"]
    size: Float[np.ndarray, " objects"]
    """Length of the finest texture feature."""
    seed: Int[np.ndarray, " objects"]
    colours: Float[np.ndarray, "objects 3 3"]
    gloss: Float[np.ndarray, " objects"]


class Thing(NamedTuple):
    """One object of the world, as `build_world` takes it; see `World` for the fields."""

    kind: int
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    pattern: Pattern
    size: float
    colours: tuple[str, str, str]
    """Display colours as hexadecimal RRGGBB."""
    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Rotation in degrees about x, y and z, applied in the order z, x, y."""
    gloss: float = 0.03
    casts: bool = True


def build_world(things: list[Thing], seed: int) -> World:
    """The world of ``things``; ``seed`` changes every random texture."""
    rotations = [
        Rotation.from_euler("zxy", (thing.turn[2], thing.turn[0], thing.turn[1]), degrees=True)
        for thing in things
    ]
    colours = [[bytes.fromhex(colour) for colour in thing.colours] for thing in things]
    display = np.array([[list(colour) for colour in row] for row in colours]) / 255.0
    half = np.array([thing.half for thing in things], float)
    kind = np.array([thing.kind for thing in things], np.int64)
    return World(
        kind=kind,
        centre=np.array([thing.centre for thing in things], float),
        half=half,
        axes=np.ascontiguousarray([rotation.as_matrix().T for rotation in rotations]),
        reach=np.where(kind == SPHERE, half[:, 0], np.linalg.norm(half, axis=1)),
        blockers=_blockers(things, rotations),
        pattern=np.array([int(thing.pattern) for thing in things], np.int64),
        size=np.array([thing.size for thing in things], float),
        seed=seed * 1009 + 101 * np.arange(len(things), dtype=np.int64),
        colours=display**2.2,
        gloss=np.array([thing.gloss for thing in things], float),
    )


def _blockers(things: list[Thing], rotations: list[Rotation]) -> Int[np.ndarray, "cells cells"]:
    """`World.blockers`: per cell across the sunlight, the shadow casters that overlap it."""
    grid = np.zeros((CELLS, CELLS), np.int64)
    signs = np.stack(np.meshgrid(*[(-1, 1)] * 3), axis=-1).reshape(8, 3)
    for i, (thing, rotation) in enumerate(zip(things, rotations, strict=True)):
        if thing.kind == SPHERE:
            corners = signs[:, :2] * thing.half[0]
        else:
            corners = rotation.apply(signs * thing.half) @ ACROSS.T
        across = corners + ACROSS @ thing.centre
        low, high = (
            np.clip(np.floor(edge / CELL) + CELLS // 2, 0, CELLS - 1).astype(int)
            for edge in (across.min(axis=0), across.max(axis=0))
        )
        if thing.casts:
            grid[low[1] : high[1] + 1, low[0] : high[0] + 1] |= 1 << i
    return grid


def _floor_height(depth: float) -> float:
    return -1.3 + 0.07 * (depth - 3.0)


def _room() -> list[Thing]:
    """Wall, floor and what hangs on the wall."""
    tilt = float(np.degrees(np.arctan(0.07)))
    return [
        Thing(
            BOX,
            (0, 0, -8.05),
            (9, 7, 0.05),
            Pattern.WALL,
            0.115,
            ("b8694a", "d9cdb8", "e3d3b0"),
            gloss=0.0,
            casts=False,
        ),
        Thing(
            BOX,
            (0, _floor_height(5.2) - 0.03, -5.2),
            (9, 0.03, 3.0),
            Pattern.TILES,
            0.12,
            ("6f8f8c", "d8d2bf", "3f5c66"),
            turn=(tilt, 0, 0),
            gloss=0.05,
            casts=False,
        ),
        Thing(
            BOX,
            (-2.55, 1.55, -7.93),
            (1.15, 0.8, 0.04),
            Pattern.MOSAIC,
            0.11,
            ("1f6f8b", "f2c14e", "d1495b"),
            casts=False,
        ),
        Thing(
            BOX,
            (2.75, 1.95, -7.93),
            (1.15, 0.62, 0.04),
            Pattern.GLYPHS,
            0.11,
            ("f4efe0", "27313d", "c8443a"),
            casts=False,
        ),
        Thing(
            BOX,
            (3.2, 0.25, -7.93),
            (0.62, 0.62, 0.04),
            Pattern.CLOUDS,
            0.11,
            ("214f6b", "7fb7a6", "f0e2b6"),
            casts=False,
        ),
    ]


def _things() -> list[Thing]:
    """What stands on the floor."""
    crate, board = _floor_height(5.1), _floor_height(6.2)
    return [
        Thing(
            SPHERE,
            (-1.3, _floor_height(4.7) + 0.64, -4.7),
            (0.64,) * 3,
            Pattern.CHECKS,
            0.066,
            ("2f6690", "e9d8a6", "d1603d"),
            turn=(20, 30, 15),
            gloss=0.12,
        ),
        Thing(
            SPHERE,
            (0.36, _floor_height(3.75) + 0.32, -3.75),
            (0.32,) * 3,
            Pattern.STRIPES,
            0.055,
            ("c9303e", "f3ead7", "2c7a5b"),
            turn=(25, 0, 40),
            gloss=0.2,
        ),
        Thing(
            BOX,
            (1.42, crate + 0.5, -5.1),
            (0.5, 0.5, 0.5),
            Pattern.WOOD,
            0.07,
            ("c08a4e", "7c4f28", "3a2616"),
            turn=(0, 30, 0),
        ),
        Thing(
            BOX,
            (1.34, crate + 1.3, -5.1),
            (0.3, 0.3, 0.3),
            Pattern.CHECKS,
            0.068,
            ("f0c95a", "4a3a5c", "c9514f"),
            turn=(0, -22, 0),
        ),
        Thing(
            BOX,
            (-0.05, board + 1.85, -6.2),
            (0.85, 0.66, 0.02),
            Pattern.GLYPHS,
            0.085,
            ("f3eee2", "1f3a4d", "b5412f"),
            turn=(0, -10, 0),
        ),
        Thing(
            BOX,
            (-0.05, board + 1.85, -6.23),
            (0.95, 0.76, 0.015),
            Pattern.WOOD,
            0.085,
            ("5b3c27", "7a5236", "2c1c12"),
            turn=(0, -10, 0),
        ),
        Thing(
            BOX,
            (-0.05, board + 0.6, -6.25),
            (0.06, 0.62, 0.02),
            Pattern.WOOD,
            0.085,
            ("5b3c27", "7a5236", "2c1c12"),
        ),
        Thing(
            SPHERE,
            (1.22, 0.66, -3.6),
            (0.25,) * 3,
            Pattern.MOSAIC,
            0.052,
            ("f4b942", "e4572e", "76b3a8"),
            turn=(0, 20, 0),
            gloss=0.15,
        ),
        Thing(
            BOX,
            (1.22, 1.9, -3.6),
            (0.027, 1.0, 0.027),
            Pattern.STRIPES,
            0.055,
            ("3a3a40", "6c6c74", "3a3a40"),
        ),
        Thing(
            BOX,
            (1.6, -0.2, -2.95),
            (0.045, 1.9, 0.045),
            Pattern.STRIPES,
            0.05,
            ("eee7d8", "c2303c", "eee7d8"),
            turn=(0, 25, 9),
        ),
    ]


def _fence() -> list[Thing]:
    paint = ("7fa39a", "4e736c", "2b4441")
    slats = [
        Thing(
            BOX,
            (x, -0.66 + lift, -3.05),
            (0.7, 0.042, 0.018),
            Pattern.WOOD,
            0.045,
            paint,
            turn=(0, 0, 90 + lean),
        )
        for x, lift, lean in (
            (-1.78, 0.0, 1),
            (-1.53, 0.05, -2),
            (-1.28, 0.0, 2),
            (-1.03, -0.06, -1),
            (-0.78, 0.02, 1),
        )
    ]
    rails = [
        Thing(BOX, (-1.3, y, -3.1), (0.66, 0.04, 0.018), Pattern.WOOD, 0.045, paint)
        for y in (-0.2, -0.78)
    ]
    return slats + rails


def _near_things() -> list[Thing]:
    """Thin things close to the cameras, within every camera's view."""
    leaf, bark = ("4d8b3f", "a9c46c", "2c5530"), ("efe3c8", "b5502f", "3b3a4a")
    blades = [
        Thing(
            BOX,
            (x, -0.42 + lift, -1.3 - 0.3 * lift),
            (0.2, 0.016, 0.008),
            Pattern.WOOD,
            0.02,
            leaf,
            turn=(0, 0, 90 + lean),
        )
        for x, lift, lean in (
            (-0.2, 0.0, 14),
            (-0.11, 0.07, 3),
            (-0.02, 0.02, -11),
            (0.13, 0.05, 8),
            (0.21, -0.02, -6),
        )
    ]
    return [
        *blades,
        Thing(
            BOX,
            (-0.46, 0.0, -1.55),
            (0.033, 0.9, 0.033),
            Pattern.STRIPES,
            0.024,
            bark,
            turn=(0, 30, 7),
        ),
        Thing(
            SPHERE,
            (0.4, 0.22, -1.42),
            (0.1,) * 3,
            Pattern.MOSAIC,
            0.021,
            ("e07a3f", "f4e3b2", "3f7d8c"),
            turn=(10, 20, 0),
        ),
        Thing(BOX, (0.4, 0.82, -1.42), (0.008, 0.5, 0.008), Pattern.STRIPES, 0.021, bark),
    ]


def toy_world(seed: int, near: bool = False) -> World:
    """The world that the toy scene shows: a room corner with things at depths 2.9 to 8.

    ``near`` adds a few at depths 1.2 to 1.6.
    """
    return build_world(_room() + _things() + _fence() + (_near_things() if near else []), seed)
