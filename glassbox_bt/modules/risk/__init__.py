"""Risk modules: what could go wrong, and how large a position may be."""

__all__: list[str] = []
