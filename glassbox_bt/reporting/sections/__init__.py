"""The sections of a report, one file each."""

__all__: list[str] = []
