"""The public names of the package, read from its sources: nothing is imported."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "keras_unet3p"
_NOT_FOR_USERS = {"cli", "compat", "__main__"}


class Room(NamedTuple):
    """A room, the first line of its docstring, and the names that it exports.

    origins: name -> the module that a name is imported from, for those that are imported.
    """

    name: str
    first_line: str
    names: list[str]
    origins: dict[str, str]


def rooms() -> list[Room]:
    """All rooms with something for users, by name."""
    parts = list(PACKAGE.glob("*/__init__.py"))
    files = [path for path in PACKAGE.glob("[!_]*.py") if path.stem not in _NOT_FOR_USERS]
    return sorted(read_room(path) for path in (*parts, *files))


def read_room(path: Path) -> Room:
    tree = ast.parse(path.read_text("utf-8"))
    name = path.parent.name if path.name == "__init__.py" else path.stem
    docstring = ast.get_docstring(tree) or ""
    origins = {
        alias.asname or alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    names = sorted(_exported(tree), key=lambda text: (text.isupper(), text.lower()))
    return Room(name, docstring.partition("\n")[0], names, origins)


def _exported(tree: ast.Module) -> list[str]:
    """What `__all__` lists; of a file without one, the classes and functions that it defines."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    defined = (node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)))
    return [node.name for node in defined if not node.name.startswith("_")]
