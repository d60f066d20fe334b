"""Configuration with every kind of mistake: one line for each, exit status 1, and nothing is started."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from kit import sluice as kit_sluice
from kit.place import CHECKOUT, Place

CONF = CHECKOUT / "tests" / "conf"
BAD = sorted(path for path in CONF.glob("bad.*.ini") if "\n; env: " not in path.read_text(errors="replace"))


@pytest.fixture(scope="module")
def conf(place: Place) -> Path:
    """A copy that the user who runs pgsluice can read."""
    directory = place.make_dir("conf")
    shutil.copytree(CONF, directory, dirs_exist_ok=True)
    return directory


@pytest.mark.parametrize("name", [path.name for path in BAD])
def test_each_mistake_is_one_line(place: Place, conf: Path, name: str) -> None:
    program = str(kit_sluice.installed(place))
    started = place.run([program, name], cwd=conf, env=kit_sluice.SANITIZERS)
    checked = place.run([program, "--check-config", name], cwd=conf, env=kit_sluice.SANITIZERS)
    assert started.returncode == checked.returncode == 1, started
    said = started.stderr.splitlines()
    assert said and said == checked.stderr.splitlines() and not started.stdout
    for line in said:
        assert line.startswith(("bad.", "inc.", name)) and ": " in line, line
    # The tests' own convention: what is expected stands in the first lines of the file.
    expected = [line[len("; expect: "):] for line in (CONF / name).read_text(errors="replace").splitlines()
                if line.startswith("; expect: ")]
    for line in expected:
        assert any(line in each for each in said), (line, said)
