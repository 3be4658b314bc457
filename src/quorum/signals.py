"""Signals that end a command: SIGTERM as Ctrl-C, and neither is lost."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN_SECONDS = 0.05  # after which a signal that was lost is sent again


class Terminated(KeyboardInterrupt):
    """SIGTERM, handled wherever Ctrl-C is."""


def listen() -> None:
    """Have SIGTERM raise Terminated in the main thread, and see that it arrives, as Ctrl-C has to.

    Python raises both wherever the main thread happens to be. In a finalizer or a callback of a weak reference
    nobody can catch them: they are reported and the program goes on. So they are sent once more then.
    """
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _send_again


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise Terminated


def _send_again(lost: UnraisableHookArgs) -> None:
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    number = signal.SIGTERM if isinstance(lost.exc_value, Terminated) else signal.SIGINT
    timer = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()
