"""Whether the explanations and the point-in-time promise hold."""

__all__: list[str] = []
