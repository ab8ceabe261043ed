"""How long work tells its caller how far it is."""

from __future__ import annotations

from collections.abc import Callable

OnProgress = Callable[[int, int], None]
"""Is told (done, total) after each piece of work: a view, a frame, a photo."""


def ignore(*_: object) -> None:
    """For who has nothing to show, of progress, steps or warnings."""
