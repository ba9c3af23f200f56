"""Analysts: what to expect of each asset."""

__all__: list[str] = []
