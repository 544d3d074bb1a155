"""Starts our binary `mq` as broker or NameServer, with the same interface as `apache`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.interop.processes import Process, StartFailed, wait_for

ROOT = Path(__file__).resolve().parent.parent.parent


def binary() -> Path:
    """MQ_BIN, or the release build."""
    path = Path(os.environ.get("MQ_BIN") or Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "mq")
    if not path.is_file():
        raise StartFailed(f"{path} is missing: build it with cargo build --release -p mq-cli, or set MQ_BIN")
    return path


class Server:
    """A process of ours that says on stdout when it is ready. `data` outlives stop, kill and start."""

    process: Process

    def __init__(self, home: Path, arguments: list[str]) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.ready: dict[str, str] = {}
        self._arguments = arguments
        self._starts = 0

    def _start(self, *more: str) -> None:
        self._starts += 1
        log = self.home / f"mq-{self._starts}.log"
        command = [str(binary()), *self._arguments, *more]
        self.process = Process("mq " + self._arguments[0], command, log=log, env={"RUST_BACKTRACE": "1"})

        def line() -> dict[str, str] | None:
            for text in log.read_text(errors="replace").splitlines(keepends=True):
                if text.startswith("ready ") and text.endswith("\n"):
                    return dict(pair.split("=", 1) for pair in text.split()[1:])
            return None

        self.ready = wait_for("it prints ready", line, 30, self.process)

    def stop(self) -> int:
        """SIGTERM; the exit status, which must be 0."""
        return self.process.stop()

    def kill(self) -> int:
        """SIGKILL."""
        return self.process.kill()


class NameServer(Server):
    """`mq namesrv`."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, ["namesrv"])

    def start(self) -> NameServer:
        """Returns when it is ready."""
        self._start("--port", "0")
        return self

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return self.ready["namesrv"]


class Broker(Server):
    """`mq broker`: with its own NameServer, or registered at `namesrv`."""

    def __init__(
        self,
        home: Path,
        namesrv: str | None = None,
        conf: Mapping[str, object] | None = None,
        data: Path | None = None,
        name: str = "broker-a",
    ) -> None:
        self.data = data or home / "store"
        self.name = name
        super().__init__(home, ["broker", "--data", str(self.data), "-c", str(home / "broker.conf")])
        values: dict[str, object] = {
            "brokerClusterName": "DefaultCluster",
            "brokerName": name,
            "mappedFileSizeCommitLog": 16 << 20,
        }
        if namesrv:
            values["namesrvAddr"] = namesrv
        (home / "broker.conf").write_text("".join(f"{k}={v}\n" for k, v in (values | dict(conf or {})).items()))
        self._own_namesrv = namesrv is None

    def start(self) -> Broker:
        """Returns when it is ready; a second start takes the ports of the first."""
        port = self.ready["broker"].rpartition(":")[2] if self.ready else "0"
        more = ["--port", port]
        if self._own_namesrv:
            more += ["--namesrv-port", self.ready["namesrv"].rpartition(":")[2] if self.ready else "0"]
        self._start(*more)
        return self

    @property
    def address(self) -> str:
        """HOST:PORT of the broker."""
        return self.ready["broker"]

    @property
    def namesrv(self) -> str:
        """HOST:PORT of the NameServer at which it is registered."""
        return self.ready["namesrv"]
