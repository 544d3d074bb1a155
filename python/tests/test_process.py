"""The life of a process: importing, forking, Ctrl-C, SIGTERM, leaving with everything open."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import libmq
import pytest
from support import PATIENCE, fresh

PREFACE = """
import os, signal, sys, threading, time
import libmq
from libmq import Message, testing
def say(text):
    print(text, flush=True)
broker = testing.Broker()
broker.create_topic("t")
client = libmq.Client(broker.address)
producer = client.producer("p")
"""


class Program:
    """A Python program in a process of its own, which is killed if it does not end in time."""

    def __init__(self, text: str, tmp_path, preface: str = PREFACE) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error::ResourceWarning", "-c", preface + textwrap.dedent(text)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},
        )

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()

    def line(self) -> str:
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


def run(text: str, tmp_path, preface: str = PREFACE) -> str:
    with Program(text, tmp_path, preface) as program:
        status, out, err = program.end()
    assert status == 0, (status, out, err)
    assert err == "", err
    return out


def test_importing_starts_nothing_and_leaves_nothing(tmp_path):
    text = """
    import os, sys, threading
    import libmq
    assert threading.active_count() == 1 and len(os.listdir("/proc/self/task")) == 1
    assert "asyncio" not in sys.modules
    assert libmq.aio.Client and libmq.testing.Broker
    print(libmq.__version__)
    """
    assert run(text, tmp_path, preface="").strip() == libmq.__version__
    assert os.listdir(tmp_path) == []


def test_all_that_is_public_is_there_and_documented():
    for module in (libmq, libmq.aio, libmq.testing):
        for name in module.__all__:
            thing = getattr(module, name)
            if isinstance(thing, type):
                assert thing.__doc__, name
                for member in vars(thing):
                    assert (
                        member.startswith("_")
                        or member.isupper()
                        or getattr(thing, member).__doc__ is not None
                        or (member in getattr(thing, "__annotations__", ()))
                    ), f"{name}.{member}"
    with pytest.raises(AttributeError, match="nothing"):
        libmq.nothing


def test_a_child_is_refused_and_may_start_afresh(broker, tmp_path):
    topic = fresh("topic")
    client = libmq.Client(broker.address)
    producer = client.producer("p")
    producer.send(libmq.Message(topic, b"parent"))
    consumer = client.push_consumer(fresh("group"), {topic: "*"}, listener=lambda message: None)
    consumer.start()
    puller = client.pull_consumer(fresh("group"), {topic: "*"})
    puller.start()
    puller.on_queue_change(topic, lambda change: None)
    letters = client.dead_letters("g")
    address = broker.address
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(20)
            answers = []
            message = libmq.Message(topic, b"child")
            for call in (
                lambda: producer.send(message),
                lambda: producer.send_oneway(message),
                consumer.start,
                consumer.close,
                consumer.suspend,
                puller.poll,
                lambda: next(iter(puller)),
                puller.commit,
                puller.close,
                letters.read,
                lambda: producer.queues(topic),
                lambda: producer.split([message]),
                broker.faults.clear,
                lambda: broker.clock.now,
                lambda: client.producer("q"),
                lambda: broker.create_topic("x", 1),
                client.close,
            ):
                try:
                    call()
                    answers.append("nothing")
                except libmq.Error as error:
                    answers.append(type(error).__name__)
            with libmq.Client(address) as own:
                answers.append(own.producer("p").send(message).status.value)
            os.write(writer, " ".join(answers).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        answers = pipe.read().split()
    assert os.waitpid(child, 0)[1] == 0
    assert answers == ["ForkedError"] * 17 + ["OK"]
    assert producer.send(libmq.Message(topic, b"parent again")).status is libmq.SendStatus.OK
    client.close()


def test_multiprocessing_children_of_a_busy_parent_end(tmp_path):
    text = """
    import multiprocessing
    consumer = client.push_consumer("g", {"t": "*"}, listener=lambda message: None)
    consumer.start()
    def child(address):
        with libmq.Client(address) as own:
            own.producer("p").send(Message("t", b"x"))
    producer.send(Message("t", b"x"))
    process = multiprocessing.get_context("fork").Process(target=child, args=(broker.address,))
    process.start()
    process.join(20)
    say(process.exitcode)
    child = os.fork()
    if child == 0:
        sys.exit(0)
    say(os.waitpid(child, 0)[1])
    client.close()
    broker.stop()
    """
    assert run(text, tmp_path).split() == ["0", "0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_running_consumer_cleanly(tmp_path, number):
    text = """
    consumer = client.push_consumer("g", {"t": "*"}, listener=lambda m: say(m.body), consume_from_where="first")
    producer.send(Message("t", b"x"))
    consumer.run()
    say("left")
    client.close()
    broker.stop()
    """
    with Program(text, tmp_path) as program:
        assert program.line() == "b'x'"
        program.process.send_signal(number)
        assert program.end() == (0, "left\n", "")


def test_a_handler_of_the_program_is_left_alone(tmp_path):
    text = """
    consumer = client.push_consumer("g", {"t": "*"}, listener=lambda m: say("ready"), consume_from_where="first")
    def stop(number, frame):
        say("handler")
        consumer.close()
    signal.signal(signal.SIGTERM, stop)
    producer.send(Message("t", b"x"))
    consumer.run()
    assert signal.getsignal(signal.SIGTERM) is stop
    client.close()
    broker.stop()
    """
    with Program(text, tmp_path) as program:
        assert program.line() == "ready"
        program.process.send_signal(signal.SIGTERM)
        assert program.end() == (0, "handler\n", "")


def test_ctrl_c_ends_a_blocking_send(tmp_path):
    text = """
    import socket
    silent = socket.create_server(("127.0.0.1", 0))  # accepts and never answers
    client = libmq.Client("127.0.0.1:%d" % silent.getsockname()[1])
    producer = client.producer("p")
    say("sending")
    try:
        producer.send(Message("t", b"x"), timeout=60)
    except KeyboardInterrupt:
        say("interrupted")
    os._exit(0)
    """
    with Program(text, tmp_path) as program:
        assert program.line() == "sending"
        time.sleep(0.2)  # the signal should find it waiting; it is right at any moment
        program.process.send_signal(signal.SIGINT)
        assert program.end()[:2] == (0, "interrupted\n")


def test_ctrl_c_ends_a_poll_and_loses_nothing(tmp_path):
    text = """
    consumer = client.pull_consumer("g", {"t": "*"})
    consumer.start()
    say("polling")
    try:
        for message in consumer:
            say("nothing was sent")
    except KeyboardInterrupt:
        say("interrupted")
    producer.send(Message("t", b"x"))
    say(next(consumer).body)
    """
    with Program(text, tmp_path) as program:
        assert program.line() == "polling"
        time.sleep(0.2)  # the signal should find it waiting; it is right at any moment
        program.process.send_signal(signal.SIGINT)
        assert program.end() == (0, "interrupted\nb'x'\n", "")


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "client.close()", "del client, consumer", "consumer.close()"])
def test_leaving_with_a_pull_consumer(tmp_path, end):
    text = """
    consumer = client.pull_consumer("g", {"t": "*"})
    consumer.start()
    consumer.on_queue_change("t", lambda change: None)
    producer.send(Message("t", b"x"))
    thread = threading.Thread(target=lambda: [message for message in consumer], daemon=True)
    thread.start()
    END
    """
    run(text.replace("END", end), tmp_path)


def test_ctrl_c_ends_an_asyncio_program(tmp_path):
    text = """
    import asyncio
    from libmq import aio
    async def main():
        async with aio.Client(broker.address) as client:
            consumer = client.push_consumer("g", {"t": "*"}, consume_from_where="first")
            @consumer.listen
            async def handle(message):
                say("ready")
            await consumer.run()
    producer.send(Message("t", b"x"))
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        say("interrupted")
    """
    with Program(text, tmp_path) as program:
        assert program.line() == "ready"
        program.process.send_signal(signal.SIGINT)
        assert program.end() == (0, "interrupted\n", "")


LISTENING = """
entered = threading.Event()
def handle(message):
    entered.set()
    WAIT
