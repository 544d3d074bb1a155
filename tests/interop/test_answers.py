"""What brokers answer to requests about what is not there, or makes no sense: the code, and the names in the body.

The order of checks shows in requests that are wrong in two ways. What ours answers otherwise on purpose is not here: it names
settings and values that it does not take (25), and says so where Apache's fails with a NullPointerException (223, 309).
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.interop import remoting
from tests.interop.conftest import Target

OK, ERROR, NO_TOPIC, NOT_FOUND, NO_GROUP, INVALID, OFFLINE = 0, 1, 17, 22, 26, 29, 206
UNKNOWN_ID = "7F00000100002A9F0000000000000000"


def topic(name: str, **fields: Any) -> dict[str, Any]:
    """The fields of UPDATE_AND_CREATE_TOPIC."""
    queues = {"readQueueNums": 1, "writeQueueNums": 1, "perm": 6}
    return {"topic": name, "defaultTopic": "TBW102", "topicFilterType": "SINGLE_TAG", "order": "false"} | queues | fields


def reset(group: str, name: str = "Answers", **fields: Any) -> dict[str, Any]:
    """The fields of INVOKE_BROKER_TO_RESET_OFFSET."""
    return {"topic": name, "group": group, "timestamp": -1, "isForce": "true"} | fields


SQL = b'{"clientId":"c","group":"g","subscriptionData":{"topic":"T","subString":"a > 1","expressionType":"SQL92"}}'
LOCK = b'{"clientId":"c","consumerGroup":"A-lock","mqSet":[{"brokerName":"b","queueId":0,"topic":"T"}]}'
# Code, fields, body, the answer's code, the names in its body. {topic} has two queues and no message.
CASES: list[tuple[int, dict[str, Any], bytes, int, str]] = [
    (12, {"topic": "NoSuch", "key": "k", "maxNum": 3, "beginTimestamp": 0, "endTimestamp": 1 << 45}, b"", NOT_FOUND, ""),
    (14, {"consumerGroup": "A-none", "topic": "Answers", "queueId": 9}, b"", NOT_FOUND, ""),
    (15, {"consumerGroup": "A-none", "topic": "Answers", "queueId": 0, "commitOffset": 1}, b"", NO_GROUP, ""),
    (15, {"consumerGroup": "A-none", "topic": "NoSuch", "queueId": 0, "commitOffset": 1}, b"", NO_GROUP, ""),
    (15, {"consumerGroup": "TOOLS_CONSUMER", "topic": "NoSuch", "queueId": 0, "commitOffset": 1}, b"", NO_TOPIC, ""),
    (17, topic(""), b"", INVALID, ""),
    (17, topic("a b"), b"", INVALID, ""),
    (17, topic("SELF_TEST_TOPIC"), b"", INVALID, ""),
    (17, topic("Answers-1", attributes="+message.type=MIXED"), b"", INVALID, ""),
    (17, topic("Answers-1", attributes="+no.such=1"), b"", ERROR, ""),
    (17, topic("a b", attributes="+no.such=1"), b"", INVALID, ""),
    (29, {"topic": "NoSuch", "queueId": 0, "timestamp": 0}, b"", OK, ""),
    (30, {"topic": "NoSuch", "queueId": 0}, b"", OK, ""),
    (32, {"topic": "NoSuch", "queueId": 0}, b"", OK, ""),
    (33, {"offset": 1 << 40}, b"", ERROR, ""),
    (38, {"consumerGroup": "A-none"}, b"", ERROR, ""),
    (41, {}, LOCK, OK, "brokerName lockOKMQSet queueId topic"),
    (46, {}, SQL, ERROR, ""),
    (200, {}, b'{"groupName":""}', INVALID, ""),
    (200, {}, b'{"groupName":"a b","attributes":{"+no.such":"1"}}', INVALID, ""),
    (200, {}, b'{"groupName":"A-odd","attributes":{"+no.such":"1"}}', ERROR, ""),
    (200, {}, b"nonsense", ERROR, ""),
    (202, {"topic": "NoSuch"}, b"", NO_TOPIC, ""),
    (
        202, {"topic": "Answers"}, b"", OK,
        "brokerName lastUpdateTimestamp maxOffset minOffset offsetTable queueId topic topicPutTps",
    ),
    (203, {"consumerGroup": "A-none"}, b"", OFFLINE, ""),
    (204, {"producerGroup": "A-none"}, b"", ERROR, ""),
    (207, {"groupName": "A-none", "cleanOffset": "true"}, b"", OK, ""),
    (208, {"consumerGroup": "A-none", "topic": ""}, b"", OK, "consumeTps offsetTable"),
    (
        208, {"consumerGroup": "A-none", "topic": "Answers"}, b"", OK,
        "brokerName brokerOffset consumeTps consumerOffset lastTimestamp offsetTable pullOffset queueId topic",
    ),
    (215, {"topic": ""}, b"", INVALID, ""),
    (215, {"topic": "SELF_TEST_TOPIC"}, b"", INVALID, ""),
    (222, reset("A-none"), b"", NO_GROUP, ""),
    (222, reset("A-none", "NoSuch"), b"", NO_TOPIC, ""),
    (222, reset("TOOLS_CONSUMER"), b"", OK, "brokerName offsetTable queueId topic"),
    (222, reset("TOOLS_CONSUMER", queueId=0, offset=5), b"", ERROR, ""),
    (300, {"topic": "NoSuch"}, b"", OK, "groupList"),
    (303, {"topic": "NoSuch", "group": "A-none"}, b"", NO_TOPIC, ""),
    (307, {"consumerGroup": "A-none", "clientId": "x", "jstackEnable": "false"}, b"", ERROR, ""),
    (308, {"filterGroups": "", "compareGroup": "A-none", "topic": "NoSuch"}, b"", OK, "correctionOffsets"),
    (309, {"consumerGroup": "A-none", "clientId": "x", "msgId": UNKNOWN_ID}, b"", ERROR, ""),
    (314, {"srcGroup": "A-none", "destGroup": "A-none-2", "topic": "NoSuch", "offline": "true"}, b"", OK, ""),
    (315, {"statsName": "NO_SUCH", "statsKey": "T"}, b"", ERROR, ""),
    (321, {"topic": "NoSuchQueue", "queueId": 0, "index": 0, "count": 1}, b"", ERROR, ""),
    (328, {}, b"", OK, "data"),
    (343, {"group": "A-none"}, b"", OK, "brokerAddr topicList"),
    (345, {"group": "A-none", "topic": "Answers"}, b"", OK, "group topic"),
    (351, {"topic": "NoSuch"}, b"", NO_TOPIC, ""),
    (352, {"group": "a b"}, b"", NO_GROUP, ""),
    (353, {"group": "A-none", "topic": "NoSuch"}, b"", OK, "group readable topic"),
    (
        907, {}, b"", OK,
        "haClientRuntimeInfo haConnectionInfo inSyncSlaveNums lastReadTimestamp lastWriteTimestamp master"
        " masterCommitLogMaxOffset masterFlushOffset maxOffset transferredByteInSecond",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def _topic(target: Target) -> None:
    remoting.create_topic(target.broker, "Answers", 2)


def _name(case: tuple[int, dict[str, Any], bytes, int, str]) -> str:
    code, fields, body, *_ = case
    return f"{code}-{' '.join(map(str, fields.values())) or body.decode()}"[:60]


@pytest.mark.usefixtures("_topic")
@pytest.mark.parametrize("case", CASES, ids=_name)
def test_answer(target: Target, case: tuple[int, dict[str, Any], bytes, int, str]) -> None:
    code, fields, body, expected, names = case
    answer = remoting.call(target.broker, code, fields, body)
    assert answer.code == expected, (answer.remark, answer.body)
    found = sorted(set(re.findall(r'"(\w+)":', answer.body.decode())))
    if names and "data" not in names.split():
        assert found == names.split()
    elif names:
        assert "data" in found  # the producers of other tests are there too
    else:
        assert not found
    if expected != OK:
        assert answer.remark, "a refusal says why"
