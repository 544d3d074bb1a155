"""Brokers for scenarios: our binary ``mq broker`` or Apache's programs, each on free loopback ports."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
MQ = os.environ.get("MQ_BIN", str(TARGET / "release" / "mq"))
FAST_RETRY = "1s " * 17 + "1s"
"""Delay levels of a second each, so that retries need no patience."""


class Process:
    """A child that prints a ``ready …`` line and stops on SIGTERM."""

    def __init__(self, command: list[str], log: Path) -> None:
        self._log = log.open("ab")
        self.command = command
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True
        )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("ready "):
                pairs = (pair.partition("=") for pair in line.split()[1:])
                self.ready = {name: value for name, _, value in pairs}
                return
        status = self._process.wait()
        raise RuntimeError(f"{' '.join(command)} ended with status {status} before it was ready; see {log}")

    def stop(self) -> int:
        """Stops it in order and tells its status."""
        self._process.terminate()
        try:
            status = self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        self._log.close()
        return status

    def kill(self) -> None:
        """Stops it as ``kill -9`` does."""
        self._process.kill()
        self._process.wait()
        self._log.close()


class OurBroker:
    """NameServer and broker of this repository."""

    kind = "libmq"

    def __init__(self, log: Path, conf: dict[str, str] | None = None) -> None:
        self._log = log
        self.folder = Path(tempfile.mkdtemp(prefix="mq-scenario-"))
        settings = {"messageDelayLevel": FAST_RETRY, "mappedFileSizeCommitLog": str(64 << 20), **(conf or {})}
        self._conf = self.folder / "broker.conf"
        self._conf.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        self._start("0", "0")
        self.namesrv = self._process.ready["namesrv"]
        self.broker = self._process.ready["broker"]

    def _start(self, port: str, namesrv_port: str) -> None:
        command = [MQ, "broker", "--data", str(self.folder / "data"), "-c", str(self._conf)]
        self._process = Process([*command, "--port", port, "--namesrv-port", namesrv_port], self._log)

    def kill(self) -> None:
        self._process.kill()

    def restart(self) -> None:
        """Starts it again on the same ports and data."""
        self._start(self.broker.rpartition(":")[2], self.namesrv.rpartition(":")[2])

    def stop(self) -> None:
        status = self._process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        if status != 0:
            raise RuntimeError(f"the broker ended with status {status}; see {self._log}")


class ApacheBroker:
    """Apache's NameServer and broker of a given version, started by ``tests/interop/apache.py``."""

    def __init__(self, version: str, log: Path) -> None:
        self.kind = f"apache-{version}"
        command = [sys.executable, "-m", "tests.interop.apache", "--version", version]
        self._process = Process([*command, "--conf", f"messageDelayLevel={FAST_RETRY}"], log)
        self.namesrv = self._process.ready["namesrv"]
        self.broker = self._process.ready.get("broker", "")

    def stop(self) -> None:
        self._process.stop()


def create_topic(namesrv: str, topic: str, queues: int) -> None:
    """Creates a topic through the command line, on any broker."""
    command = [MQ, "admin", "topic", "create", topic, "--queues", str(queues), "-n", namesrv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
