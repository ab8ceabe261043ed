"""A run folder: who owns it (scene and configuration), and that only one trainer writes to it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml
from filelock import FileLock, Timeout

import sharpfield
from sharpfield.errors import InputError
from sharpfield.files import JSON, explaining, to_json, write_text
from sharpfield.scene.scene import Scene

CONFIG_FILE = "config.yaml"
_LOCK_FILE = ".lock"
_SCHEMA = 1


@dataclass(frozen=True)
class RunRecord:
    """What ``config.yaml`` of a run says: the scene's folder, the configuration tree as nested
    dictionaries, the version of sharpfield that started the run, and `content_of` at its start.
    """

    scene: Path
    config: dict[str, JSON]
    version: str
    scene_content: dict[str, JSON]


def content_of(scene: Scene) -> dict[str, JSON]:
    """What a run depends on of its scene's folder, to tell later whether it is still the same."""
    camera = scene.views[0].camera
    return {
        "photo size": f"{camera.width}x{camera.height}",
        "photos": [view.name for view in scene.views],
        "held-out photos": [view.name for view in scene.views if view.held_out],
        "poses": scene.poses_digest,
    }


def check_content(run: Path, record: RunRecord, content: Mapping[str, JSON]) -> None:
    """Raise ``InputError`` where the run's scene is no longer what the run was started with.

    Held-out photos would have been trained on. Runs of older versions do not know what they had.
    """
    for name, before in record.scene_content.items():
        now = content.get(name)
        if now != before:
            raise InputError(
                f"{run}: {record.scene} is not what this run was started with: {name} "
                f"{_differences(before, now)}; restore it, or train anew with another --output"
            )


