"""``python -m neuromas.cli``."""

from neuromas.cli import main

raise SystemExit(main())
