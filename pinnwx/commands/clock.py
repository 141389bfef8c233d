"""When this process began: `--minutes` counts from here, so that imports and compilation are inside the budget."""

from __future__ import annotations

import time

STARTED = time.monotonic()
