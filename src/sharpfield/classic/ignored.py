"""Options that are accepted and do nothing, each with the reason."""

from __future__ import annotations

from sharpfield.classic.options import ClassicOptions

_NEVER_USED = "the original never used it either"
_VIEW_CODE = "never read by the original; a kernel always has its view's code"
_OTHER_DATA = "for other data sets"
_THREE = "a rotation or translation is 3 numbers"
_PATH = "dynamic's motions follow a camera path"

_ALWAYS = {
    "testskip": _OTHER_DATA,
    "shape": _OTHER_DATA,
    "white_bkgd": "the last sample of a ray is opaque",
    "precrop_iters": _NEVER_USED,
    "precrop_frac": _NEVER_USED,
    "awp_dir_freq": _NEVER_USED,
    "awp_rgb_freq": _NEVER_USED,
    "awp_depth_freq": _NEVER_USED,
    "rbk_use_view_embed": _VIEW_CODE,
    "rbk_use_viewdirs": _VIEW_CODE,
    "rbk_enc_brc_skips": "beyond the encoder's usual depth, and skips are not built",
}
_OF_RIGID_NETWORK = (
    "rbk_enc_brc_depth",
    "rbk_enc_brc_width",
    "rbk_se_r_depth",
    "rbk_se_r_width",
    "rbk_se_v_depth",
    "rbk_se_v_width",
    "rbk_ccw_depth",
    "rbk_ccw_width",
    "rbk_se_rv_window",
)


def ignored(options: ClassicOptions) -> list[str]:
    """At most one line: the options that were given and change nothing, with the reasons.

    A flag that was switched off is no such option where that is what happens anyway. Options that
    only a base of the option file gives are not counted: a base serves many kinds of runs. A blur
    model that never comes into play is named in any case.
    """
    by_reason: dict[str, list[str]] = {}
    for name, reason in _reasons(options).items():
        by_reason.setdefault(reason, []).append(name)
    if not by_reason:
        return []
    parts = [f"{', '.join(sorted(names))} ({reason})" for reason, names in by_reason.items()]
    return [f"without effect here: {'; '.join(parts)}"]


def _reasons(options: ClassicOptions) -> dict[str, str]:
    found = {
        name: reason
        for name, reason in {**_ALWAYS, **_of_model(options)}.items()
        if name in options.given and getattr(options, name) is not False
    }
    for name in ("rbk_se_r_output_ch", "rbk_se_v_output_ch"):
        if name in options.given and getattr(options, name) != 3:
            found[name] = _THREE
    if "lindisp" in options.given and options.lindisp and not options.no_ndc:
        found["lindisp"] = "counts with no_ndc only"
    if options.blur_model_type == "dpnerf" and not options.use_dpnerf:
        found["blur_model_type"] = "dpnerf without use_dpnerf renders plain rays, as none does"
    elif options.blur_model_type != "none" and options.kernel_start_iter >= options.N_iters:
        start = f"kernel_start_iter {options.kernel_start_iter} of {options.N_iters} steps"
        found["blur_model_type"] = f"{start}: the kernel never starts"
    return found | _switched_off(options)


def _of_model(options: ClassicOptions) -> dict[str, str]:
    """Options that do nothing with the blur model of this run."""
    if options.blur_model_type == "dynamic":
        return dict.fromkeys(_OF_RIGID_NETWORK, _PATH)
    return {"use_rigidmask": "only blur_model_type dynamic has a mask"}


def _switched_off(options: ClassicOptions) -> dict[str, str]:
    """Parts of the dynamic kernel that stay although their flags were switched off."""
    if options.blur_model_type != "dynamic":
        return {}
    reasons = {
        "rbk_use_origin": "dynamic's kernel always has the unmoved ray",
        "use_dpnerf": "blur_model_type none turns the kernel off",
    }
    return {
        name: reason
        for name, reason in reasons.items()
        if name in options.given and not getattr(options, name)
    }
