"""Source files as what they compute: which modules an import reaches, and a digest that only their code can change."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


def reached(root: Path, names: Iterable[str], follow: Callable[[str], bool]) -> dict[str, ast.Module]:
    """The modules that some modules import, directly or through others, wherever the import is; nothing is imported.

    Importing `a.b` runs `a` too, and `from a import b` may mean the module `a.b`: both count as imports.

    Args:
        root: folder that holds the top-level modules and packages.
        names: modules to begin with.
        follow: whether a module, and what is reached only through it, is wanted.

    Returns:
        Syntax trees by the full name of their module, those of `names` included.

    Raises:
        SyntaxError: for a file that cannot be parsed.
    """
    found: dict[str, ast.Module] = {}
    waiting = [part for name in names for part in _with_parents(name)]
    while waiting:
        name = waiting.pop()
        file = None if name in found or not follow(name) else module_file(root, name)
        if file is not None:
            found[name] = parse(file)
            package = name if file.name == "__init__.py" else name.rpartition(".")[0]
            waiting += _imports(found[name], package)
    return found


def module_file(root: Path, name: str) -> Path | None:
    """The source file of a module below a folder; None where there is none."""
    path = root.joinpath(*name.split("."))
    return next((file for file in (path / "__init__.py", path.with_name(f"{path.name}.py")) if file.is_file()), None)


def parse(file: Path) -> ast.Module:
    """The syntax tree of a source file. Raises SyntaxError where it cannot be parsed."""
    return ast.parse(file.read_bytes(), file)


def file_digest(file: Path) -> str:
    """`code_digest` of a source file; SHA-256 of the bytes of any other, such as a compiled module."""
    return code_digest(parse(file)) if file.suffix == ".py" else hashlib.sha256(file.read_bytes()).hexdigest()


def code_digest(tree: ast.Module) -> str:
    """SHA-256 of a module's syntax tree, which comments, docstrings and formatting leave as it is.

    Syntax trees differ between Python's minor versions, and so do the digests. The docstrings are taken out of the
    tree.
    """
    for block in list(_blocks(tree)):
        block[:] = [statement for statement in block if not _is_constant(statement)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def _is_constant(statement: ast.AST) -> bool:
    """Whether a statement does nothing: a docstring, or `...`."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _blocks(node: ast.AST) -> Iterator[list[ast.AST]]:
    """All lists of statements in a tree. Neither imports nor docstrings are anywhere else."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        block = getattr(node, name, None)
        if isinstance(block, list):
            yield block
            for statement in block:
                yield from _blocks(statement)


def _imports(tree: ast.Module, package: str) -> Iterator[str]:
    """Every name that may be a module's in the imports of a module in a package."""
    for statement in (statement for block in _blocks(tree) for statement in block):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                yield from _with_parents(alias.name)
        elif isinstance(statement, ast.ImportFrom):
            parents = package.split(".")
            above = parents[: len(parents) - statement.level + 1] if statement.level else []
            module = ".".join([*above, *filter(None, [statement.module])])
            yield from _with_parents(module)
            yield from (f"{module}.{alias.name}" for alias in statement.names)


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
