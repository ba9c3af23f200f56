"""Runs on disk: artefacts, manifests, engines, tuning."""

__all__: list[str] = []
