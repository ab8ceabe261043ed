"""Exact ray tracing of the toy world, and the loops that expose photos with it.

Rays meet spheres and oriented boxes in closed form. Compiled by numba; `toy_render` calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numba import prange

from sharpfield.jit import cached_njit
from sharpfield.scene.toy_texture_cpu import albedo

if TYPE_CHECKING:
    from sharpfield.scene.toy_world import World

SPHERE, BOX = 0, 1
"""Kinds of object."""
_TILE = 8
"""Side, in pixels, of the squares that share one list of the objects which they may see."""
_FAR = 1e9
_SKIN = 1e-4

_SUN = np.array([-0.42, 0.66, 0.6226]) / np.linalg.norm([-0.42, 0.66, 0.6226])
"""Direction towards the sun."""
ACROSS = np.linalg.svd(_SUN[None])[2][1:].copy()
"""Two unit vectors across the sunlight."""
CELLS, CELL = 64, 0.25
"""Cells per side of the grid of shadow casters, and their edge length."""

# Inlined, because a call would pass the arrays of the world one by one.
_jit = cached_njit(fastmath=True, error_model="numpy", forceinline=True)
_parallel = cached_njit(parallel=True, fastmath=True, error_model="numpy")


@_jit
def _to_object(world: World, i: int, x: float, y: float, z: float):  # type: ignore[no-untyped-def]
    # Here and below no views such as world.axes[i]: counting their references costs more than
    # the arithmetic.
    a = world.axes
    return (
        a[i, 0, 0] * x + a[i, 0, 1] * y + a[i, 0, 2] * z,
        a[i, 1, 0] * x + a[i, 1, 1] * y + a[i, 1, 2] * z,
        a[i, 2, 0] * x + a[i, 2, 1] * y + a[i, 2, 2] * z,
    )


@_jit
def _slab(o: float, d: float, half: float):  # type: ignore[no-untyped-def]
    """Distances at which a ray crosses |x| = half, the nearer first."""
    if abs(d) < 1e-9:
        d = 1e-9
    a, b = (-half - o) / d, (half - o) / d
    return min(a, b), max(a, b)


@_jit
def _hit(world: World, i: int, ox, oy, oz, dx, dy, dz) -> float:  # type: ignore[no-untyped-def]
    """Distance along a unit ray to object ``i``, or _FAR. Origins inside an object do not occur."""
    x, y, z = ox - world.centre[i, 0], oy - world.centre[i, 1], oz - world.centre[i, 2]
    along = x * dx + y * dy + z * dz
    inside = along * along - (x * x + y * y + z * z) + world.reach[i] * world.reach[i]
    if inside <= 0.0:
        return _FAR
    if world.kind[i] == 0:
        t = -along - np.sqrt(inside)
        return t if t > _SKIN else _FAR
    px, py, pz = _to_object(world, i, x, y, z)
    qx, qy, qz = _to_object(world, i, dx, dy, dz)
    ax, bx = _slab(px, qx, world.half[i, 0])
    ay, by = _slab(py, qy, world.half[i, 1])
    az, bz = _slab(pz, qz, world.half[i, 2])
    near, far = max(ax, ay, az), min(bx, by, bz)
    return near if far > near > _SKIN else _FAR


@_jit
def _nearest(world: World, listed, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """(object, distance) of the first surface on a unit ray; object -1 when there is none.

    Only the objects in ``listed`` are tried; see `_within_cone`.
    """
    best, first = _FAR, -1
    for i in listed:
        t = _hit(world, i, ox, oy, oz, dx, dy, dz)
        if t < best:
            best, first = t, i
    return first, best


@_jit
def _within_cone(world: World, i, ox, oy, oz, dx, dy, dz, radius, widening) -> bool:  # type: ignore[no-untyped-def]
    """Whether object ``i`` may be met by rays that run near a unit ray.

    "Near" is: no further from it than ``radius + widening * distance``.
    """
    x, y, z = ox - world.centre[i, 0], oy - world.centre[i, 1], oz - world.centre[i, 2]
    along = -(x * dx + y * dy + z * dz)
    radius += widening * (max(along, 0.0) + world.reach[i])
    if world.kind[i] == 0:
        reach = world.reach[i] + radius
        return x * x + y * y + z * z - along * along < reach * reach
    px, py, pz = _to_object(world, i, x, y, z)
    qx, qy, qz = _to_object(world, i, dx, dy, dz)
    ax, bx = _slab(px, qx, world.half[i, 0] + radius)
    ay, by = _slab(py, qy, world.half[i, 1] + radius)
    az, bz = _slab(pz, qz, world.half[i, 2] + radius)
    near, far = max(ax, ay, az), min(bx, by, bz)
    return far > near and far > 0.0


@_jit
def _surface(world: World, i: int, x: float, y: float, z: float):  # type: ignore[no-untyped-def]
    """World normal, texture coordinates (second one down) and face at a point of object ``i``."""
    x, y, z = x - world.centre[i, 0], y - world.centre[i, 1], z - world.centre[i, 2]
    px, py, pz = _to_object(world, i, x, y, z)
    hx, hy, hz = world.half[i, 0], world.half[i, 1], world.half[i, 2]
    if world.kind[i] == 0:
        # Coordinates by the face of the enclosing cube: no pole where a pattern shrinks to nothing.
        nx, ny, nz = px / hx, py / hx, pz / hx
        mx, my, mz = abs(nx), abs(ny), abs(nz)
    else:
        nx, ny, nz = 0.0, 0.0, 0.0
        mx, my, mz = 1.0 - (hx - abs(px)), 1.0 - (hy - abs(py)), 1.0 - (hz - abs(pz))
    a = world.axes
    if mx >= my and mx >= mz:
        u, v, axis, sign = pz, py, 0, np.sign(px)
    elif my >= mz:
        u, v, axis, sign = px, pz, 1, np.sign(py)
    else:
        u, v, axis, sign = px, py, 2, np.sign(pz)
    if world.kind[i] == 0:
        scale = 1.0 / max(mx, my, mz)
        u, v = hx * np.arctan(u * scale / hx), hx * np.arctan(v * scale / hx)
        wx = a[i, 0, 0] * nx + a[i, 1, 0] * ny + a[i, 2, 0] * nz
        wy = a[i, 0, 1] * nx + a[i, 1, 1] * ny + a[i, 2, 1] * nz
        wz = a[i, 0, 2] * nx + a[i, 1, 2] * ny + a[i, 2, 2] * nz
    else:
        wx, wy, wz = sign * a[i, axis, 0], sign * a[i, axis, 1], sign * a[i, axis, 2]
    return wx, wy, wz, u, -v, axis


@_jit
def _cell(across: float) -> int:
    return min(max(int(np.floor(across / CELL)) + CELLS // 2, 0), CELLS - 1)


@_jit
def _lit(world: World, x, y, z, lx, ly, lz) -> float:  # type: ignore[no-untyped-def]
    column = _cell(ACROSS[0, 0] * x + ACROSS[0, 1] * y + ACROSS[0, 2] * z)
    row = _cell(ACROSS[1, 0] * x + ACROSS[1, 1] * y + ACROSS[1, 2] * z)
    remaining, i = world.blockers[row, column], 0
    while remaining > 0:
        if remaining & 1 and _hit(world, i, x, y, z, lx, ly, lz) < _FAR:
            return 0.0
        remaining >>= 1
        i += 1
    return 1.0


@_jit
def _radiance(world: World, listed, ox, oy, oz, dx, dy, dz):  # type: ignore[no-untyped-def]
    """Linear colour (red, green, blue) seen along a unit ray: Lambert with shadow, weak gloss.

    ``listed`` as for `_nearest`.
    """
    i, t = _nearest(world, listed, ox, oy, oz, dx, dy, dz)
    if i < 0:
        return 0.0, 0.0, 0.0
    x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
    nx, ny, nz, u, v, face = _surface(world, i, x, y, z)
    r, g, b = albedo(
        world.pattern[i], u, v, world.size[i], world.seed[i] + 17 * face, world.colours, i
    )
    lx, ly, lz = _SUN[0], _SUN[1], _SUN[2]
    facing = nx * lx + ny * ly + nz * lz
    sun, glint = 0.0, 0.0
    if facing > 0.0:
        sun = _lit(world, x + _SKIN * nx, y + _SKIN * ny, z + _SKIN * nz, lx, ly, lz)
        hx, hy, hz = lx - dx, ly - dy, lz - dz
        aligned = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz)
        glint = sun * world.gloss[i] * max(aligned, 0.0) ** 24
    sun *= max(facing, 0.0)
    # A warm sun and a cool sky.
    red = (0.32 + 0.08 * ny + 0.92 * sun) * r + glint
    green = (0.34 + 0.09 * ny + 0.88 * sun) * g + glint
    blue = (0.37 + 0.1 * ny + 0.82 * sun) * b + glint
    return min(red, 0.9), min(green, 0.9), min(blue, 0.9)


@_jit
def _turn(poses, k, x, y, z):  # type: ignore[no-untyped-def]
    """A direction of camera ``k`` in world axes."""
    return (
        poses[k, 0, 0] * x + poses[k, 0, 1] * y + poses[k, 0, 2] * z,
        poses[k, 1, 0] * x + poses[k, 1, 1] * y + poses[k, 1, 2] * z,
        poses[k, 2, 0] * x + poses[k, 2, 1] * y + poses[k, 2, 2] * z,
    )


@_jit
def _list_objects(world, poses, intrinsics, top, left, aperture, focus, listed):  # type: ignore[no-untyped-def]
    """Put into ``listed`` what the tile at (top, left) may see from any pose; return how many."""
    fx, fy, cx, cy = intrinsics
    x, y = (left + 0.5 * _TILE - cx) / fx, -(top + 0.5 * _TILE - cy) / fy
    scale = 1.0 / np.sqrt(x * x + y * y + 1.0)
    # Half a diagonal and a sample's offset; beyond its focus the lens widens the bundle too.
    widening = (0.71 * _TILE + 1.0) / min(fx, fy) + aperture / focus
    count = 0
    for i in range(world.kind.size):
        for k in range(poses.shape[0]):
            dx, dy, dz = _turn(poses, k, x * scale, y * scale, -scale)
            ox, oy, oz = poses[k, 0, 3], poses[k, 1, 3], poses[k, 2, 3]
            if _within_cone(world, i, ox, oy, oz, dx, dy, dz, aperture, widening):
                listed[count] = i
                count += 1
                break
    return count


@_jit
def _sample(world, listed, poses, k, offsets, intrinsics, aperture, focus, row, column):  # type: ignore[no-untyped-def]
    """Linear colour of one pixel's sample ``k``, seen from pose ``k``."""
    fx, fy, cx, cy = intrinsics
    x = (column + 0.5 + offsets[k, 0] - cx) / fx
    y = -(row + 0.5 + offsets[k, 1] - cy) / fy
    # Rays leave the lens at (sx, sy) and meet at the plane of focus.
    sx, sy = aperture * offsets[k, 2], aperture * offsets[k, 3]
    dx, dy, dz = _turn(poses, k, x - sx / focus, y - sy / focus, -1.0)
    ox, oy, oz = _turn(poses, k, sx, sy, 0.0)
    ox, oy, oz = ox + poses[k, 0, 3], oy + poses[k, 1, 3], oz + poses[k, 2, 3]
    scale = 1.0 / np.sqrt(dx * dx + dy * dy + dz * dz)
    return _radiance(world, listed, ox, oy, oz, dx * scale, dy * scale, dz * scale)


