"""What was public, and when."""

__all__: list[str] = []