@contextmanager
def lock_run(run: Path, anew: bool = False) -> Iterator[None]:
    """Hold the run folder for one trainer; makes the folder when it is missing.

    The operating system drops the lock when the process ends, however it ends. A folder that
    holds nothing but the lock afterwards is removed again. Raises ``InputError`` when another
    training holds the lock or, without ``anew``, when the folder is no place for a run.
    """
    if not anew:
        _check_place(run)
    with explaining(run / _LOCK_FILE):
        run.mkdir(parents=True, exist_ok=True)
        lock = FileLock(run / _LOCK_FILE, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(
                f"{run}: another training is using this run folder; "
                "wait for it to end or choose another --output"
            ) from None
    try:
        yield
    finally:
        unused = run.is_dir() and _is_unused(run)
        if unused:
            with suppress(PermissionError):  # Windows removes no open file, but when it is released
                (run / _LOCK_FILE).unlink(missing_ok=True)
        lock.release()
        if unused:
            with suppress(OSError):  # the next trainer may be here already
                run.rmdir()


def claim_run(
    run: Path,
    config: Mapping[str, object],
    scene: Path,
    content: Mapping[str, JSON],
    may_change: frozenset[str] = frozenset(),
    anew: bool = False,
) -> RunRecord:
    """Make ``run`` the run of this scene and configuration, or check that it already is.

    ``config`` is the nested dictionary of ``settings.to_dict``, ``content`` that of `content_of`.
    ``may_change`` names the dotted keys that a resumed run may change (such as the number of
    steps); their new values are recorded, and so is where a scene was moved to. Raises
    ``InputError`` that names the first key that differs, with both values; nothing in the folder is
    compared with ``anew``.
    """
    mine, content = _plain(config), dict(content)
    scene = scene.resolve()
    if not anew:
        _check_place(run)
    if anew or not os.path.exists(run / CONFIG_FILE):
        return _write_record(run, scene, mine, content)
    theirs = read_run(run)
    moved = theirs.scene_content and not theirs.scene.exists()
    if theirs.scene != scene and not moved:
        raise InputError(
            f"{run}: this run belongs to the scene {theirs.scene}, not {scene}; "
            "choose another --output"
        )
    check_content(run, theirs, content)
    old, new = _flat(theirs.config), _flat(mine)
    # Defaults may differ between versions as well, but to set them alike would not help.
    only_one_has = sorted(old.keys() ^ new.keys())
    for key in [*only_one_has, *new]:
        before, now = old.get(key, "unset"), new.get(key, "unset")
        if before != now and key not in may_change:
            advice = "use the same settings to resume it or choose another --output"
            if key in only_one_has:
                advice = "it is of another version of sharpfield; choose another --output"
            raise InputError(
                f"{run}: this run was started with {key} = {before}, now it is {now}; {advice}"
            )
    if old == new and (theirs.scene, theirs.scene_content) == (scene, content):
        return theirs
    return _write_record(run, scene, mine, content)


def read_run(run: Path) -> RunRecord:
    """The record of an existing run. Raises ``InputError`` when ``run`` is not a run folder."""
    path = run / CONFIG_FILE
    if not os.path.isdir(run):
        raise InputError(f"{run}: no such run folder; make one with 'sharpfield train'")
    if not os.path.isfile(path):
        raise InputError(f"{run}: not a run folder (no {CONFIG_FILE}); give a folder of 'train'")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read ({reason}); choose another run folder") from error
    if not isinstance(content, dict) or not {"scene", "config", "schema"} <= content.keys():
        raise InputError(f"{path}: not the record of a sharpfield run; choose another folder")
    config, scene_content = content["config"], content.get("scene_content", {})
    is_sound = isinstance(content["scene"], str) and isinstance(config, dict)
    if content["schema"] != _SCHEMA or not (is_sound and isinstance(scene_content, dict)):
        raise InputError(
            f"{path}: written by sharpfield {content.get('version')} in a format that "
            f"{sharpfield.__version__} does not read; choose another folder"
        )
    return RunRecord(Path(content["scene"]), config, str(content.get("version")), scene_content)


def _check_place(run: Path) -> None:
    """Raise ``InputError`` where a run would mix with something else.

    What cannot be looked at does not exist here; who writes there finds out why.
    """
    is_folder = os.path.isdir(run)
    if os.path.exists(run) and not is_folder:
        raise InputError(f"{run}: this is a file, a run needs a folder; choose another --output")
    if is_folder and not os.path.exists(run / CONFIG_FILE) and not _is_unused(run):
        raise InputError(
            f"{run}: this folder is not empty and is no run folder; choose another --output"
        )


def _is_unused(run: Path) -> bool:
    with explaining(run / CONFIG_FILE):
        return all(entry.name == _LOCK_FILE for entry in run.iterdir())


def _write_record(
    run: Path, scene: Path, config: dict[str, JSON], content: dict[str, JSON]
) -> RunRecord:
    record = {
        "scene": str(scene),
        "scene_content": content,
        "config": config,
        "version": sharpfield.__version__,
        "schema": _SCHEMA,
    }
    write_text(run / CONFIG_FILE, yaml.safe_dump(record, sort_keys=False, allow_unicode=True))
    return RunRecord(scene, config, sharpfield.__version__, content)


def _differences(before: JSON, now: JSON) -> str:
    """In words, naming at most three of many."""
    if not isinstance(before, list) or not isinstance(now, list):
        return f"changed from {before} to {now}"
    changes = []
    for word, these, those in (("without", before, now), ("with", now, before)):
        names = [str(name) for name in these if name not in those]
        if names:
            changes.append(f"{word} {', '.join(names[:3])}{' ...' if names[3:] else ''}")
    return f"now {' and '.join(changes) or 'in another order'}"


def _plain(config: Mapping[str, object]) -> dict[str, JSON]:
    """Only what YAML gives back unchanged, so that a resumed run compares equal."""
    plain = to_json(config)
    if not isinstance(plain, dict):
        raise TypeError("a configuration is a mapping")
    return plain


def _flat(tree: Mapping[str, JSON], prefix: str = "") -> dict[str, JSON]:
    flat: dict[str, JSON] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
