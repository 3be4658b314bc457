"""Settings that are expressions: `flip | rotate(15) | jitter(0.2, hue=0.1)`, `adamw(betas=(0.9, 0.99))`.

They look like Python and are parsed by its parser, so they have its precedence and its positions; nothing is evaluated.
An expression is calls in a row, joined by `|`. An argument is a number, a text, True, False, None or a tuple of those.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from quorum.errors import ConfigError


@dataclass(frozen=True)
class Call:
    """One name with its arguments.

    Attributes:
        name: what is called.
        args: positional arguments.
        kwargs: arguments by name.
        column: where it stands in the text, from 1.
    """

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    column: int = field(default=1, compare=False)

    def __str__(self) -> str:
        given = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        return f"{self.name}({', '.join(given)})" if given else self.name


def parse_calls(text: str, setting: str) -> tuple[Call, ...]:
    """The calls of an expression, in order.

    Args:
        text: the expression.
        setting: whose value it is, for the error.

    Raises:
        ConfigError: one line with the position, for text that is no such expression.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        column = getattr(error, "offset", None) or 1
        raise _wrong(text, setting, column, "cannot be read") from error
    calls = []
    while isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.BitOr):
        calls.append(_call(tree.right, text, setting))
        tree = tree.left
    calls.append(_call(tree, text, setting))
    return tuple(reversed(calls))


def parse_call(text: str, setting: str) -> Call:
    """The one call of an expression. Raises ConfigError as `parse_calls`, and for several."""
    calls = parse_calls(text, setting)
    if len(calls) > 1:
        raise _wrong(text, setting, calls[1].column, "takes one of them, not several joined by |")
    return calls[0]


def _call(node: ast.expr, text: str, setting: str) -> Call:
    column = node.col_offset + 1
    if isinstance(node, ast.Name):
        return Call(node.id, column=column)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise _wrong(text, setting, column, "expected NAME or NAME(ARGUMENTS), joined by |")
    kwargs = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise _wrong(text, setting, column, "** is not taken")
        kwargs[keyword.arg] = _literal(keyword.value, text, setting)
    return Call(node.func.id, tuple(_literal(argument, text, setting) for argument in node.args), kwargs, column)


def _literal(node: ast.expr, text: str, setting: str) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise _wrong(text, setting, node.col_offset + 1, "an argument is a number, a text or a tuple") from error
    parts = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(part, int | float | str | bool | None) for part in parts):
        raise _wrong(text, setting, node.col_offset + 1, "an argument is a number, a text or a tuple of those")
    return value


def _wrong(text: str, setting: str, column: int, reason: str) -> ConfigError:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return ConfigError(f"{setting}: {shown!r} at character {column}: {reason}", setting=setting)
