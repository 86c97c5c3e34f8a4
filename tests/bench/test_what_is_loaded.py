"""What the sidecar never loads, however long it runs: each megabyte is taken from somebody's server."""

import subprocess
import sys

_SCRIPT = """
import sys
from tests.bench.throughput import put_through
put_through("jsonl", 900, 20.0)
print(*sorted(name for name in sys.modules if name.startswith("numpy.ma.") or name == "numpy.ma"))
"""


def test_masked_arrays_which_a_call_of_unique_would_load_are_not_there_after_hundreds_of_requests() -> None:
    ran = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""