consumer = client.push_consumer("g", {"t": "*"}, listener=handle, consume_from_where="first")
consumer.start()
producer.send(Message("t", b"x"))
assert entered.wait(20)
"""


@pytest.mark.parametrize("end", ["", "sys.exit(0)", "client.close()", "del client, producer, consumer"])
@pytest.mark.parametrize("wait", ["pass", "time.sleep(1000)"])
def test_leaving_with_everything_open(tmp_path, wait, end):
    text = LISTENING.replace("WAIT", wait) + (f"try: {end}\nexcept libmq.TimeoutError: pass\n" if end else "")
    run(text, tmp_path)


def test_leaving_while_sending_and_consuming(tmp_path):
    text = """
    import asyncio
    from libmq import aio
    consumer = client.push_consumer("g", {"t": "*"}, listener=lambda message: None, consume_from_where="first")
    consumer.start()
    import logging
    logging.basicConfig(stream=sys.stdout, level=logging.DEBUG)
    libmq.enable_logging(logging.DEBUG)
    def send():
        try:
            while True:
                producer.send(Message("t", b"x"))
        except libmq.Error:
            pass
    for _ in range(4):
        threading.Thread(target=send, daemon=True).start()
    async def main():
        producer = aio.Client(broker.address).producer("p")
        for _ in range(1000):
            asyncio.ensure_future(producer.send(Message("t", b"x")))
        await asyncio.sleep(0.05)
    asyncio.run(main())
    """
    for _ in range(3):
        run(text, tmp_path)


def test_a_client_made_and_dropped_leaves_no_thread(tmp_path):
    text = """
    client.close()
    broker.stop()
    del client, producer
    for _ in range(20):
        libmq.Client("127.0.0.1:9876")
    end = time.monotonic() + 20
    while len(os.listdir("/proc/self/task")) > 1 and time.monotonic() < end:
        time.sleep(0.01)
    say(len(os.listdir("/proc/self/task")))
    """
    assert run(text, tmp_path).strip() == "1"
