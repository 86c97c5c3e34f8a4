"""`python -m exporter.metrics > docs/METRICS.md`."""

import sys

from exporter.metrics.reference import markdown

sys.stdout.write(markdown())
