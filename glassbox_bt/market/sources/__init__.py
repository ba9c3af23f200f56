"""Where markets come from: folders, embedded samples, synthetic worlds, downloads."""

__all__: list[str] = []
