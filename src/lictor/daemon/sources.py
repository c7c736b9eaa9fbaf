"""Where the values of settings come from, from low to high; a later source wins.

1. the defaults of the table
2. `/usr/lib/lictor/lictor.conf.d`, `/usr/local/lib/lictor/lictor.conf.d`: what packages bring
3. `/etc/lictor/lictor.yaml`: one `name: value` a line
4. `/etc/lictor/lictor.conf.d`: one file per setting, its name is the setting's, its content the value
5. the directory given with `--config-dir`, of the same form
6. the environment: `LICTOR_EXPORT_FILENAME`
7. the command line

A name that is no setting is an error in every one of them. Some have Tetragon's name beside ours (`foreign.SAME`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lictor.daemon import values
from lictor.daemon.foreign import NOT_HERE, SAME
from lictor.daemon.settings import DEFAULTS, SPECS, Settings, check, option
from lictor.errors import LictorError

CONFIG_FILE = Path("/etc/lictor/lictor.yaml")
PACKAGE_DIRS = (Path("/usr/lib/lictor/lictor.conf.d"), Path("/usr/local/lib/lictor/lictor.conf.d"))
CONFIG_DIR = Path("/etc/lictor/lictor.conf.d")
PREFIX = "LICTOR_"
# No settings: what our tests read, and what Kubernetes says of a service that is called lictor.
_OTHER_VARIABLES = re.compile(
    r"LICTOR_(TEST_KERNELS|EXAMPLES|(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?))"
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings in force, and where each comes from: `default`, a path, `$VARIABLE` or `--option`."""

    settings: Settings
    origins: Mapping[str, str]


def load(
    flags: Mapping[str, Any], config_dir: str | None = None, defaults: Mapping[str, Any] | None = None
) -> Settings:
    """The settings in force; see `resolve`."""
    return resolve(flags, config_dir, defaults).settings


def resolve(
    flags: Mapping[str, Any], config_dir: str | None = None, defaults: Mapping[str, Any] | None = None
) -> Resolved:
    """The settings in force. `flags` are those of the command line by field name, None where not given.

    `defaults` stand in for the table's own. Raises LictorError for names and values that cannot be.
    """
    found: dict[str, Any] = DEFAULTS | dict(defaults or {})
    origins = dict.fromkeys(found, "default")
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    for source, named in [*_sources(config_dir), *((f"--{option(name)}", {name: given[name]}) for name in given)]:
        for raw_name, raw in named.items():
            name = known(raw_name, source)
            found[name] = values.convert(SPECS[name].kind, raw, f"{source}: {option(name)}")
            origins[name] = source
    settings = Settings(**found)
    try:
        check(settings)
    except LictorError as error:
        name = error.message.split()[0].replace("-", "_")
        source = origins.get(name, "default")
        raise LictorError(f"{source}: {error.message}", error.remedy) if source != "default" else error from error
    return Resolved(settings, origins)


def known(raw_name: str, source: str) -> str:
    """The field that a name means. Raises LictorError with the nearest name there is."""
    name = str(raw_name).replace("-", "_")
    name = SAME.get(name, name)
    if name in SPECS:
        return name
    message = f"{source}: there is no setting {raw_name}"
    if name in NOT_HERE:
        raise LictorError(message, f"leave it out; {NOT_HERE[name]}")
    import difflib  # only a mistake pays for it

    near = difflib.get_close_matches(name, SPECS, n=1, cutoff=0.6)
    raise LictorError(message, f"did you mean {option(near[0])}?" if near else "`lictor config show` lists them all")


def _sources(config_dir: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    for directory in PACKAGE_DIRS:
        yield from _directory(directory)
    if CONFIG_FILE.exists():
        yield str(CONFIG_FILE), _yaml(CONFIG_FILE)
    yield from _directory(CONFIG_DIR)
    if config_dir is not None:
        if not Path(config_dir).is_dir():
            raise LictorError(f"the configuration directory {config_dir} does not exist", "create it, or leave it out")
        yield from _directory(Path(config_dir))
    for variable, value in sorted(os.environ.items()):
        if variable.startswith(PREFIX) and not _OTHER_VARIABLES.fullmatch(variable):
            yield f"${variable}", {variable[len(PREFIX) :].lower(): value}


def _directory(directory: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if not directory.is_dir():
        return
    for path in sorted(directory.iterdir()):
        # Mounted ConfigMaps keep their versions in hidden directories; editors hide their files, too.
        if path.is_file() and not path.name.startswith("."):
            yield str(path), {path.name: _read(path).strip()}


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise LictorError(f"{path} cannot be read: {error}", "mend or remove it") from error


def _yaml(path: Path) -> dict[str, Any]:
    import yaml  # 3 MB that an agent without the file does not have

    try:
        found = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise LictorError(f"{path} is not valid YAML: {error}".replace("\n", " "), "mend or remove it") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise LictorError(f"{path} holds no settings", "write one `name: value` a line")
    return found
