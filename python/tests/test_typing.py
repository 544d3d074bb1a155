"""The types that the package ships: mypy --strict accepts what is right and refuses what is wrong."""

import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

HERE = Path(__file__).parent


def test_the_package_says_that_it_is_typed():
    assert resources.files("libmq").joinpath("py.typed").is_file()
    assert resources.files("libmq").joinpath("_core.pyi").is_file()


def test_right_programs_are_accepted_and_wrong_ones_refused(tmp_path):
    programs = [HERE / "typing_ok.py", HERE / "typing_bad.py", *(HERE.parent / "examples").glob("*.py")]
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        f"--cache-dir={tmp_path}",
        "--no-error-summary",
        *map(str, programs),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    errors = [line for line in done.stdout.splitlines() if "error:" in line]
    found = {int(line) for line in re.findall(r"typing_bad\.py:(\d+): error", done.stdout)}
    lines = (HERE / "typing_bad.py").read_text().splitlines()
    assert found == {number for number, line in enumerate(lines, 1) if line.endswith("# refused")}, done.stdout
    assert all("typing_bad.py" in error for error in errors), done.stdout
    assert done.stderr == ""


def test_the_stub_tells_what_the_module_has(tmp_path):
    command = [sys.executable, "-m", "mypy.stubtest", "libmq"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
