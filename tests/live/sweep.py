"""sweep.py DIR - ends every process that live tests with this working directory have started. For tests/run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "contrib"))

from lab import procs  # noqa: E402
from lab.cluster import Lab  # noqa: E402


def sweep(directory: Path) -> None:
    for lab in directory.glob("lab*"):
        Lab(lab).down()
    procs.kill_all(lambda: procs.marked(directory))
    procs.kill_all(lambda: procs.postgres_below(directory))


if __name__ == "__main__":
    sweep(Path(sys.argv[1]))
