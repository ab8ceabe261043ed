"""Rays through poses, and world rays into the unit cube, as numba kernels with their gradients."""

from __future__ import annotations

import numba
import numpy as np

from sharpfield.jit import cached_njit


@numba.njit(inline="always")
def _towards(xy, pixel, camera):  # type: ignore[no-untyped-def]
    """x and y of the direction, of depth 1, through an image point."""
    focal_x, focal_y, centre_x, centre_y = camera
    return (xy[pixel, 0] - centre_x) / focal_x, (centre_y - xy[pixel, 1]) / focal_y


@cached_njit()
def pixel_rays(camera, xy, pixel, poses, origins, directions):  # type: ignore[no-untyped-def]
    for r in range(len(pixel)):
        x, y = _towards(xy, pixel[r], camera)
        for i in range(3):
            directions[r, i] = poses[r, i, 0] * x + poses[r, i, 1] * y - poses[r, i, 2]
            origins[r, i] = poses[r, i, 3]


@cached_njit()
def pixel_rays_gradient(camera, xy, pixel, d_origins, d_directions, d_poses):  # type: ignore[no-untyped-def]
    for r in range(len(pixel)):
        x, y = _towards(xy, pixel[r], camera)
        for i in range(3):
            d_poses[r, i, 0] = d_directions[r, i] * x
            d_poses[r, i, 1] = d_directions[r, i] * y
            d_poses[r, i, 2] = -d_directions[r, i]
            d_poses[r, i, 3] = d_origins[r, i]


@cached_njit()
def cube_rays(origins, directions, planes, scale, offset, enter, across):  # type: ignore[no-untyped-def]
    for r in range(len(origins)):
        o, d = origins[r], directions[r]
        near, far = (planes[0] - o[2]) / d[2], (planes[1] - o[2]) / d[2]
        for i in range(2):
            enter[r, i] = (o[i] + near * d[i]) * scale[0, i] - offset[i]
            across[r, i] = (o[i] + far * d[i]) * scale[1, i] - offset[i] - enter[r, i]
        enter[r, 2], across[r, 2] = 0, 1


@cached_njit()
def cube_rays_gradient(  # type: ignore[no-untyped-def]
    origins, directions, planes, scale, offset, d_enter, d_across, d_origins, d_directions
):
    for r in range(len(origins)):
        o, d = origins[r], directions[r]
        near, far = (planes[0] - o[2]) / d[2], (planes[1] - o[2]) / d[2]
        d_near = d_far = np.float32(0)
        for i in range(2):
            at_near = (d_enter[r, i] - d_across[r, i]) * scale[0, i]
            at_far = d_across[r, i] * scale[1, i]
            d_origins[r, i] = at_near + at_far
            d_directions[r, i] = near * at_near + far * at_far
            d_near += at_near * d[i]
            d_far += at_far * d[i]
        d_origins[r, 2] = -(d_near + d_far) / d[2]
        d_directions[r, 2] = -(d_near * near + d_far * far) / d[2]
