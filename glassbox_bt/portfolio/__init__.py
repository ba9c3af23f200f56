"""From decisions to orders, fills, costs and equity."""

__all__: list[str] = []
