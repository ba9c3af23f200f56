"""What others wrote, on the terminal. Names, paths and findings come from files that nobody vouches for.

Control and invisible characters are left out, so that nothing moves the cursor, rings or hides; brackets and colons are
characters, never a style or a picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from glassbox_bt.market.text_cleaning import visible

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["plain", "say", "shown"]


def plain(words: object) -> str:
    """What a terminal may be sent as it stands, on one line."""
    return visible(str(words))


def shown(words: object, style: str = "") -> Text:
    """The same for tables and consoles of rich; ``style`` is ours."""
    from rich.text import Text

    return Text(plain(words), style=style)


def say(words: object) -> None:
    """Print it on a line of its own."""
    typer.echo(plain(words))
