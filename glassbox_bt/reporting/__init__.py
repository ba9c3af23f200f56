"""Reports whose every number has a source."""

__all__: list[str] = []
