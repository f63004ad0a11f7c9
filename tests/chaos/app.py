"""The Functions app of the chaos suite: the product's own, with named points at which the campaign may intervene.

The host is started with this file instead of function_app.py. CHAOS_FOLDER: where the campaign leaves its orders.
CHAOS_BREAK: a law to break on purpose (``broken``), so that the suite can show that it notices.
"""

from __future__ import annotations

import os
from pathlib import Path

from function_app import app
from tests.chaos import broken, points
from tests.chaos.control import Control

__all__ = ["app"]

points.install(Control(Path(os.environ["CHAOS_FOLDER"])))
broken.install(os.environ.get("CHAOS_BREAK", ""))