@_parallel
def expose_rows(world, poses, offsets, intrinsics, aperture, focus, photo):  # type: ignore[no-untyped-def]
    """Fill ``photo`` (height, width, 3) as `toy_render.expose` says."""
    height, width, _ = photo.shape
    count = poses.shape[0]
    for band in prange((height + _TILE - 1) // _TILE):
        top = band * _TILE
        buffer = np.empty(world.kind.size, np.int64)
        for left in range(0, width, _TILE):
            seen = _list_objects(world, poses, intrinsics, top, left, aperture, focus, buffer)
            listed = buffer[:seen]
            for row in range(top, min(top + _TILE, height)):
                for column in range(left, min(left + _TILE, width)):
                    red, green, blue = 0.0, 0.0, 0.0
                    for k in range(count):
                        r, g, b = _sample(
                            world,
                            listed,
                            poses,
                            k,
                            offsets,
                            intrinsics,
                            aperture,
                            focus,
                            row,
                            column,
                        )
                        red, green, blue = red + r, green + g, blue + b
                    photo[row, column, 0] = red / count
                    photo[row, column, 1] = green / count
                    photo[row, column, 2] = blue / count


@_parallel
def smear_rows(world, given, poses, intrinsics, extent, depth):  # type: ignore[no-untyped-def]
    """Fill ``extent`` and ``depth`` (height, width) as `toy_render.smear` says, for a pinhole.

    ``given`` is (1, 3, 4): the pose from which each pixel's surface point is seen.
    """
    height, width = extent.shape
    fx, fy, cx, cy = intrinsics
    count = poses.shape[0]
    for row in prange(height):
        places = np.empty((count, 2))
        everything = np.arange(world.kind.size)
        for column in range(width):
            dx, dy, dz = _turn(given, 0, (column + 0.5 - cx) / fx, -(row + 0.5 - cy) / fy, -1.0)
            length = np.sqrt(dx * dx + dy * dy + dz * dz)
            _, t = _nearest(
                world,
                everything,
                given[0, 0, 3],
                given[0, 1, 3],
                given[0, 2, 3],
                dx / length,
                dy / length,
                dz / length,
            )
            # The camera direction has length ``length`` per unit of depth.
            t /= length
            depth[row, column] = t
            for k in range(count):
                x = given[0, 0, 3] + t * dx - poses[k, 0, 3]
                y = given[0, 1, 3] + t * dy - poses[k, 1, 3]
                z = given[0, 2, 3] + t * dz - poses[k, 2, 3]
                away = -(poses[k, 0, 2] * x + poses[k, 1, 2] * y + poses[k, 2, 2] * z)
                right = poses[k, 0, 0] * x + poses[k, 1, 0] * y + poses[k, 2, 0] * z
                up = poses[k, 0, 1] * x + poses[k, 1, 1] * y + poses[k, 2, 1] * z
                places[k, 0], places[k, 1] = fx * right / away, -fy * up / away
            widest = 0.0
            for i in range(count):
                for j in range(i):
                    a, b = places[i, 0] - places[j, 0], places[i, 1] - places[j, 1]
                    widest = max(widest, a * a + b * b)
            extent[row, column] = np.sqrt(widest)
