"""Environment `main` goes first: every other environment of tox.ini uses what it installed.

`depends` in tox.ini only orders the environments that were asked for, so `tox -e quickstart`
on a new machine would find no `main`. tox loads this file by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tox.plugin import impl
from tox.session.env_select import CliEnv

if TYPE_CHECKING:
    from tox.config.sets import ConfigSet
    from tox.session.state import State

RUN_COMMANDS = {"legacy", "run", "r", "run-parallel", "p"}


@impl
def tox_add_core_config(core_conf: ConfigSet, state: State) -> None:  # noqa: ARG001
    """Add `main` to the environments named with ``-e``."""
    options = state.conf.options
    chosen = getattr(options, "env", None)
    if options.command in RUN_COMMANDS and chosen and "main" not in chosen and not chosen.is_all:
        options.env = CliEnv(["main", *chosen])
