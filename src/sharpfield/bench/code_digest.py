"""Which version of the code made a row's numbers."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
ROOMS = (
    *("__init__", "blur", "config", "evaluate", "fields", "geometry", "model", "ops", "presets"),
    *("render", "run", "scene", "settings", "sizes", "train"),
)
"""The parts of the package that a row's numbers depend on."""


@cache
def code_digest(package: Path = PACKAGE) -> str:
    """Eight hexadecimal digits that change with every statement that could change a number.

    Comments, docstrings and layout don't count; releases of Python may write a statement in
    different ways.
    """
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        name = path.relative_to(package)
        if name.with_suffix("").parts[0] in ROOMS:
            digest.update(f"{name.as_posix()}\n{_statements(path)}\n".encode())
    return digest.hexdigest()[:8]


def _statements(path: Path) -> str:
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
