"""`python -m exporter.config > docs/CONFIGURATION.md`."""

import sys

from exporter.config.reference import markdown

sys.stdout.write(markdown())
