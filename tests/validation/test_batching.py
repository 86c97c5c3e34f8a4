"""The server around Transformers' continuous batching: its HTTP front and log against what clients were told."""

import asyncio
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

for library in ("torch", "transformers"):
    pytest.importorskip(library)

from exporter.domain.lines import Line
from exporter.domain.units import Instant
from exporter.requests.fronts import jsonl
from exporter.__main__ import main as exporter_main
from validation.options import Options
from validation.results import MachineFacts
from validation.serving import batching
from validation.serving.batching_server import LOG_OPTIONS
from validation.serving.run import Bearing, Served, ServerFailedError
from validation.stage import Room
