"""The benchmarks there are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sharpfield.bench.suite import BenchScene, Budget, Contender, Suite
from sharpfield.errors import InputError
from sharpfield.presets import BLURS
from sharpfield.scene.photoreal import PHOTOREAL
from sharpfield.scene.suite import SUITE
from sharpfield.scene.toy import ToySettings


def _contender(name: str, blur: str, *settings: str, seeds: int = 1) -> Contender:
    return Contender(name, (*BLURS[blur], *settings), seeds)


def _motions(
    blur: str, motions: int, *settings: str, seeds: int = 1, name: str | None = None
) -> Contender:
    name = name or f"{blur}-{motions}"
    return _contender(name, blur, f"blur.motions={motions}", *settings, seeds=seeds)


def _time(seconds: int) -> Budget:
    return Budget("time", (f"train.time_budget={seconds}",), f"{seconds} seconds of training")


DPNERF = ("blur.motions_from=network", "blur.refine=0")
"""What makes a rigid kernel that of DP-NeRF: its network of motions, and poses as given."""

SECONDS = 30
"""Training time of a row of the large tables, meant to be done in three hours on two cores."""

BLUR_SCENES = (
    *(BenchScene(name, scene.description, scene.settings) for name, scene in SUITE.items()),
    BenchScene("photoreal", "path-traced still life, uneven motion", PHOTOREAL),
)

BLUR = Suite(
    "blur",
    "Blur models on hard scenes",
    "Synthetic scenes of 144x96, 16 training photos, 4 sharp held-out views.",
    "fast",
    (),
    BLUR_SCENES,
    (
        _motions("dynamic", 6, seeds=3),
        _motions("rigid", 6, seeds=3),
        _contender("none", "none", seeds=3),
        _motions("rigid", 4),
        _contender("dpnerf-4", "rigid", "blur.motions=4", *DPNERF),
        _contender("sparse-5", "sparse"),
        _contender("trajectory-8-linear", "trajectory", "blur.motions=8", "blur.path_points=2"),
        _contender("trajectory-8-cubic", "trajectory", "blur.motions=8"),
        _contender("lens-8", "lens", "blur.motions=8"),
    ),
    (
        _time(SECONDS),
        Budget(
            "rays",
            ("train.time_budget=0", "train.ray_budget=1000000"),
            "1 million kernel rays, whatever time they take",
        ),
    ),
)


def _of_blur(*names: str) -> tuple[BenchScene, ...]:
    return tuple(scene for scene in BLUR_SCENES if scene.name in names)


def _rays(blur: str, thousands: int) -> Contender:
    rays = f"train.ray_budget={1000 * thousands}"
    return _motions(blur, 4, rays, name=f"{blur}-4-{thousands}k")


SAVINGS = Suite(
    "savings",
    "Rays at equal PSNR",
    "The scenes of the suite `blur`. The dynamic kernel is trained with 40 % of the rays of the "
    "fixed one.",
    "fast",
    ("train.time_budget=0",),
    BLUR_SCENES,
    (
        *(_rays("dynamic", 4000), _rays("rigid", 10000)),
        *(_rays("dynamic", 1200), _rays("rigid", 3000)),
        *(_rays("dynamic", 400), _rays("rigid", 1000)),
    ),
    (Budget("rays", (), "As many kernel rays, whatever time they take, as the names say"),),
)


def _variant(name: str, *settings: str) -> Contender:
    return _motions("dynamic", 6, *settings, name=name)


ABLATIONS = Suite(
    "ablations",
    "What the parts of the dynamic kernel are worth",
    "Scenes of the suite `blur`; each line changes one thing of `dynamic-6`. Its CNN has 16 "
    "channels and sees a patch of 34 pixels around each. No pressure means no photo gate either.",
    "fast",
    (),
    _of_blur("uneven", "jagged", "rotation"),
    (
        _variant("dynamic-6"),
        _variant("no-cnn", "blur.mask=view"),
        _variant("no-renormalising", "blur.renormalise=false"),
        _variant(
            "no-pressure",
            "blur.mask_tolerance=0",
            "blur.photo_share=0",
            "blur.photo_tolerance=0",
            "blur.sharp_tolerance=0",
        ),
        _variant("few-rays-first", "blur.first_size=4"),
        _variant("soft-gates", "train.harden=1"),
        _variant("hard-at-once", "train.harden=0.3"),
        _variant("no-sharp-photos", "blur.photo_share=0", "blur.photo_tolerance=0"),
        _variant("small-first", "blur.order=size"),
        _variant("tolerance-0.008", "blur.mask_tolerance=0.008"),
        _variant("no-sharp-pixels", "blur.sharp_tolerance=0"),
        _variant("no-lens", "blur.motions_from=path"),
        _variant("given-poses", "blur.refine=0"),
        _variant("cnn-4", "blur.mask_channels=4"),
        _variant("cnn-32", "blur.mask_channels=32"),
        _variant("patch-26", "blur.mask_reach=1"),
        _variant("patch-66", "blur.mask_reach=6"),
        *(_motions("dynamic", motions) for motions in (4, 8, 16, 24)),
        *(_motions("rigid", motions) for motions in (4, 6, 16, 24)),
    ),
    (_time(SECONDS),),
)

ADAPTIVE = Suite(
    "adaptive",
    "With and without adaptive weights",
    "A scene of the suite `blur`, with NeRF's networks at half their width and half their "
    "samples: DP-NeRF's adaptive weights need them. Meant for a GPU.",
    "fast",
    (
        "field_name=mlp",
        "mlp.width=128",
        "mlp.fine_width=128",
        "hierarchical.coarse=32",
        "hierarchical.fine=32",
        "train.samples=65536",
        "train.head_rate=0.001",
        "train.final_rate=0.1",
        "train.time_budget=0",
    ),
    _of_blur("uneven"),
    (
        _motions("dynamic", 4, "adaptive.enabled=false"),
        _motions("dynamic", 4, "adaptive.enabled=true", name="dynamic-4-adaptive"),
        _motions("rigid", 4, "adaptive.enabled=false"),
        _motions("rigid", 4, "adaptive.enabled=true", name="rigid-4-adaptive"),
    ),
    (Budget("steps", ("train.steps=4000",), "4000 steps, whatever time they take"),),
)

POSES = Suite(
    "poses",
    "With and without corrected poses",
    "Scenes of the suite `blur`, whose given poses are exact but for `noisy-poses`.",
    "fast",
    ("train.time_budget=0",),
    _of_blur("even", "uneven", "noisy-poses"),
    tuple(
        _motions(blur, 4, f"blur.refine={refine}", name=f"{blur}-4{name}")
        for blur in ("dynamic", "rigid")
        for name, refine in (("", 2), ("-given-poses", 0))
    ),
    (Budget("steps", ("train.steps=1000",), "1000 steps, whatever time they take"),),
)

TOY = Suite(
    "toy",
    "Toy scene",
    "192x128, 20 training photos (a fifth sharp), 5 sharp held-out views.",
    "fast",
    (),
    (BenchScene("toy", "uneven motion, smears of 5 to 18 pixels", ToySettings()),),
    (
        _motions("dynamic", 6, seeds=2),
        _motions("dynamic", 8, seeds=2),
        _motions("dynamic", 12),
        _motions("rigid", 7, seeds=2),
        _motions("rigid", 4),
        _motions("rigid", 8),
        _motions("rigid", 12),
        _contender("none", "none"),
    ),
    (
        Budget("demo", ("train.time_budget=50",), "50 seconds of training, as `make demo`"),
        _time(240),
    ),
)

TOY_SEVERE = Suite(
    "toy-severe",
    "Toy scene, severe blur",
    "The toy scene with smears of up to 36 pixels instead of 18.",
    "fast",
    (),
    (BenchScene("severe", "smears of 5 to 36 pixels", ToySettings(shake_pixels=(5.0, 36.0))),),
    (
        _motions("dynamic", 12, seeds=2),
        *(_motions("dynamic", motions) for motions in (4, 8, 16)),
        _motions("rigid", 7, seeds=2),
        _motions("rigid", 4),
        _motions("rigid", 12),
        _contender("trajectory-8", "trajectory", "blur.motions=8"),
        _contender("none", "none"),
    ),
    (_time(240),),
)

BLURBALL = Suite(
    "blurball",
    "blurball (real capture), 300x200",
    "`images_4` at downscale 2, 23 blurred training photos, 4 sharp held-out views, no test-pose "
    "fitting.",
    "default",
    ("scene.downscale=2",),
    (BenchScene("blurball", "real camera shake", Path("blurball")),),
    (_contender("dynamic", "dynamic"), _contender("none", "none")),
    (_time(600),),
)

BLURBALL_FULL = Suite(
    "blurball-full",
    "blurball (real capture), 600x400",
    "`images_4`, 23 blurred training photos, 4 sharp held-out views, no test-pose fitting: as "
    "DP-NeRF, which has 27.20 dB, and SSIM by the window and range of published tables.",
    "default",
    (),
    BLURBALL.scenes,
    (_contender("dynamic", "dynamic", seeds=3), _contender("none", "none")),
    (
        _time(1200),
        Budget(
            "long",
            ("train.time_budget=1800", "hashgrid.ensemble=2"),
            "30 minutes of training, two fields in turns",
        ),
    ),
    protocol="paper",
)

SUITES: Mapping[str, Suite] = {
    suite.name: suite
    for suite in (
        BLUR,
        SAVINGS,
        ABLATIONS,
        ADAPTIVE,
        POSES,
        TOY,
        TOY_SEVERE,
        BLURBALL,
        BLURBALL_FULL,
    )
}


def find_suite(name: str) -> Suite:
    """The benchmark ``name``. Raises ``InputError`` for an unknown one."""
    if name not in SUITES:
        raise InputError(f"bench {name}: no such suite; use {' or '.join(SUITES)}")
    return SUITES[name]
