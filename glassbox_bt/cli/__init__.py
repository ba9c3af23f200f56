"""The `glassbox` command."""

__all__: list[str] = []
