"""Settings that choose a registered function by name and set what it takes by name: `adamw(betas=(0.9, 0.99))`.

Such a function has arguments that a training fills in, without defaults, and settings of its own, with defaults.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from quorum.errors import ConfigError, shown, unknown
from quorum.expressions import checked_arguments, parse_call
from quorum.registry import Registry

T = TypeVar("T")

_parsed = functools.lru_cache(maxsize=1024)(parse_call)  # a schedule is asked for every epoch of every training


def choose(registry: Registry[Callable[..., T]], text: str, filled: Collection[str] = ()) -> Callable[..., T]:
    """The function that an expression names, with the settings that it gives.

    Args:
        registry: of functions of this kind.
        text: the expression.
        filled: arguments that a training fills in even where they have defaults.

    Raises:
        QuorumError: for text that is no expression, a name that is unknown, or a setting that the function lacks or
            whose annotation it does not fit.
    """
    call = _parsed(text, registry.setting)
    function = registry.named(call.name)
    settings = [name for name, has_default in arguments(function).items() if has_default and name not in filled]
    for name in call.kwargs:
        if name not in settings:
            reason = unknown(f"setting of {call.name}", name, settings)
            raise ConfigError(f"{registry.setting}: {shown(text)}: {reason}", setting=registry.setting)
    if call.args:
        reason = f"the settings of {call.name} are given by name: {', '.join(settings) or 'it has none'}"
        raise ConfigError(f"{registry.setting}: {shown(text)}: {reason}", setting=registry.setting)
    if not call.kwargs:
        return function
    try:
        return functools.partial(function, **checked_arguments(function, call.kwargs))
    except ValueError as error:
        raise ConfigError(f"{registry.setting}: {shown(text)}: {error}", setting=registry.setting) from error


@functools.lru_cache(maxsize=1024)
def arguments(function: Callable[..., object]) -> dict[str, bool]:
    """The arguments of a function that can be given by name, and whether they have a default."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    taken = inspect.signature(function).parameters.values()
    return {one.name: one.default is not inspect.Parameter.empty for one in taken if one.kind in kinds}


@contextlib.contextmanager
def refused(setting: str, text: str) -> Iterator[None]:
    """Make one line of what goes wrong when a choice is tried out.

    Raises:
        ConfigError: with the value of the setting and the first line of the reason.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"{setting}: {shown(text)}: {reason:.160}", setting=setting) from error
