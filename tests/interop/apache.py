"""Starts Apache RocketMQ's own NameServer and broker (5.5.0, 4.9.7), from the jars that .ci/install fetched.

As a library:  with Cluster("5.5.0") as c: c.namesrv.address, c.broker.address
As a program:  python3 -m tests.interop.apache [--version V] [--no-broker | --namesrv HOST:PORT] [--data DIR] [--conf KEY=VALUE]
               prints `ready namesrv=HOST:PORT broker=HOST:PORT data=DIR`, runs until SIGTERM, SIGINT or the end of its stdin.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.interop import processes, remoting
from tests.interop.processes import HOST, Process, StartFailed, Workspace, accepts, free_port, wait_for

NEWEST = "5.5.0"
VERSIONS = (NEWEST, "4.9.7")
UPDATE_BROKER_CONFIG = 25
TOOLS = Path(os.environ.get("MQ_TOOLS") or Path.home() / ".cache/libmq-tools")

# A JVM on a small machine that is here for seconds: little heap, one collector thread, no second compiler.
SMALL = ("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:MaxDirectMemorySize=512m")
# For measurements: both compilers, the usual collector, a heap that is no bottleneck.
FULL = ("-Xms1g", "-Xmx2g", "-XX:MaxDirectMemorySize=2g")
_OPENS = [f"--add-exports=java.base/{package}=ALL-UNNAMED" for package in ("sun.nio.ch", "jdk.internal.ref")] + [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "sun.nio.ch", "java.nio", "java.lang", "java.lang.reflect", "java.util", "java.util.concurrent",
        "jdk.internal.misc", "jdk.internal.ref",
    )
]  # fmt: skip
# 4.9 does not start without these files under $ROCKETMQ_HOME/conf; 5.x carries its own and writes below user.home/logs.
_LOGBACK = """<configuration>
  <appender name="out" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{HH:mm:ss.SSS} %-5p %c{1} %m%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="out"/></root>
</configuration>
"""


def library(version: str) -> Path:
    """The folder of a version's jars."""
    lib = TOOLS / f"apache-{version}" / "lib"
    if not lib.is_dir():
        raise StartFailed(f"Apache RocketMQ {version} is not in {lib}: run .ci/install apache")
    return lib


