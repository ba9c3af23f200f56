"""Encoders: windows of prices and text turned into vectors."""

__all__: list[str] = []
