"""The examples do what they say."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


LAST = {
    "orders.py": "billed order-",
    "orders_asyncio.py": "billed 100 orders",
    "orders_in_depth.py": "the broker's clock is 2 hours ahead",
}


def test_none_is_forgotten():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(LAST)


@pytest.mark.parametrize(("name", "last"), LAST.items())
def test_example(name, last):
    done = subprocess.run([sys.executable, EXAMPLES / name], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # Listeners run on several threads, whose lines and line ends may mix.
    assert done.stdout.strip().splitlines()[-1].startswith(last)