def java(
    main: str,
    version: str,
    home: Path,
    *,
    jvm: Sequence[str] = SMALL,
    encoding: str = "JSON",
    classes: Sequence[Path] = (),
    args: Sequence[str] = (),
) -> tuple[list[str], dict[str, str]]:
    """Command and environment that run `main` with a version's jars; its logs and temporary files stay under `home`.

    `jvm` are its options (SMALL, FULL or others); `encoding` is how it writes the headers of frames: JSON or ROCKETMQ.
    """
    for folder in ("conf", "tmp"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    for program in ("namesrv", "broker", "tools"):
        (home / "conf" / f"logback_{program}.xml").write_text(_LOGBACK)
    path = [*map(str, classes), f"{library(version)}/*"]
    folders = [f"-Duser.home={home}", f"-Djava.io.tmpdir={home}/tmp"]
    wire = f"-Drocketmq.serialize.type={encoding}"
    command = ["java", *jvm, *_OPENS, *folders, wire, "-cp", ":".join(path), main, *args]
    return command, {"ROCKETMQ_HOME": str(home)}


def _properties(path: Path, values: Mapping[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{k}={v}\n" for k, v in values.items()))


class _Server:
    """What NameServer and broker have in common: a version, a folder, one process that can be started again."""

    process: Process | None = None
    conf: dict[str, object]

    def __init__(self, version: str, home: Path, encoding: str, jvm: Sequence[str]) -> None:
        if version not in VERSIONS:
            raise StartFailed(f"no version {version} here; there are {', '.join(VERSIONS)}")
        self.version = version
        self.home = home
        self.encoding = encoding
        self.jvm = jvm
        self.port = 0

    @property
    def host(self) -> str:
        """Where it listens."""
        return str(self.conf.get("bindAddress", HOST))

    @property
    def address(self) -> str:
        """HOST:PORT, the host in brackets if it is of IPv6."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _java(self, main: str, conf: Path) -> tuple[list[str], dict[str, str]]:
        return java(main, self.version, self.home, jvm=self.jvm, encoding=self.encoding, args=["-c", str(conf)])

    def stop(self) -> int:
        """A clean stop (SIGTERM); the exit status."""
        return self.process.stop() if self.process else 0

    def kill(self) -> int:
        """As if the machine had lost the process: SIGKILL."""
        return self.process.kill() if self.process else 0


class NameServer(_Server):
    """Apache's NameServer."""

    def __init__(
        self,
        home: Path,
        version: str = NEWEST,
        conf: Mapping[str, object] | None = None,
        encoding: str = "JSON",
        jvm: Sequence[str] = SMALL,
    ) -> None:
        super().__init__(version, home, encoding, jvm)
        self.conf = dict(conf or {})

    def start(self) -> NameServer:
        """Returns when it answers requests."""
        self.port = self.port or free_port()
        file = self.home / "namesrv.conf"
        base = {"listenPort": self.port, "bindAddress": HOST, "kvConfigPath": self.home / "kvConfig.json"}
        _properties(file, base | self.conf)
        command, env = self._java("org.apache.rocketmq.namesrv.NamesrvStartup", file)
        self.process = Process(f"namesrv {self.version}", command, env=env, log=self.home / "namesrv.log", cwd=self.home)
        wait_for("the NameServer answers", self._answers, 60, self.process)
        return self

    def _answers(self) -> bool:
        try:
            remoting.cluster(self.address)
            return True
        except (OSError, EOFError, remoting.BadFrame):
            return False


class Broker(_Server):
    """Apache's broker, registered at `namesrv` (Apache's or ours). `data` outlives stop, kill and start."""

    def __init__(
        self,
        home: Path,
        namesrv: str,
        version: str = NEWEST,
        conf: Mapping[str, object] | None = None,
        data: Path | None = None,
        name: str = "broker-a",
        encoding: str = "JSON",
        jvm: Sequence[str] = SMALL,
    ) -> None:
        super().__init__(version, home, encoding, jvm)
        self.namesrv = namesrv
        self.conf = dict(conf or {})
        self.data = data or home / "store"
        self.name = name
        self._nudged = 0.0

    @property
    def published(self) -> str:
        """The address that the NameServer hands out; another one than `address` where brokerIP1 says so."""
        return f"{self.conf.get('brokerIP1', HOST)}:{self.port}"

    def start(self) -> Broker:
        """Returns when the NameServer routes to it: a broker is registered a while after its port accepts."""
        # It also listens on its port minus two and, for replication, on its port plus one.
        self.port = self.port or free_port(-2, 1)
        file = self.home / "broker.conf"
        base = {
            "brokerClusterName": "DefaultCluster",
            "brokerName": self.name,
            "brokerId": 0,
            "listenPort": self.port,
            "bindAddress": HOST,
            "brokerIP1": HOST,
            "brokerIP2": HOST,
            "namesrvAddr": self.namesrv,
            "storePathRootDir": self.data,
            "storePathCommitLog": self.data / "commitlog",
            "mappedFileSizeCommitLog": 16 << 20,
            "diskMaxUsedSpaceRatio": 95,
            "flushDiskType": "ASYNC_FLUSH",
            "timerWheelEnable": "false",
            # A quarter of a core for nothing otherwise, and memory for queues that a test never fills.
            "warmMapedFileEnable": "false",
            "transientStorePoolEnable": "false",
        }
        _properties(file, base | self.conf)
        command, env = self._java("org.apache.rocketmq.broker.BrokerStartup", file)
        self.process = Process(f"broker {self.version}", command, env=env, log=self.home / "broker.log", cwd=self.home)
        wait_for(f"broker {self.published} is routed by {self.namesrv}", self._routed, 90, self.process)
        return self

    def _routed(self) -> bool:
        if not accepts(self.port, self.host):
            return False
        try:
            # 5.x often registers before its connection to the NameServer stands, which is lost, and again only 10 s
            # later. Being told its own permission makes it register at once.
            if self.version != "4.9.7" and time.monotonic() > self._nudged + 1:
                self._nudged = time.monotonic()
                remoting.call(self.address, UPDATE_BROKER_CONFIG, body=b"brokerPermission=6")
            brokers = remoting.cluster(self.namesrv)
            if self.published not in brokers.get(str(self.conf.get("brokerName", self.name)), {}).values():
                return False
            if str(self.conf.get("autoCreateTopicEnable", "true")) != "true" or str(self.conf.get("brokerId", 0)) != "0":
                return True
            route = remoting.route(self.namesrv, "TBW102") or {}
            return any(self.published in data["brokerAddrs"].values() for data in route.get("brokerDatas", []))
        except (OSError, EOFError, remoting.BadFrame):
            return False


class Cluster:
    """A NameServer and a broker of one version, in a temporary folder."""

    def __init__(self, version: str = NEWEST, conf: Mapping[str, object] | None = None, data: Path | None = None) -> None:
        self.workspace = Workspace(f"apache-{version}-")
        self.namesrv = NameServer(self.workspace.path / "namesrv", version)
        self._conf, self._data, self._version = conf, data, version
        self.broker: Broker

    def start(self) -> Cluster:
        """Starts both; nothing is left running when one of them fails."""
        try:
            self.namesrv.start()
            self.broker = Broker(self.workspace.path / "broker", self.namesrv.address, self._version, self._conf, self._data)
            self.broker.start()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Ends both at once and removes the folder; with a given data folder, which stays, the broker is stopped cleanly."""
        if hasattr(self, "broker"):
            self.broker.stop() if self._data else self.broker.kill()
        self.namesrv.kill()
        self.workspace.remove()

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()


def main() -> int:
    """The program; see the top of this file."""
    parser = argparse.ArgumentParser(description="Runs Apache's NameServer and broker until SIGTERM or the end of stdin.")
    parser.add_argument("--version", choices=VERSIONS, default=NEWEST)
    parser.add_argument("--no-broker", action="store_true", help="the NameServer alone")
    parser.add_argument("--namesrv", metavar="HOST:PORT", help="no NameServer: register the broker at this one")
    parser.add_argument("--data", type=Path, help="the broker's store folder (default: a temporary one)")
    parser.add_argument("--conf", action="append", default=[], metavar="KEY=VALUE", help="a line of broker.conf; repeatable")
    options = parser.parse_args()
    conf = dict(line.split("=", 1) for line in options.conf)

    processes.handle_signals()
    workspace = Workspace(f"apache-{options.version}-")
    words = ["ready"]
    broker = None
    namesrv = options.namesrv
    if namesrv is None:
        namesrv = NameServer(workspace.path / "namesrv", options.version).start().address
    words.append(f"namesrv={namesrv}")
    if not options.no_broker:
        data = options.data.resolve() if options.data else None
        broker = Broker(workspace.path / "broker", namesrv, options.version, conf, data).start()
        words += [f"broker={broker.address}", f"data={broker.data}"]
    print(*words, flush=True)
    try:
        while os.read(sys.stdin.fileno(), 4096):
            pass
    except KeyboardInterrupt:
        pass
    finally:
        # A clean stop takes ten seconds; it matters only to a folder that stays. All others end with `processes.stop_all`.
        if broker is not None and options.data:
            broker.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
