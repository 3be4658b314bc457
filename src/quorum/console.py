"""What a person sees on standard error while something runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Literal, NoReturn

from tqdm.auto import tqdm

Verbosity = Literal["quiet", "normal", "verbose"]
_verbosity: Verbosity = "normal"


def use(wanted: Verbosity) -> None:
    """Choose what this process says from now on: nothing but the answer and errors, the usual, or details too."""
    global _verbosity
    _verbosity = wanted


def use_in_worker(wanted: Verbosity) -> None:
    """As `use`, for a process that works for another and shows no bars: the lock that tqdm has for bars of several
    processes would be left behind where such a process is killed."""
    use(wanted)
    tqdm.set_lock(threading.RLock())


def verbosity() -> Verbosity:
    """What this process says."""
    return _verbosity


def say(message: str) -> None:
    """A line on standard error, above any progress bar."""
    if _verbosity != "quiet":
        tqdm.write(message, file=sys.stderr)
        sys.stderr.flush()


def detail(message: str) -> None:
    """A line that only those want who have asked for details."""
    if _verbosity == "verbose":
        say(message)


def interactive() -> bool:
    """Whether bars can be shown: on a terminal, or in a notebook, where tqdm draws them as widgets."""
    return _verbosity != "quiet" and (sys.stderr.isatty() or tqdm.__module__ == "tqdm.notebook")


def duration(seconds: float) -> str:
    """A time as people say it: `40 s`, `6 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def decoding_bar(name: str) -> tuple[tqdm[NoReturn], Callable[[int, int], None]]:
    """A bar for decoding a data set, and the callback (images done, images in all) that moves it."""
    bar = tqdm(desc=f"decoding {name}", unit=" images", file=sys.stderr, disable=not interactive(), leave=False)

    def advance(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return bar, advance
