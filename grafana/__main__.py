"""`python -m grafana [FOLDER]` writes the dashboards; without a folder, those that are committed."""

import sys
from pathlib import Path

from grafana.boards import BOARDS

FOLDER = Path(__file__).parent / "dashboards"


def main(folder: Path) -> None:
    """Write them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        (folder / f"{board.name}.json").write_text(board.written())


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
