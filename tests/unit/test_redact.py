"""Redaction: capture groups vanish, in every form of a process, and before anything is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lictor.api import filters as api
from lictor.errors import LictorError
from lictor.model.process import EnvVar
from lictor.track.redact import RedactionFilter, Redactor

PASSWORD = r"--password(?:\s+|=)(\S*)"


def redact(pattern: str, text: str, *binaries: str, binary: str = "/bin/x") -> str:
    return Redactor([RedactionFilter((pattern,), binaries)]).text(binary, text)


@pytest.mark.parametrize(
    ("pattern", "text", "wanted"),
    [
        (PASSWORD, "a --password=b --password c d", "a --password=***** --password ***** d"),
        (PASSWORD, "nothing here", "nothing here"),
        (r"(\w+):(\w+)@", "ftp u:p@h v:q@i", "ftp *****:*****@h *****:*****@i"),
        (r"((a)b)", "ab", "*****"),
        (r"x(y)?z", "xz xyz", "xz x*****z"),
        (r"-p(é+)", "-pééé end", "-p***** end"),
    ],
)
def test_capture_groups(pattern: str, text: str, wanted: str) -> None:
    assert redact(pattern, text) == wanted


def test_only_in_some_binaries() -> None:
    assert redact("(s)", "s", "curl$", binary="/bin/ls") == "s"
    assert redact("(s)", "s", "curl$", "^/bin/", binary="/bin/ls") == "*****"


def test_environment() -> None:
    variables = (EnvVar("TOKEN", "t=1"), EnvVar("PATH", "/bin"))
    redactor = Redactor([RedactionFilter(("TOKEN=(.*)",))])
    assert redactor.environment("/x", variables) == (EnvVar("TOKEN", "*****"), EnvVar("PATH", "/bin"))


@given(st.text(), st.text(alphabet="abcdef0123456789", min_size=1))
def test_the_secret_is_gone(before: str, secret: str) -> None:
    assert redact("--token=(\\w+)", f"{before} --token={secret}").endswith("--token=*****")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"redact": ["no group"]}', "capture group"),
        ('{"redact": ["("]}', "not valid"),
        ('{"match": [{"pid": [1]}], "redact": ["(x)"]}', "match is not supported"),
        ('{"binary_regex": ["x"]}', "nothing to redact"),
    ],
)
def test_wrong_filters(text: str, says: str) -> None:
    with pytest.raises(LictorError, match=says):
        Redactor(api.redaction_list(text, "redaction-filters"))
