"""How many examples a property is tried with: few by default, $LICTOR_EXAMPLES for `make prove`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "lictor",
    max_examples=int(os.environ.get("LICTOR_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("lictor")
