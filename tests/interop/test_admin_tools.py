"""What mqadmin asks of brokers and NameServers beside the commands of test_admin: each in turn, and what it must print."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop import remoting
from tests.interop.conftest import APACHE, Target
from tests.interop.peers import Fields, Peer
from tests.interop.processes import wait_for

# Command line and what its output must match; {…} are of the target and the fixture `life`. The order matters only
# where one line says the next needs it.
COMMANDS = [
    ("updateSubGroup -b {broker} -g {group}-other -q 2 -r 3", r"create subscription group to {broker} success"),
    ("getConsumerConfig -g {group}-other", r"retryQueueNums +=  2\n(.*\n)*retryMaxTimes +=  3\n"),
    ("cloneGroupOffset -s {group} -d {group}-other -t {topic} -o true", r"clone group offset success"),
    ("deleteSubGroup -b {broker} -g {group}-other", r"delete subscription group \[{group}-other\] .* success"),
    ("updateTopicList -b {broker} -f {files}/topics.json", r"submit batch of topic config to {broker} success"),
    ("topicRoute -t {topic}-listed", r'"perm":4,\s+"readQueueNums":3'),
    ("updateSubGroupList -b {broker} -f {files}/groups.json", r"submit batch of group config to {broker} success"),
    ("getConsumerConfig -g {group}-listed", r"retryQueueNums +=  5\n"),
    ("topicClusterList -t {topic}", r"{cluster}"),
    ("topicList -c", r"\n{cluster} +{topic} +{group} "),
    ("clusterList -m", r"\n{cluster} +{name} +0 +0 +\d+ +\d+ *\n"),
    ("haStatus -b {broker}", r"#MasterAddr\s+{broker}\n#MasterCommitLogMaxOffset\s+\d+\n#SlaveNum\s+0\n#InSyncSlaveNum\s+0\n"),
    ("haStatus -c {cluster}", r"#MasterAddr\s+{broker}\n"),
    ("exportConfigs -c {cluster} -f {files}", r"export {files}/configs.json success"),
    ("exportMetadata -c {cluster} -f {files}", r"export {files}/metadata.json success"),
    ("exportMetadata -b {broker} -t -f {files}", r"export {files}/topic.json success"),
    ("exportMetadata -b {broker} -g -f {files}", r"export {files}/subscriptionGroup.json success"),
    ("exportMetrics -c {cluster} -f {files}", r"export {files}/metrics.json success"),
    ("brokerStatus -b {broker}", r"brokerVersionDesc +: \S+\n(.*\n)*putTps +: "),
    ("getBrokerConfig -b {broker}", r"autoCreateTopicEnable +=  true\n"),
    ("updateBrokerConfig -b {broker} -k brokerPermission -v 6", r"update broker config success, {broker}"),
    ("getNamesrvConfig", r"serverChannelMaxIdleTimeSeconds +=  \d+\n"),
    ("updateNamesrvConfig -k returnOrderTopicConfigToBroker -v false", r"update name server config success"),
    ("updateKvConfig -s space -k name -v value", r"create or update kv config to namespace success"),
    ("deleteKvConfig -s space -k name", r"delete kv config from namespace success"),
    ("updateOrderConf -t {topic} -m put -v {name}:4", r"update orderConf success. topic=\[{topic}\], orderConf=\[{name}:4\]"),
    ("updateOrderConf -t {topic} -m get", r"get orderConf success. topic=\[{topic}\], orderConf=\[{name}:4\]"),
    ("updateOrderConf -t {topic} -m delete", r"delete orderConf success. topic=\[{topic}\]"),
    ("producerConnection -g P-{topic} -t {topic}", r"@java-\d+-\S+ +127.0.0.1:\d+ +JAVA +V5_5_0"),
    ("producer -b {broker}", r"producer group \(P-{topic}\) instance : clientId="),
    ("consumerProgress", r"\n{group} +1 +V5_5_0 +PUSH +CLUSTERING +\S+ +0 *\n"),
    ("brokerConsumeStats -b {broker}", r"\n{topic} +{group} +{name} +0 +1 +1 +0 +"),
    ("statsAll -t {topic}", r"\n{topic} +{group} +0 "),
    ("queryMsgByOffset -t {topic} -b {name} -i 0 -o 0", r"OffsetID: +\w+\nTopic: +{topic}\nTags: +\[A\]\nKeys: +\[k0\]\n"),
    ("queryMsgByUniqueKey -t {topic} -i {msg_id}", r"Topic: +{topic}\nTags: +\[A\]\nKeys: +\[k0\]\n"),
    ("printMsg -t {topic} -d true", r"MSGID: {msg_id} .*body"),
    ("printMsgByQueue -t {topic} -a {name} -i 0 -p true", r"MSGID: {msg_id} "),
    ("consumeMessage -t {topic} -c 1", r"Consume ok\nMSGID: \w+ "),
    ("queryCq -t {topic} -q 0 -b {broker} -i 0 -c 1", r"max: 1, min: 0\n(.*\n)*ConsumeQueueData.*, tagsCode=65,"),
    ("allocateMQ -t {topic} -i a,b", r'"a":\[.*"b":\['),
    ("consumerStatus -g {group}", r"@java-\d+-\S+ +V5_5_0 .*\n(.*\n)*Same subscription in the same group of consumer\n"),
    ("consumerConnection -g {group}", r"\n{topic} +\*\n(.*\n)*ConsumeType: CONSUME_PASSIVELY\nMessageModel: CLUSTERING\n"),
    ("sendMsgStatus -b {name} -s 128 -c 2", r"rt=\d+ms, SendResult=SendResult \[sendStatus=SEND_OK"),
    ("wipeWritePerm -b {name}", r"wipe write perm of broker\[{name}\] in name server\[{namesrv}\] OK, \d+"),
    ("addWritePerm -b {name}", r"add write perm of broker\[{name}\] in name server\[{namesrv}\] OK, \d+"),
    ("resetOffsetByTime -g {group} -t {topic} -s 0 -b {broker} -q 0 -o 1", r"reset consumer offset to 1\n"),
    ("cleanUnusedTopic -b {broker}", r"success"),
    ("cleanExpiredCQ -b {broker}", r"success"),
    ("deleteExpiredCommitLog -b {broker}", r"success"),
    ("skipAccumulatedMessage -g {group} -t {topic} -f true", r"\n{name} +0 +1 *\n"),
    ("checkMsgSendRT -t {topic} -a 3 -s 16", r"\n{name} +\d +true +\d+ *\n(.*\n)*Avg RT: "),
]  # fmt: skip


@pytest.fixture(scope="module")
def life(target: Target, java: Peer) -> Iterator[Fields]:
    """A topic with one message in each of its queues and a group that has consumed them and is there."""
    topic = "admin-tools"
    remoting.create_topic(target.broker, topic, 2)
    java.call("producer", name=topic, namesrv=target.namesrv, group=f"P-{topic}")
    sent = [java.send(topic, topic, queue=queue, first=queue, tags="A", keys="k{i}")[0] for queue in range(2)]
    java.call("consumer", name=f"{topic}-consumer", namesrv=target.namesrv, group=f"G-{topic}", topic=topic)
    java.wait_messages(f"{topic}-consumer", lambda found: len(found) >= 2)

    def committed() -> bool:
        at = {"consumerGroup": f"G-{topic}", "topic": topic}
        return all(remoting.call(target.broker, 14, at | {"queueId": q}).ext.get("offset") == "1" for q in "01")

    wait_for("the offsets are committed", committed, 30)
    # Where commands read lists and write reports.
    with tempfile.TemporaryDirectory(prefix="mqadmin-") as files:
        topics = [{"topicName": f"{topic}-listed", "readQueueNums": 3, "writeQueueNums": 2, "perm": 4}]
        (Path(files) / "topics.json").write_text(json.dumps(topics))
        groups = [{"groupName": f"G-{topic}-listed", "retryQueueNums": 5}]
        (Path(files) / "groups.json").write_text(json.dumps(groups))
        yield {"topic": topic, "group": f"G-{topic}", "msg_id": sent[0]["msg_id"], "files": files}
    java.call("close", name=f"{topic}-consumer")
    java.call("close", name=topic)


@pytest.mark.slow
@pytest.mark.parametrize(("command", "expected"), COMMANDS, ids=[command.split()[0] for command, _ in COMMANDS])
def test_command(target: Target, java: Peer, life: Fields, command: str, expected: str) -> None:
    words = life | {"broker": target.broker, "namesrv": target.namesrv, "name": target.name, "cluster": target.cluster}
    arguments = [part.format(**words) for part in command.split()]
    pattern = re.sub(r"\{(\w+)\}", lambda m: re.escape(words[m[1]]), expected)

    out = java.admin(*arguments, "-n", target.namesrv)
    assert re.search(pattern, "\n" + out), f"{arguments}: wanted {pattern!r}, got:\n{out}"


@pytest.mark.slow
def test_what_is_exported(target: Target, java: Peer, life: Fields) -> None:
    """The files that exportMetadata and exportMetrics write: what another cluster is set up with, what a report is made of."""
    files = Path(life["files"]) / "again"
    files.mkdir()
    for command in ("exportMetadata", "exportConfigs", "exportMetrics"):
        java.admin(command, "-c", target.cluster, "-f", str(files), "-n", target.namesrv)

    metadata = json.loads((files / "metadata.json").read_text())
    topic = metadata["topicConfigTable"][life["topic"]]
    assert (topic["readQueueNums"], topic["writeQueueNums"], topic["perm"]) == (2, 2, 6)
    group = metadata["subscriptionGroupTable"][life["group"]]
    assert (group["retryQueueNums"], group["retryMaxTimes"], group["consumeEnable"]) == (1, 16, True)
    configs = json.loads((files / "configs.json").read_text())
    assert configs["clusterScale"] == {"namesrvSize": 1, "masterBrokerSize": 1, "slaveBrokerSize": 0}
    assert configs["brokerConfigs"][target.name]["flushDiskType"] == "ASYNC_FLUSH"
    report = json.loads((files / "metrics.json").read_text())["evaluateReport"][target.name]
    assert "JAVA%V5_5_0" in report["runtimeVersion"]["clientInfo"]
    quota = report["runtimeQuota"]
    assert quota["topicSize"] >= 1 and quota["groupSize"] >= 1
    assert 0 < float(quota["diskRatio"]["commitLogDiskRatio"]) < 1 and float(quota["messageAverageSize"]) > 0


def test_a_topic_is_closed_and_deleted(target: Target, java: Peer, unique: str) -> None:
    remoting.create_topic(target.broker, unique, 4)
    out = java.admin("updateTopicPerm", "-b", target.broker, "-t", unique, "-p", "4", "-n", target.namesrv)
    assert f"update topic perm from 6 to 4 in {target.broker} success" in out

    def perm() -> int | None:
        route = remoting.route(target.namesrv, unique)
        return route["queueDatas"][0]["perm"] if route else None

    wait_for("the topic can only be read", lambda: perm() == 4, 60)
    if target.kind == APACHE:
        return  # Without its timer wheel, which is off here, Apache's broker deletes the topic and answers with an error.
    out = java.admin("deleteTopic", "-c", target.cluster, "-t", unique, "-n", target.namesrv)
    assert f"delete topic [{unique}] from cluster [{target.cluster}] success" in out
    wait_for("the topic is gone", lambda: perm() is None, 60)
