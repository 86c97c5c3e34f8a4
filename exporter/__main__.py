"""`python -m exporter` and the command `llm-energy-exporter`."""

import sys

from exporter.cli import main

if __name__ == "__main__":
    sys.exit(main())
