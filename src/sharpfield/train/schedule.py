"""What changes over a run: learning rates and the phases of the blur model."""

from __future__ import annotations

from sharpfield.blur.kernel import WARM_UP, Phase
from sharpfield.config import Config

SOFTEST = 1.0
SHARPEST = 0.2
"""Temperatures of the soft gates, in ranks, when the mask opens and just before it hardens."""

PHOTOS_EVERY = 4
"""Photos are judged at every step until the mask opens, then at every so many, since it takes
4 % of a step. Lessons of the mask alone are so rare in a short training that sharp photos would be
noticed late."""

LESSONS = 100
OFTENEST = 4
"""A training of fewer steps than so many times ``blur.mask_every`` teaches the mask more often, in
proportion, down to every fourth step."""

IDLE = 0.9
IDLE_PAUSE = 8
"""A mask that keeps more than this share of the rays it may close is taught so many times less."""

SEEN = 8.0
"""How often pixels have been drawn, in the mean, when thrift is half-way down to its least."""

LEAST_THRIFT = 0.5
"""With this, a view whose pixels cost four times as much is drawn half as often."""

FIRST_SHARE = 0.1
LAST_SHARE = 0.9
STAIR = 10_000
"""Of the adaptive weights: their share of the loss at both ends, and the steps of its stairs."""


def phase_at(progress: float, step: int, config: Config, kernel_size: float = 1.0) -> Phase:
    """Phase of the blur model at ``progress`` in [0, 1): warm-up, first size, soft, hard.

    The Mask CNN starts to learn half-way between the start of the kernel and its own, so that
    it knows what is blurred before it may close anything. A mask that closes next to nothing, by
    the mean ``kernel_size`` of late, is taught less.
    """
    train, blur = config.train, config.blur
    warmup = _begin(train.warmup, train.warmup_steps, progress, step)
    settle = _begin(train.settle, train.settle_steps, progress, step)
    if progress < warmup:
        return WARM_UP
    hard = progress >= train.harden
    every = min(blur.mask_every, max(OFTENEST, round(step / max(progress, 1e-6) / LESSONS)))
    if progress >= settle and kernel_size > IDLE * blur.most_rays(hard):
        every *= IDLE_PAUSE
    learns = blur.model == "dynamic" and progress >= (warmup + settle) / 2
    learn = learns and step % every == 0
    if progress < settle:
        return Phase(kernel_open=True, learn_mask=learn, judge_photos=learns)
    temperature = 0.0
    if not hard:
        done = (progress - settle) / max(1e-6, train.harden - settle)
        temperature = SOFTEST * (SHARPEST / SOFTEST) ** done
    return Phase(
        kernel_open=True,
        mask_open=True,
        temperature=temperature,
        learn_mask=learn,
        judge_photos=learns and step % PHOTOS_EVERY == 0,
        learn_motions=step % blur.motions_every == 0,
    )


def _begin(share: float, steps: int, progress: float, step: int) -> float:
    """The progress at which a stage begins: ``share``, or after ``steps`` if that is earlier."""
    return share if 0 in (steps, step) else min(share, progress * steps / step)


def adaptive_share_at(progress: float, step: int, config: Config) -> float | None:
    """Share of the loss through the adaptive weights; None: both losses count fully.

    It grows exponentially from 10 % at the kernel's start to 90 % at the end. The published code
    looks at it at every 10,000th step only, which ``fidelity`` original keeps.
    """
    if not config.adaptive.handover:
        return None
    start = _begin(config.train.warmup, config.train.warmup_steps, progress, step)
    if config.fidelity == "original" and step > 0:
        progress *= step // STAIR * STAIR / step
    done = (progress - start) / max(1e-6, 1.0 - start)
    return float(FIRST_SHARE * (LAST_SHARE / FIRST_SHARE) ** min(1.0, max(0.0, done)))


def thrift_at(seen: float) -> float:
    """The power of what its pixels cost by which a view is drawn less often.

    At first 1, so that all views get as many rays: sharp photos, whose pixels are cheap, show the
    scene soonest. But once pixels were ``seen`` many times, in the mean, those of sharp photos
    have little more to say, and smeared ones are what is left to learn from.
    """
    return LEAST_THRIFT + (1.0 - LEAST_THRIFT) / (1.0 + (seen / SEEN) ** 2)


def rate_at(progress: float, config: Config) -> float:
    """Factor on all learning rates: exponential decay to ``final_rate``."""
    return float(config.train.final_rate**progress)
