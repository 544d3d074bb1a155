"""The types that the package ships: mypy --strict accepts what is right and refuses what is wrong."""

import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

HERE = Path(__file__).parent


def mypy(*arguments: str, cwd: Path) -> str:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        f"--cache-dir={cwd / 'cache'}",
        *arguments,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)
    assert done.stderr == "", done.stderr
    return done.stdout


def test_the_package_says_that_it_is_typed():
    assert resources.files("libmq").joinpath("py.typed").is_file()
    assert resources.files("libmq").joinpath("_core.pyi").is_file()


def test_right_programs_are_accepted(tmp_path):
    assert mypy(str(HERE / "typing_ok.py"), *map(str, (HERE.parent / "examples").glob("*.py")), cwd=tmp_path) == ""


def test_wrong_programs_are_refused(tmp_path):
    program = HERE / "typing_bad.py"
    refused = {int(number) for number in re.findall(r"typing_bad\.py:(\d+): error", mypy(str(program), cwd=tmp_path))}
    marked = {n for n, line in enumerate(program.read_text().splitlines(), 1) if line.endswith("# refused")}
    assert refused == marked


def test_the_stub_tells_what_the_module_has(tmp_path):
    command = [sys.executable, "-m", "mypy.stubtest", "libmq._core", "libmq", "libmq.aio", "libmq.testing"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
