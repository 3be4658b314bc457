"""Settings that are expressions: `flip | rotate(15) | jitter(0.2, hue=0.1)`, `adamw(betas=(0.9, 0.99))`.

They look like Python and are parsed by its parser, so they have its precedence and its positions; nothing is evaluated.
An expression is calls in a row, joined by `|`. An argument is a number, a text, True, False, None or a tuple of those.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from quorum.errors import ConfigError, shown, unknown

T = TypeVar("T")
_LONGEST = 74  # characters of an expression that an error shows
_STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)


@dataclass(frozen=True)
class Call:
    """One name with its arguments.

    Attributes:
        name: what is called.
        args: positional arguments.
        kwargs: arguments by name.
        column: its first character in the text, from 1.
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
    # the parser takes no indentation, and counts columns by line: one line without it keeps them those of the text
    line = " ".join(text.splitlines())
    indent = len(line) - len(line.lstrip())
    try:
        tree = ast.parse(line.lstrip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        # the offset is 0 where the expression is cut short, and missing where it is too deep
        column = getattr(error, "offset", None) or len(line) - indent + 1
        raise wrong_call(text, setting, indent + column, "cannot be read") from error
    _count_from_the_text(tree, line, indent)
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
        raise wrong_call(text, setting, calls[1].column, "takes one of them, not several joined by |")
    return calls[0]


def construct(call: Call, kind: Callable[..., T], text: str, setting: str) -> T:
    """What a class or function makes of the arguments of a call.

    Args:
        call: of the expression.
        kind: the class or function. Its signature says how many arguments there are, its annotations of what type;
            ranges are those of pydantic: `Annotated[float, Field(ge=0, le=1)]`. A ValueError that it raises is shown.
        text: the expression, for the error.
        setting: whose value it is, for the error.

    Raises:
        ConfigError: one line with the position, for arguments that do not fit.
    """
    signature, arguments = _signature(kind)
    if len(arguments) == len(signature.parameters):  # no **kwargs, which take any name
        for name in call.kwargs.keys() - set(arguments):
            raise wrong_call(text, setting, call.column, f"{call.name}: {unknown('argument', name, arguments)}")
    try:
        bound = signature.bind(*call.args, **call.kwargs)
    except TypeError as error:
        names = inspect.Signature([p.replace(annotation=p.empty) for p in signature.parameters.values()])
        raise wrong_call(text, setting, call.column, f"{error}; it is {call.name}{names}") from error
    try:
        bound.arguments.update(checked_arguments(kind, bound.arguments))
        return kind(*bound.args, **bound.kwargs)
    except ValueError as error:
        raise wrong_call(text, setting, call.column, f"{call.name}: {error}") from error


def checked_arguments(kind: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as the annotations of a class or function have them: 15 is 15.0 where a float is asked for.

    Args:
        kind: the class or function.
        given: arguments by name; those that it has no name for are left as they are.

    Raises:
        ValueError: for one that does not fit.
    """
    names = _signature(kind)[1]
    return {
        name: _checked(name, value, _adapter(kind, name)) if name in names else value for name, value in given.items()
    }


@functools.cache
def _signature(kind: Callable[..., Any]) -> tuple[inspect.Signature, tuple[str, ...]]:
    """The signature of a class or function, and the arguments that have a name of their own."""
    signature = inspect.signature(kind)
    with contextlib.suppress(NameError):  # of a type that is imported for type checkers alone
        signature = inspect.signature(kind, eval_str=True)
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return signature, tuple(name for name, one in signature.parameters.items() if one.kind not in starred)


@functools.cache
def _adapter(kind: Callable[..., Any], name: str) -> TypeAdapter[Any]:
    """What checks an argument of a class or function."""
    annotation = _signature(kind)[0].parameters[name].annotation
    known = annotation is not inspect.Parameter.empty and not isinstance(annotation, str)
    return TypeAdapter(annotation if known else Any, config=_STRICT)


def _checked(name: str, value: Any, adapter: TypeAdapter[Any]) -> Any:
    """A value as its annotation has it. Raises ValueError where it is not."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        reason = str(error.errors()[0]["msg"])
        known = reason.startswith("Input should be")
        reason = reason.replace("Input should be", "must be") if known else f"does not fit ({reason})"
        raise ValueError(f"{name}={shown(value)} {reason}") from error


def with_argument(text: str, operation: str, argument: str, value: Any, setting: str) -> str:
    """An expression with one named argument of one of its calls replaced, or added where it is not given.

    Args:
        text: the expression.
        operation: name of the call; it has to occur once.
        argument: name of the argument.
        value: a number, a text, True, False, None or a tuple of those.
        setting: whose value it is, for the error.

    Returns:
        The expression written out again: `flip | rotate(degrees=15)`.

    Raises:
        ConfigError: as `parse_calls`; where the call does not occur, occurs twice or has arguments that are given by
            position; where the value cannot be written as an argument.
    """
    calls = parse_calls(text, setting)
    found = [call for call in calls if call.name == operation]
    if not found:
        raise ConfigError(f"{setting}: {unknown('call', operation, {c.name for c in calls})}", setting=setting)
    if len(found) > 1:
        reason = f"{operation} occurs twice, so its {argument} cannot be set alone"
        raise wrong_call(text, setting, found[1].column, reason)
    if found[0].args:
        reason = f"to set {argument} of {operation}, write its arguments by name: {operation}({argument}=...)"
        raise wrong_call(text, setting, found[0].column, reason)
    changed = replace(found[0], kwargs={**found[0].kwargs, argument: value})
    written = " | ".join(str(changed if call is found[0] else call) for call in calls)
    if [call for call in parse_calls(written, setting) if call.name == operation] != [changed]:
        raise ConfigError(f"{setting}: {argument} of {operation} cannot be {shown(value)}", setting=setting)
    return written


def _count_from_the_text(tree: ast.expr, line: str, indent: int) -> None:
    """Make the columns of a tree those of characters in the text; the parser counts bytes of what it was given."""
    read = line.lstrip().encode()
    for node in ast.walk(tree):
        if isinstance(node, ast.expr):
            node.col_offset = indent + len(read[: node.col_offset].decode(errors="ignore"))


def _call(node: ast.expr, text: str, setting: str) -> Call:
    column = node.col_offset + 1
    if isinstance(node, ast.Name):
        return Call(node.id, column=column)
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise wrong_call(text, setting, column, "expected NAME or NAME(ARGUMENTS), joined by |")
    kwargs = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise wrong_call(text, setting, column, "** is not taken")
        if keyword.arg in kwargs:
            raise wrong_call(text, setting, keyword.value.col_offset + 1, f"{keyword.arg} is given twice")
        kwargs[keyword.arg] = _literal(keyword.value, text, setting)
    return Call(node.func.id, tuple(_literal(argument, text, setting) for argument in node.args), kwargs, column)


def _literal(node: ast.expr, text: str, setting: str) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise wrong_call(text, setting, node.col_offset + 1, "an argument is a number, a text or a tuple") from error
    parts = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(part, int | float | str | bool | None) for part in parts):
        raise wrong_call(text, setting, node.col_offset + 1, "an argument is a number, a text or a tuple of those")
    return value


def wrong_call(text: str, setting: str, column: int, reason: str) -> ConfigError:
    """The error for an expression that is wrong at a column, counted from 1."""
    first = max(0, column - 40) if len(text) > _LONGEST else 0
    around = f"{'...' if first else ''}{text[first : first + _LONGEST]}{'...' if text[first + _LONGEST :] else ''}"
    return ConfigError(f"{setting}: {around!r} at character {column}: {reason}", setting=setting)
