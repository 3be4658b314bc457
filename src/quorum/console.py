"""What a person sees on standard error while something runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from tqdm.auto import tqdm


def say(message: str) -> None:
    """A line on standard error, above any progress bar."""
    tqdm.write(message, file=sys.stderr)


def interactive() -> bool:
    """Whether bars can be shown: on a terminal, or in a notebook, where tqdm draws them as widgets."""
    return sys.stderr.isatty() or tqdm.__module__ == "tqdm.notebook"


def decoding_bar(name: str) -> tuple[tqdm[NoReturn], Callable[[int, int], None]]:
    """A bar for decoding a data set, and the callback (images done, images in all) that moves it."""
    bar = tqdm(desc=f"decoding {name}", unit=" images", file=sys.stderr, disable=not interactive(), leave=False)

    def advance(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return bar, advance
