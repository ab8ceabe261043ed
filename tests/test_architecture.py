"""The rules of the architecture that a machine can check, on the source text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "sharpfield"
MODULES = sorted(SOURCE.rglob("*.py"))

# A room may import from itself and from rooms of a lower level.
LEVELS = (
    {"__init__", "errors"},
    {"files", "jit", "progress"},
    {"settings"},
    {"config"},
    {"presets", "sizes"},
    {"geometry"},
    {"scene", "ops"},
    {"fields"},
    {"render"},
    {"blur"},
    {"model"},
    {"train"},
    {"run"},
    {"evaluate"},
    {"export"},
    {"report"},
    {"bench"},
    {"cli"},
    {"classic"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
FORBIDDEN_MODULES = {"pickle", "dill", "joblib", "shelve", "marshal"}
FORBIDDEN_CALLS = {"cuda", "set_default_tensor_type", "set_default_device", "set_default_dtype"}
ONLY_CLI_CALLS = {"print", "input", "exit", "quit", "sys.exit", "os._exit"}
ONLY_CLI_MODULES = {"rich", "typer", "click"}
UNIX_ONLY_MODULES = {"fcntl", "grp", "pwd", "resource", "termios", "tty"}


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of all that is imported, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def imported_rooms(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for line, name in imported(tree):
        package, *inner = name.split(".")
        if package == "sharpfield":
            yield line, inner[0] if inner and inner[0] in LEVEL else "__init__"


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            plain = any(ast.unparse(word) == "weights_only=True" for word in node.keywords)
            yield node.lineno, "torch.load_plain" if name == "torch.load" and plain else name


def imported_at_once(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What is imported together with the module: functions are left out."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imported(node)
        elif not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)


def _top(name: str) -> str:
    return name.split(".")[0]


def faults(path: Path, source: str) -> list[str]:
    """What in ``source``, standing at ``path``, breaks a rule."""
    tree, room = ast.parse(source), room_of(path)
    found = [
        f"{line}: {room} imports {other}"
        for line, other in imported_rooms(tree)
        if other != room and LEVEL[other] >= LEVEL[room]
    ]
    for line, name in imported(tree):
        top = _top(name)
        if top in FORBIDDEN_MODULES or name == "torch.load":
            found.append(f"{line}: {name} executes on load")
        if top in ONLY_CLI_MODULES and LEVEL[room] < LEVEL["cli"]:
            found.append(f"{line}: only cli talks to the user, not {name}")
    found += [
        f"{line}: Windows has no {name}"
        for line, name in imported_at_once(tree)
        if _top(name) in UNIX_ONLY_MODULES
    ]
    for line, name in calls(tree):
        if name == "torch.load":
            found.append(f"{line}: {name} executes on load without weights_only")
        if name.split(".")[-1] in FORBIDDEN_CALLS:
            found.append(f"{line}: {name}: device and dtype follow from arguments")
        if name in ONLY_CLI_CALLS and LEVEL[room] < LEVEL["cli"]:
            found.append(f"{line}: only cli prints, asks or exits, not {name}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_follows_the_rules(path: Path) -> None:
    assert room_of(path) in LEVEL, "a new room needs its place among the levels"
    assert faults(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("geometry/rays.py", "from sharpfield.scene.scene import View"),
        ("scene/llff.py", "from sharpfield.ops import hash"),
        ("ops/hash.py", "import sharpfield.scene.scene"),
        ("files.py", "from sharpfield.config import Config"),
        ("model.py", "def f():\n    from sharpfield import train"),
        ("train/loop.py", "print('step')"),
        ("train/loop.py", "import sys\nsys.exit(1)"),
        ("train/loop.py", "from rich.progress import track"),
        ("fields/mlp.py", "model.cuda()"),
        ("fields/mlp.py", "torch.set_default_tensor_type(t)"),
        ("cli/train.py", "state = torch.load(path)"),
        ("cli/train.py", "state = torch.load(path, weights_only=False)"),
        ("cli/train.py", "from torch import load"),
        ("cli/train.py", "import pickle"),
        ("train/memory.py", "import resource"),
        ("train/memory.py", "class A:\n    from resource import getrusage"),
    ],
)
def test_a_fault_is_noticed(place: str, source: str) -> None:
    assert len(faults(SOURCE / place, source)) == 1


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ("scene/llff.py", "from sharpfield import __version__\nimport sharpfield.files"),
        ("train/loop.py", "from sharpfield.model import Model\nfrom sharpfield.train import loss"),
        ("cli/app.py", "import rich\nprint(1)\nfrom sharpfield.report.page import write"),
        ("cli/train.py", "state = torch.load(path, weights_only=True)"),
        ("fields/mlp.py", "x.to('cuda')\ntorch.cuda.is_available()"),
        ("train/memory.py", "def f():\n    import resource"),
    ],
)
def test_what_is_allowed_passes(place: str, source: str) -> None:
    assert faults(SOURCE / place, source) == []
