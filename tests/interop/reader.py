"""Reads a whole topic from a running broker with plain pulls: no client, no group, nothing is committed."""

from __future__ import annotations

from tests.interop import remoting, store

PULL_MESSAGE, GET_MIN_OFFSET, GET_MAX_OFFSET = 11, 31, 30
FOUND, NOT_FOUND, RETRY_IMMEDIATELY, OFFSET_MOVED = 0, 19, 20, 21
SUBSCRIPTION_INSIDE = 4


def read_topic(namesrv: str, topic: str, group: str = "TOOLS_CONSUMER") -> list[store.Record]:
    """All messages of a topic, of every broker and queue, with their stored bodies."""
    route = remoting.route(namesrv, topic)
    if route is None:
        raise OSError(f"{namesrv} has no route of {topic}")
    masters = {data["brokerName"]: data["brokerAddrs"]["0"] for data in route["brokerDatas"]}
    records: list[store.Record] = []
    for queues in route["queueDatas"]:
        for queue in range(queues["readQueueNums"]):
            records += _read_queue(masters[queues["brokerName"]], topic, queue, group)
    return records


def _read_queue(broker: str, topic: str, queue: int, group: str) -> list[store.Record]:
    at = {"topic": topic, "queueId": str(queue)}
    offset = int(remoting.call(broker, GET_MIN_OFFSET, at).ext["offset"])
    records: list[store.Record] = []
    while True:
        answer = remoting.call(
            broker,
            PULL_MESSAGE,
            at
            | {
                "consumerGroup": group,
                "queueOffset": str(offset),
                "maxMsgNums": "32",
                "sysFlag": str(SUBSCRIPTION_INSIDE),
                "commitOffset": "0",
                "suspendTimeoutMillis": "0",
                "subscription": "*",
                "subVersion": "0",
                "expressionType": "TAG",
            },
        )
        if answer.code == FOUND:
            records += store.parse(answer.body)
        elif answer.code in (NOT_FOUND, OFFSET_MOVED):
            return records
        elif answer.code != RETRY_IMMEDIATELY:
            raise OSError(f"{broker}: pull from {topic}/{queue} at {offset}: {answer.code} {answer.remark}")
        offset = int(answer.ext["nextBeginOffset"])
