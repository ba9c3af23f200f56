"""What the market means: one file, one question."""

__all__: list[str] = []
