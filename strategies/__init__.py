"""What a user would hold: the full stack and its rivals."""

__all__: list[str] = []
