"""`python -m exporter` and the command `llm-energy-exporter`."""

import os
import sys

# Before numpy is imported: its algebra would start a thread for every core of the node, and ours is on 5 x 5 matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from exporter.cli import main

if __name__ == "__main__":
    sys.exit(main())
