"""How well it did, with honest statistics."""

__all__: list[str] = []
