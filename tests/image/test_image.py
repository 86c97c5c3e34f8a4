import os
import subprocess
from pathlib import Path

import pytest

BUILD_AND_RUN = Path(__file__).with_name("build-and-run")


@pytest.mark.e2e
def test_the_image_builds_and_serves_metrics_as_nobody_on_a_read_only_root() -> None:
    if not os.environ.get("BUILD_IMAGE"):
        pytest.skip("building an image takes minutes and root: `make image`, or BUILD_IMAGE=1")
    subprocess.run([BUILD_AND_RUN], check=True)
