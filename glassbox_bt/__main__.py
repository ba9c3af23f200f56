"""``python -m glassbox_bt`` is ``glassbox``."""

from __future__ import annotations

from glassbox_bt.cli import main

if __name__ == "__main__":
    main()
