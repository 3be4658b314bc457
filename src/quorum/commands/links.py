"""Where the MLflow UI shows what a command has done."""

from __future__ import annotations

from collections.abc import Mapping

from quorum.tracking.store import TrackingStore
from quorum.tracking.views import ui_command


def look_at(store: TrackingStore, pages: Mapping[str, str]) -> str:
    """The command that serves the UI, where no server does already, and the addresses of pages by what they show."""
    command = ui_command(store)
    width = max(map(len, pages))
    lines = [f"  {name + ':':{width + 1}} {address}" for name, address in pages.items()]
    return "\n".join([f"look at it: {command}, then open" if command else "look at it:", *lines])
