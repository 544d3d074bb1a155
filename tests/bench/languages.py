"""Each language's client and Apache's Java client against one broker: messages per client CPU second."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.bench.figures import Broker, Figure, Maker, bench, cpu_seconds, done, run
from tests.harness.broker import MQ, ROOT, create_topic
from tests.harness.runner import LANGUAGES, Runner
from tests.interop import apache

SIZE = 128
THREADS, WINDOW, BATCH = 64, 256, 32
BACKLOG = "Backlog"
JAVA = Path(__file__).resolve().parent / "java" / "Load.java"
# After one in so many messages a language has compiled what is hot, and is measured.
WARM_SHARE = 5
# One that sends alone, a message after the other, sends one in so many.
ALONE_SHARE = 20


def backlog(broker: Broker, count: int) -> None:
    """What all consume, each in a group of its own."""
    create_topic(broker.namesrv, BACKLOG, 8)
    # A broker that is too busy refuses some.
    while (missing := count - broker.backlog(BACKLOG)) > 0:
        options = ("--threads", "1", "--window", str(WINDOW), "--size", str(SIZE), "--count", str(missing))
        done(bench(broker, "produce", BACKLOG, *options))


def java(broker: Broker, count: int, folder: Path) -> list[Figure]:
    """Apache's client of the newest version, warmed up."""
    classes = folder / "load"
    classes.mkdir()
    library = f"{apache.library(apache.NEWEST)}/*"
    subprocess.run(["javac", "-nowarn", "-d", str(classes), "-cp", library, str(JAVA)], check=True)
    figures: list[Figure] = []
    for mode, width in (("sync", 1), ("sync", THREADS), ("async", WINDOW), ("push", BATCH), ("pull", BATCH)):
        consumes = mode in ("push", "pull")
        topic = BACKLOG if consumes else f"java-{mode}"
        if not consumes:
            create_topic(broker.namesrv, topic, 8)
        warm, measured = (count // 2, count // 2) if consumes else (count // 2, count // 4)
        if width == 1:
            warm, measured = count // ALONE_SHARE, count // ALONE_SHARE
        arguments = [broker.namesrv, topic, str(warm), str(measured), str(SIZE), mode, str(width)]
        command, _ = apache.java(
            "Load", apache.NEWEST, folder / f"java-{mode}", jvm=apache.FULL, classes=[classes], args=arguments
        )
        figures.append(run(f"java, {mode} × {width}, {SIZE} B", broker, command))
    return figures


def rust(broker: Broker, count: int) -> list[Figure]:
    """Our Rust client in `mq bench`."""
    alone, sync = ("--threads", "1"), ("--threads", str(THREADS))
    loads = (
        ("sync", 1, alone, ALONE_SHARE),
        ("sync", THREADS, sync, 2),
        ("async", WINDOW, (*alone, "--window", str(WINDOW)), 1),
    )
    figures: list[Figure] = []
    for mode, width, options, share in loads:
        topic = f"rust-{mode}"
        create_topic(broker.namesrv, topic, 8)
        command = bench(broker, "produce", topic, "--size", str(SIZE), "--count", str(count // share), *options)
        figures.append(run(f"rust, {mode} × {width}, {SIZE} B", broker, command))
    command = bench(broker, "consume", BACKLOG, "--group", "rust", "--count", str(count))
    figures.append(run(f"rust, push × {BATCH}, {SIZE} B", broker, command))
    return figures


def c(broker: Broker, count: int, folder: Path) -> list[Figure]:
    """The C ABI, through ffi/examples/bench.c."""
    target = Path(MQ).parent
    program = str(folder / f"bench-{broker.kind}")
    source = str(ROOT / "ffi" / "examples" / "bench.c")
    library = folder / "libmq.so.0"
    if not library.exists():
        library.symlink_to(target / "libmq.so")
    compiler = ["cc", "-O2", "-o", program, source, f"-I{ROOT}/ffi/include", f"-L{target}", "-lmq", "-lpthread"]
    subprocess.run([*compiler, f"-Wl,-rpath,{folder}"], check=True)
    figures: list[Figure] = []
    modes = (("sync", 1), ("sync", THREADS), ("async", WINDOW), ("push", 1), ("push", BATCH), ("pull", BATCH))
    for mode, width in modes:
        consumes = mode in ("push", "pull")
        topic = BACKLOG if consumes else f"c-{mode}"
        if not consumes:
            create_topic(broker.namesrv, topic, 8)
        measured = count if mode != "sync" else count // (ALONE_SHARE if width == 1 else 4)
        command = [program, broker.namesrv, topic, str(measured), str(SIZE), mode, str(width)]
        figures.append(run(f"c, {mode} × {width}, {SIZE} B", broker, command))
    return figures


def language(name: str, broker: Broker, count: int, folder: Path) -> list[Figure]:
    """A language, through its runner: one message after the other, with a window, and with a listener of lists."""
    figures: list[Figure] = []
    runner = Runner(name, folder / f"{name}.log")
    try:
        runner.call("client.open", client="c", namesrv=broker.namesrv, settings={})
        runner.call("producer.open", producer="p", client="c", group="senders", settings={})
        for mode, share, width in (("sync", ALONE_SHARE, 1), ("async", 1, WINDOW)):
            topic = f"{name}-{mode}"
            create_topic(broker.namesrv, topic, 8)
            load = {"producer": "p", "topic": topic, "size": SIZE, "mode": mode, "window": WINDOW}
            runner.call("send_load", 300, count=count // share // WARM_SHARE, **load)
            cpu = cpu_seconds(broker.pid)
            sent = runner.call("send_load", 300, count=count // share, **load)
            used = cpu_seconds(broker.pid) - cpu
            what = f"{name}, {mode} × {width}, {SIZE} B"
            figures.append(Figure(what, broker.kind, sent["sent"], sent["seconds"], used, sent["cpu_seconds"]))
            print(figures[-1].line(), flush=True)
        figures.append(consume(name, runner, broker, count))
        print(figures[-1].line(), flush=True)
        runner.call("client.close", client="c")
    finally:
        runner.close()
    return figures


def consume(name: str, runner: Runner, broker: Broker, count: int) -> Figure:
    """The backlog through a listener, which reads each body; measured once a part of it has come."""

    def now(messages: int) -> tuple[float, ...]:
        return messages, time.monotonic(), cpu_seconds(broker.pid), cpu_seconds(runner.pid)

    start = now(0)
    begun = False
    settings = {"consume_from_where": "FIRST", "consume_message_batch_max_size": str(BATCH)}
    runner.call(
        "consumer.open",
        consumer="q",
        client="c",
        group=f"bench-{name}",
        subscriptions={BACKLOG: "*"},
        settings=settings,
        behaviour={"quiet": True, "async": name == "python"},
    )
    while True:
        event = runner.event("q")
        end = now(event["received"])
        if event["received"] >= count:
            break
        if not begun and count // WARM_SHARE <= event["received"] <= count // 2:
            begun, start = True, end
    if event["bytes"] != event["received"] * SIZE:
        raise RuntimeError(f"{name}: {event['received']} messages with {event['bytes']} bytes, not {SIZE} each")
    runner.call("consumer.close", consumer="q")
    messages, *rest = (b - a for a, b in zip(start, end, strict=True))
    return Figure(f"{name}, push × {BATCH}, {SIZE} B", broker.kind, int(messages), *rest)


def languages(count: int, folder: Path, makers: list[Maker], names: list[str]) -> list[Figure]:
    """All of them against each broker, with what they do compared to Java."""
    figures: list[Figure] = []
    for make in makers:
        with make(folder / f"languages-{make.__name__}") as broker:
            home = folder / broker.kind
            home.mkdir()
            backlog(broker, count)
            of_broker: list[Figure] = []
            for name in names:
                if name == "java":
                    of_broker += java(broker, count, home)
                elif name == "rust":
                    of_broker += rust(broker, count)
                elif name == "c":
                    of_broker += c(broker, count, home)
                else:
                    of_broker += language(name, broker, count, home)
            compare(of_broker)
            figures += of_broker
    return figures


EVERY = ["java", "rust", "c", *(name for name in LANGUAGES if name != "c")]


def compare(figures: list[Figure]) -> None:
    """How many messages per client CPU second each handles for one of Java's, in the same mode."""

    def mode(figure: Figure) -> str:
        return figure.what.split(", ")[1]

    java_rates = {mode(f): f.messages / max(1e-9, f.client_cpu) for f in figures if f.what.startswith("java")}
    for figure in figures:
        rate = java_rates.get(mode(figure))
        if rate and not figure.what.startswith("java"):
            ratio = figure.messages / max(1e-9, figure.client_cpu) / rate
            print(f"{figure.what:<42}{figure.broker:<8}{ratio:>13.1f}x Java")
