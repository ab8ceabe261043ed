"""Density and colour from encoded samples as numba kernels: both heads in one pass over the rows.

Values of samples lie feature by feature in memory: ``encoded`` is (features, samples), ``colour``
(3, samples). The hidden layers are never stored; they are computed again in the backward pass.
"""

from __future__ import annotations

import numba
import numpy as np

from sharpfield.jit import cached_njit
from sharpfield.ops.blocks_cpu import (
    BLOCK,
    CHUNKS,
    STRIDE,
    add_outer,
    blocks_of,
    gated_product,
    load,
    outer_parts,
    padded,
    product,
    relu_product,
    scratch,
    store,
    sum_parts,
)

_ONE = np.float32(1)


@numba.njit
def _load_directions(seen_along, ray, first, channels, out):  # type: ignore[no-untyped-def]
    """What is known of each sample's ray, as the features behind the first ``channels``."""
    for i in range(min(BLOCK, ray.shape[0] - first)):
        r = ray[first + i]
        for k in range(seen_along.shape[1]):
            out[(channels + k) * STRIDE + i] = seen_along[r, k]


@numba.njit
def _store_density(feature, first, gain, empty, limit, density):  # type: ignore[no-untyped-def]
    for i in range(min(BLOCK, density.shape[0] - first)):
        log_density = gain * feature[i] + empty
        # Not min(): what is no number must show.
        density[first + i] = np.exp(limit if log_density > limit else log_density)


@numba.njit
def _store_colour(value, first, colour):  # type: ignore[no-untyped-def]
    for k in range(3):
        for i in range(min(BLOCK, colour.shape[1] - first)):
            colour[k, first + i] = _ONE / (_ONE + np.exp(-value[k * STRIDE + i]))


@numba.njit
def _load_value_gradient(d_colour, colour, first, out):  # type: ignore[no-untyped-def]
    """Gradient in front of the sigmoid."""
    if colour.shape[1] - first < BLOCK:
        out[:] = 0
    for k in range(3):
        for i in range(min(BLOCK, colour.shape[1] - first)):
            c = colour[k, first + i]
            out[k * STRIDE + i] = d_colour[k, first + i] * c * (_ONE - c)


@numba.njit
def _add_density_gradient(d_density, density, feature, first, gain, empty, limit, out):  # type: ignore[no-untyped-def]
    for i in range(min(BLOCK, density.shape[0] - first)):
        if gain * feature[i] + empty <= limit:
            out[i] += gain * density[first + i] * d_density[first + i]


@cached_njit(parallel=True)
def density(encoded, w1, w2, gain, empty, limit, out):  # type: ignore[no-untyped-def]
    """The density alone, by the first column of ``w2``."""
    to_hidden, to_feature = padded(w1.T), padded(w2[:, :1].T)
    for chunk in numba.prange(CHUNKS):
        x, hidden, feature = scratch(w1.shape[0]), scratch(w1.shape[1]), scratch(1)
        for block in blocks_of(chunk, encoded.shape[1]):
            load(encoded, block * BLOCK, x)
            relu_product(to_hidden, x, hidden, hidden)
            product(to_feature, hidden, feature, feature)
            _store_density(feature, block * BLOCK, gain, empty, limit, out)


@cached_njit(parallel=True)
def radiance(  # type: ignore[no-untyped-def]
    encoded, seen_along, ray, w1, w2, v1, v2, gain, empty, limit, feature, density, colour
):
    to_hidden, to_feature = padded(w1.T), padded(w2.T)
    to_glow, to_colour = padded(v1.T), padded(v2.T)
    for chunk in numba.prange(CHUNKS):
        x, hidden = scratch(w1.shape[0]), scratch(w1.shape[1])
        seen, glow, value = scratch(v1.shape[0]), scratch(v1.shape[1]), scratch(3)
        for block in blocks_of(chunk, encoded.shape[1]):
            first = block * BLOCK
            load(encoded, first, x)
            relu_product(to_hidden, x, hidden, hidden)
            product(to_feature, hidden, seen, seen)
            _store_density(seen, first, gain, empty, limit, density)
            store(seen, first, feature)
            _load_directions(seen_along, ray, first, w2.shape[1], seen)
            relu_product(to_glow, seen, glow, glow)
            product(to_colour, glow, value, value)
            _store_colour(value, first, colour)


@cached_njit(parallel=True)
def radiance_gradient(  # type: ignore[no-untyped-def]
    encoded, seen_along, ray, w1, w2, v1, v2, gain, empty, limit, feature, density, colour,
    d_density, d_colour, d_encoded, d_w1, d_w2, d_v1, d_v2,
):  # fmt: skip
    """Write the gradients of all but ``seen_along``."""
    channels = w2.shape[1]
    to_hidden, to_glow = padded(w1.T), padded(v1.T)
    from_hidden, from_feature = padded(w1), padded(w2)
    from_glow, from_colour = padded(v1[:channels]), padded(v2)
    part_w1, part_w2 = outer_parts(*w1.shape), outer_parts(*w2.shape)
    part_v1, part_v2 = outer_parts(*v1.shape), outer_parts(*v2.shape)
    for chunk in numba.prange(CHUNKS):
        x, hidden, d_hidden = scratch(w1.shape[0]), scratch(w1.shape[1]), scratch(w1.shape[1])
        seen, glow, d_glow = scratch(v1.shape[0]), scratch(v1.shape[1]), scratch(v1.shape[1])
        d_value, d_feature, d_x = scratch(3), scratch(channels), scratch(w1.shape[0])
        for block in blocks_of(chunk, encoded.shape[1]):
            first = block * BLOCK
            load(feature, first, seen)
            _load_directions(seen_along, ray, first, channels, seen)
            _load_value_gradient(d_colour, colour, first, d_value)
            relu_product(to_glow, seen, glow, glow)
            add_outer(glow, d_value, part_v2[chunk])
            gated_product(from_colour, d_value, glow, d_glow)
            add_outer(seen, d_glow, part_v1[chunk])
            product(from_glow, d_glow, d_feature, d_feature)
            _add_density_gradient(d_density, density, seen, first, gain, empty, limit, d_feature)
            load(encoded, first, x)
            relu_product(to_hidden, x, hidden, hidden)
            add_outer(hidden, d_feature, part_w2[chunk])
            gated_product(from_feature, d_feature, hidden, d_hidden)
            add_outer(x, d_hidden, part_w1[chunk])
            product(from_hidden, d_hidden, d_x, d_x)
            store(d_x, first, d_encoded)
    sum_parts(part_w1, d_w1)
    sum_parts(part_w2, d_w2)
    sum_parts(part_v1, d_v1)
    sum_parts(part_v2, d_v2)
