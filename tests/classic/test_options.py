"""Reading the classic command line and its option files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sharpfield.classic.option_table import GROUPS, OptionTable
from sharpfield.classic.options import ClassicOptions, parse_options
from sharpfield.errors import InputError
from sharpfield.settings import describe

REQUIRED = ["--expname", "ball", "--basedir", "logs", "--datadir", "data", "--tbdir", "tb"]

# method.md C.1: the options of the original with their defaults, typed from there.
DEFAULTS: dict[str, object] = {
    "datadownsample": -1.0,
    "num_gpu": 1,
    "torch_hub_dir": "",
    "netdepth": 8,
    "netwidth": 256,
    "netdepth_fine": 8,
    "netwidth_fine": 256,
    "N_rand": 4096,
    "lrate": 5e-4,
    "lrate_decay": 250,
    "chunk": 32768,
    "netchunk": 65536,
    "no_reload": False,
    "ft_path": None,
    "N_iters": 50000,
    "N_samples": 64,
    "N_importance": 0,
    "perturb": 1.0,
    "use_viewdirs": False,
    "i_embed": 0,
    "multires": 10,
    "multires_views": 4,
    "raw_noise_std": 0.0,
    "rgb_activate": "sigmoid",
    "sigma_activate": "relu",
    "use_rigidmask": 0,  # not DK-NeRF's 1250
    "render_only": False,
    "render_test": False,
    "render_rmnearplane": 0,
    "render_focuspoint_scale": 1.0,
    "render_radius_scale": 1.0,
    "render_factor": 0,
    "render_epi": False,
    "factor": None,
    "no_ndc": False,
    "lindisp": False,
    "spherify": False,
    "llffhold": 8,
    "precrop_iters": 0,
    "precrop_frac": 0.5,
    "testskip": 8,
    "shape": "greek",
    "half_res": False,
    "white_bkgd": False,
    "dataset_type": "llff",
    "i_print": 200,
    "i_tensorboard": 200,
    "i_weights": 20000,
    "i_testset": 20000,
    "i_video": 20000,
    "blur_model_type": "dpnerf",
    "kernel_start_iter": 0,
    "tone_mapping_type": "none",
    "use_dpnerf": False,
    "rbk_use_view_embed": False,
    "rbk_use_viewdirs": False,
    "rbk_view_embed_ch": 32,
    "rbk_enc_brc_depth": 4,
    "rbk_enc_brc_width": 64,
    "rbk_enc_brc_skips": 4,
    "rbk_num_motion": 4,
    "rbk_se_r_depth": 1,
    "rbk_se_r_width": 32,
    "rbk_se_r_output_ch": 3,
    "rbk_se_v_depth": 1,
    "rbk_se_v_width": 32,
    "rbk_se_v_output_ch": 3,
    "rbk_ccw_depth": 1,
    "rbk_ccw_width": 32,
    "rbk_se_rv_window": 0.2,
    "rbk_use_origin": False,
    "use_awp": False,
    "awp_sam_emb_depth": 4,
    "awp_sam_emb_width": 32,
    "awp_mot_emb_depth": 1,
    "awp_mot_emb_width": 32,
    "awp_dir_freq": 2,
    "awp_rgb_freq": 2,
    "awp_depth_freq": 2,
    "awp_ray_dir_freq": 2,
    "use_coarse_to_fine_opt": False,
    "save_warped_ray_img": False,
}
OURS: dict[str, object] = {"seed": 0, "device": "auto", "fidelity": "correct", "memory": "auto"}


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def with_file(path: Path, *arguments: str) -> ClassicOptions:
    return parse_options([*REQUIRED, "--config", str(path), *arguments])


def complaint(*arguments: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_options(arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def file_complaint(path: Path, *lines: str) -> str:
    return complaint(*REQUIRED, "--config", str(write(path, *lines)))


def test_every_classic_option_has_its_default() -> None:
    options = parse_options(REQUIRED)
    for name, value in {**DEFAULTS, **OURS}.items():
        found = getattr(options, name)
        assert found == value and type(found) is type(value), name
    paths = {"config", "expname", "basedir", "datadir", "tbdir"}
    assert {field.name for field in dataclasses.fields(OptionTable)} == {*DEFAULTS, *OURS, *paths}
    assert options.given == {"expname", "basedir", "datadir", "tbdir"}
    assert options.config_text == ""


def test_every_option_can_be_given_in_a_file_and_on_the_command_line(tmp_path: Path) -> None:
    other = {"int": "7", "float": "0.5", "bool": "true", "str": "x", "Path": "x"}
    settings = [setting for setting in describe(OptionTable) if setting.key != "config"]
    values = {
        setting.key: other.get(setting.type.removesuffix(" | None"), setting.type.split(" | ")[-1])
        for setting in settings
    }
    path = write(tmp_path / "all.txt", *(f"{name} = {value}" for name, value in values.items()))
    from_file = parse_options(["--config", str(path)])
    typed = [part for name, value in values.items() for part in (f"--{name}", value)]
    assert dataclasses.replace(
        from_file, config=None, config_text="", given=frozenset(values)
    ) == parse_options(typed)
    for name, value in values.items():
        assert str(getattr(from_file, name)).lower() == value.lower()
    assert from_file.given == {*values, "config"}


def test_every_option_has_help_in_one_group(capsys: pytest.CaptureFixture[str]) -> None:
    grouped = [setting.key for group in GROUPS for setting in describe(group)]
    assert sorted(grouped) == sorted(field.name for field in dataclasses.fields(OptionTable))
    assert all(setting.doc.endswith(".") for group in GROUPS for setting in describe(group))
    with pytest.raises(SystemExit) as stop:
        parse_options(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for name in grouped:
        assert f"--{name} " in text
    for group in GROUPS:
        assert f"\n{group.__doc__}:\n" in text


def test_a_file_has_values_flags_and_comments(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.txt",
        "# a comment = 3",
        "",
        "N_rand = 512   # trailing",
        "N_iters=7",
        "use_awp",
        "  use_dpnerf = True # trailing",
        "rbk_use_origin = False",
        "use_viewdirs # trailing",
        "datadir = ./data/a b#1",
        "ft_path = None",
        "factor = None",
        "lrate = 1e-3",
    )
    options = parse_options(["--config", str(path), "--expname=x", "--basedir=b", "--tbdir=t"])
    assert (options.N_rand, options.N_iters, options.lrate) == (512, 7, 1e-3)
    assert (options.use_awp, options.use_dpnerf, options.use_viewdirs) == (True, True, True)
    assert options.rbk_use_origin is False
    assert (options.ft_path, options.factor) == (None, None)
    assert (options.datadir, options.config) == (Path("data/a b#1"), path)
    assert options.config_text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ([], True),
        (["--use_awp"], True),
        (["--use_awp", "true"], True),
        (["--use_awp", "false"], False),
        (["--use_awp=False"], False),
        (["--use_awp", "--N_rand", "3"], True),
    ],
)
def test_a_flag_of_the_file_can_be_switched_off(
    tmp_path: Path, arguments: list[str], value: bool
) -> None:
    assert with_file(write(tmp_path / "a.txt", "use_awp"), *arguments).use_awp is value


def test_the_command_line_overrides_the_file_which_overrides_its_bases(tmp_path: Path) -> None:
    write(tmp_path / "deep.txt", "N_rand = 1", "N_iters = 1", "lrate = 1", "seed = 1")
    write(tmp_path / "base.txt", "N_rand = 2", "N_iters = 2", "lrate = 2", "base = deep.txt")
    path = write(tmp_path / "scene" / "a.txt", "N_rand = 3", "N_iters = 3", "base = ../base.txt")
    options = with_file(path, "--N_rand", "4")
    assert (options.N_rand, options.N_iters, options.lrate, options.seed) == (4, 3, 2.0, 1)
    assert {"N_rand", "N_iters"} <= options.given
    assert not {"lrate", "seed", "base"} & options.given


def test_the_text_of_a_file_with_bases_needs_no_base(tmp_path: Path) -> None:
    write(tmp_path / "base.txt", "N_rand = 2", "N_iters = 2 # of the base")
    path = write(tmp_path / "scene" / "a.txt", "# mine", "base = ../base.txt", "N_rand = 3")
    options = with_file(path)
    copy = tmp_path / "elsewhere" / "config.txt"
    copy.parent.mkdir()
    copy.write_text(options.config_text, encoding="utf-8")
    again = with_file(copy)
    assert again.config_text == options.config_text
    assert (again.N_rand, again.N_iters) == (3, 2)
    assert "# mine" in again.config_text and "# of the base" in again.config_text


def test_a_classic_args_file_is_an_option_file(tmp_path: Path) -> None:
    options = parse_options([*REQUIRED, "--use_awp", "--N_rand", "5", "--ft_path", "a/b.tar"])
    names = [field.name for field in dataclasses.fields(OptionTable)]
    lines = [f"{name} = {getattr(options, name)}" for name in names if name != "config"]
    path = write(tmp_path / "args.txt", "config = gone.txt", *lines)
    again = parse_options(["--config", str(path)])
    assert again == dataclasses.replace(
        options, config=path, given=again.given, config_text=again.config_text
    )


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--N_rnd", "3"], ["command line", "N_rnd", "nearest is N_rand"]),
        (["--use_apw"], ["command line", "use_apw", "nearest is use_awp"]),
        (["--N_sample=3"], ["N_sample", "nearest is N_samples"]),
        (["--kernel_ptnum", "3"], ["kernel_ptnum", "nearest is"]),
        (["--N_rand", "many"], ["command line", "N_rand", "'many'", "int"]),
        (["--N_rand"], ["command line", "N_rand", "expected one argument", "--help"]),
        (["--lrate", "nan"], ["lrate", "'nan'", "float"]),
        (["--use_awp", "maybe"], ["command line", "use_awp", "'maybe'", "true or false"]),
        (["--device", "tpu"], ["device", "'tpu'", "auto | cpu | cuda"]),
        (["--blur_model_type", "dsk"], ["'dsk'", "none | dpnerf | dynamic"]),
        (["--tone_mapping_type", "ycbcr"], ["'ycbcr'", "none | gamma | learn"]),
        (["--rgb_activate", "tanh"], ["rgb_activate", "'tanh'", "softplus"]),
        (["train"], ["command line", "'train'", "--NAME VALUE"]),
        (["-N_rand", "3"], ["'-N_rand'", "--NAME VALUE"]),
        (["--base", "base.txt"], ["--base", "option file", "--config"]),
        (["--config", "gone.txt"], ["--config gone.txt", "no such file"]),
        (["--config", "."], ["--config .", "option file"]),
        (["--"], ["command line"]),
    ],
)
def test_wrong_arguments_are_explained_in_a_line(arguments: list[str], parts: list[str]) -> None:
    message = complaint(*REQUIRED, *arguments)
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("N_rnd = 3", ["N_rnd", "nearest is N_rand"]),
        ("N_rand = many", ["N_rand", "'many'", "int"]),
        ("N_rand =", ["N_rand", "''", "int"]),
        ("N_rand = [1, 2]", ["N_rand", "'[1, 2]'", "int"]),
        ("use_awp = 2", ["use_awp", "'2'", "true or false"]),
        ("= 3", ["'= 3'", "key = value"]),
        ("base = gone.txt", ["base = gone.txt", "no such file"]),
        ("base = .", ["base = .", "option file"]),
        ("base = a.txt", ["base = a.txt", "circle"]),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, parts: list[str]) -> None:
    path = tmp_path / "a.txt"
    message = file_complaint(path, "# comment", "N_iters = 3", line)
    assert message.startswith(f"{path} line 3: ")
    assert all(part in message for part in parts), message


def test_a_fault_in_a_base_names_the_base(tmp_path: Path) -> None:
    base = write(tmp_path / "base.txt", "N_iters = ten")
    message = file_complaint(tmp_path / "a.txt", "base = base.txt", "N_iters = 3")
    assert message.startswith(f"{base} line 1: ")


def test_bases_in_a_circle_are_found(tmp_path: Path) -> None:
    write(tmp_path / "b.txt", "base = sub/../a.txt")
    (tmp_path / "sub").mkdir()
    message = file_complaint(tmp_path / "a.txt", "base = b.txt")
    assert message.startswith(f"{tmp_path / 'b.txt'} line 1: ") and "circle" in message


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\xfe\x00binary\x93")
    assert complaint(*REQUIRED, "--config", str(path)) == (
        f"--config {path}: not a text file; give the path of an option file"
    )


@pytest.mark.parametrize("name", ["expname", "basedir", "datadir", "tbdir"])
def test_required_options_are_asked_for(tmp_path: Path, name: str) -> None:
    place = REQUIRED.index(f"--{name}")
    rest = REQUIRED[:place] + REQUIRED[place + 2 :]
    assert f"--{name}" in complaint(*rest) and "missing" in complaint(*rest)
    assert "missing" in complaint(*rest, f"--{name}", "")
    config = write(tmp_path / "a.txt", f"{name} = here")
    options = parse_options([*rest, "--config", str(config)])
    assert str(getattr(options, name)) == "here"
