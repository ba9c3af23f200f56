"""Questions asked of the product: one folder, one plan, one verdict rule."""

__all__: list[str] = []
