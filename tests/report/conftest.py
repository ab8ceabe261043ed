"""The fixture ``make_run`` for this folder."""

from __future__ import annotations

from tests.fake_run import make_run

__all__ = ["make_run"]
