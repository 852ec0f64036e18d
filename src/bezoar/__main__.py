"""``python -m bezoar``."""

import sys

from bezoar.cli.main import main

sys.exit(main())
