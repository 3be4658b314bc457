"""Modules are found by their imports, and hashed by their code alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from quorum.source_code import code_digest, file_digest, reached


def tree(root: Path, files: dict[str, str]) -> Path:
    """Write modules below a folder."""
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("statement", "modules"),
    [
        ("import p.a.x", {"p", "p.a", "p.a.x"}),
        ("import p.a.x as y", {"p", "p.a", "p.a.x"}),
        ("from p.a import x", {"p", "p.a", "p.a.x"}),
        ("from p.a.x import thing", {"p", "p.a", "p.a.x"}),
        ("from p import a", {"p", "p.a"}),
        ("import os, torch", set()),
        (
            "def f():\n    if True:\n        try:\n            pass\n        except OSError:\n            import p",
            {"p"},
        ),
        ("match 1:\n    case 1:\n        import p", {"p"}),
        ("for i in ():\n    pass\nelse:\n    import p", {"p"}),
        ("async def f():\n    with g():\n        import p", {"p"}),
    ],
)
def test_imports_are_followed_wherever_they_are(tmp_path: Path, statement: str, modules: set[str]) -> None:
    tree(tmp_path, {"start.py": statement, "p/__init__.py": "", "p/a/__init__.py": "", "p/a/x.py": ""})
    assert set(reached(tmp_path, ["start"], lambda _: True)) == {"start", *modules}


@pytest.mark.parametrize(
    ("importer", "statement", "module"),
    [
        ("p/a/x.py", "from . import y", "p.a.y"),
        ("p/a/x.py", "from .y import thing", "p.a.y"),
        ("p/a/x.py", "from ..b import thing", "p.b"),
        ("p/a/__init__.py", "from .y import thing", "p.a.y"),
        ("p/a/__init__.py", "from .. import b", "p.b"),
    ],
)
def test_relative_imports_are_followed(tmp_path: Path, importer: str, statement: str, module: str) -> None:
    files = {"p/__init__.py": "", "p/b.py": "", "p/a/__init__.py": "", "p/a/x.py": "", "p/a/y.py": ""}
    tree(tmp_path, {**files, importer: statement})
    assert set(reached(tmp_path, ["p.a.x"], lambda _: True)) == {"p", "p.a", "p.a.x", module}


def test_circles_end_and_what_is_not_wanted_is_not_followed(tmp_path: Path) -> None:
    tree(tmp_path, {"a.py": "import b, c", "b.py": "import a", "c.py": "import d", "d.py": ""})
    assert set(reached(tmp_path, ["a"], lambda name: name != "c")) == {"a", "b"}


CODE = 'def f(x):\n    """Text."""\n    return x + 1\n'


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ('"""Module."""\n' + CODE, True),
        (CODE.replace("Text", "Other text"), True),
        (CODE.replace('    """Text."""\n', ""), True),
        (CODE + "# a comment\n", True),
        ("\n\ndef f( x ):\n        return (x+1)  # why\n", True),
        (CODE.replace("1", "2"), False),
        (CODE.replace("x", "y"), False),
        (CODE + "f(1)\n", False),
        (CODE.replace("return x", "return 'Text.' and x"), False),
    ],
)
def test_only_code_changes_a_digest(changed: str, same: bool) -> None:
    assert (code_digest(ast.parse(changed)) == code_digest(ast.parse(CODE))) is same


def test_a_compiled_module_is_hashed_as_it_is(tmp_path: Path) -> None:
    compiled = tmp_path / "fast.so"
    compiled.write_bytes(b"\0\1")
    before = file_digest(compiled)
    compiled.write_bytes(b"\0\2")
    assert file_digest(compiled) != before
