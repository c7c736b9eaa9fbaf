"""The systemd unit: systemd itself finds nothing wrong with it, and it fits what the agent does."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from lictor.daemon.settings import Settings

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "lictor.service"


def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser["Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_systemd_accepts_it(tmp_path: Path) -> None:
    # systemd wants the program to exist; everything else is checked as it is.
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/usr/bin/lictor", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    rating = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=70", str(copy)], capture_output=True, text=True
    )
    assert rating.returncode == 0, rating.stdout


def test_it_fits_the_agent() -> None:
    unit = service()
    assert (unit["Type"], unit["ExecReload"]) == ("notify", "/bin/kill -HUP $MAINPID")
    # The agent ends with 2 for what only a person can mend.
    assert unit["RestartPreventExitStatus"] == "2"
    run = f"/run/{unit['RuntimeDirectory']}/"
    settings = Settings()
    assert settings.pid_file.startswith(run)
    assert settings.info_file.startswith(run)
