"""Where markets come from: the embedded real one, the synthetic one, or a folder of the user's."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from glassbox_bt.errors import MarketDataError
from glassbox_bt.market.sources.raw import MarketMeta, RawMarket, fingerprint

if TYPE_CHECKING:
    from glassbox_bt.market.sources.synthetic import SyntheticMarket

__all__ = ["MarketMeta", "RawMarket", "fingerprint", "from_name"]


def from_name(name: str | Path) -> RawMarket:
    """A market by name or path.

    Parameters
    ----------
    name : str or Path
        ``"sp500"``, ``"synthetic"``, ``"synthetic?seed=3&noise_only=true"`` (any setting of
        `SyntheticMarket`), or the path of a market folder.

    Raises
    ------
    MarketDataError
        If there is no such market, or a setting of the synthetic one is unknown.
    """
    text = str(name)
    if text == "sp500":
        from glassbox_bt.market.sources.sp500 import sp500

        return sp500()
    if text == "synthetic" or text.startswith("synthetic?"):
        return _synthetic(text.partition("?")[2]).raw()
    if not Path(name).is_dir():
        raise MarketDataError(f"There is no market `{text}`. Use sp500, synthetic, or the path of a market folder.")
    from glassbox_bt.market.sources.folder import load_folder

    return load_folder(Path(name))


def _synthetic(query: str) -> SyntheticMarket:
    from glassbox_bt.market.sources.synthetic import SyntheticMarket

    default = SyntheticMarket()
    known = {field.name: getattr(default, field.name) for field in fields(SyntheticMarket)}
    settings: dict[str, object] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in known:
            raise MarketDataError(f"Unknown setting `{key}` of the synthetic market. It has: {', '.join(known)}.")
        settings[key] = _like(known[key], key, value)
    return SyntheticMarket(**settings)  # type: ignore[arg-type]


def _like(default: object, key: str, value: str) -> object:
    """The text of a setting in the type of its default."""
    if isinstance(default, bool):
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise MarketDataError(f"`{key}` must be true or false, got `{value}`.")
    if isinstance(default, str):
        return value
    try:
        return type(default)(value)  # type: ignore[call-arg]
    except ValueError as error:
        raise MarketDataError(f"`{key}` must be a number like {default}, got `{value}`.") from error
