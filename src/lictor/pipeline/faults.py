"""What is said of a record that could not be made an event of."""

from __future__ import annotations

import traceback

from lictor.wire.records import RecordError


def told(error: Exception) -> str:
    """A sentence for the log. What is no RecordError is a mistake of ours, and says where it happened.

    It costs that one record, which is counted; an agent that a record can end would be blind from then on.
    """
    if isinstance(error, RecordError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{error!r} at {place.filename}:{place.lineno}, which is a mistake in Lictor: please report it"
