"""Regular expressions of users: RE2, so that none takes more than linear time."""

from __future__ import annotations

import re2

from lictor.errors import LictorError

_QUIET = re2.Options()
_QUIET.log_errors = False


def compile(pattern: str) -> re2._Regexp:
    """Raises LictorError for a pattern that RE2 does not take."""
    try:
        return re2.compile(pattern, _QUIET)
    except re2.error as error:
        reason = error.args[0].decode() if error.args and isinstance(error.args[0], bytes) else str(error)
        raise LictorError(f"the regular expression {pattern!r} is not valid: {reason}", "use RE2 syntax") from error
