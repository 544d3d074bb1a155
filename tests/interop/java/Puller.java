// The pull consumer of the Java peer: Apache's DefaultLitePullConsumer, asked for messages instead of delivering them.

import com.alibaba.fastjson2.JSONObject;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

final class Puller {
    private final DefaultLitePullConsumer consumer;
    private final String topic;

    /** With `assign` (a list of queue ids) it takes these queues, else it subscribes and shares the topic with its group. */
    Puller(JSONObject c, String instance) throws Exception {
        topic = c.getString("topic");
        consumer = new DefaultLitePullConsumer(c.getString("group"));
        consumer.setNamesrvAddr(c.getString("namesrv"));
        consumer.setInstanceName(instance);
        consumer.setPollNameServerInterval(Peer.POLL_MS);
        consumer.setMqClientApiTimeout(Peer.SHORT_CALL_MS);
        consumer.setTopicMetadataCheckIntervalMillis(Peer.POLL_MS);
        consumer.setConsumeFromWhere(Peer.from(c));
        consumer.setAutoCommit(c.getBooleanValue("auto_commit"));
        if (c.containsKey("assign")) {
            consumer.start();
            // An assigning consumer refreshes no routes of its own; the watch also tells of queues that are added.
            consumer.registerTopicMessageQueueChangeListener(topic, this::changed);
            consumer.assign(queues(c.getList("assign", Integer.class)));
        } else {
            consumer.subscribe(topic, c.getString("expression") == null ? "*" : c.getString("expression"));
            consumer.start();
        }
    }

    Map<String, Object> run(JSONObject c) throws Exception {
        switch (c.getString("op")) {
            case "poll":
                List<Map<String, Object>> found = new ArrayList<>();
                for (MessageExt m : consumer.poll(c.getIntValue("timeout_ms"))) {
                    found.add(Peer.describe(m));
                }
                return Peer.fields("messages", found);
            case "seek":
                seek(queue(c.getIntValue("queue")), c);
                return Map.of();
            case "pause":
                consumer.pause(queues(c.getList("queues", Integer.class)));
                return Map.of();
            case "resume":
                consumer.resume(queues(c.getList("queues", Integer.class)));
                return Map.of();
            case "commit":
                consumer.commitSync();
                return Map.of();
            default:
                Map<String, Object> committed = new LinkedHashMap<>();
                for (MessageQueue q : consumer.assignment()) {
                    committed.put(Integer.toString(q.getQueueId()), consumer.committed(q));
                }
                return Peer.fields("committed", committed);
        }
    }

    private void seek(MessageQueue q, JSONObject c) throws Exception {
        if (c.containsKey("time")) {
            consumer.seek(q, consumer.offsetForTimestamp(q, c.getLong("time")));
        } else if (c.containsKey("offset")) {
            consumer.seek(q, c.getLongValue("offset"));
        } else if (c.getBooleanValue("end")) {
            consumer.seekToEnd(q);
        } else {
            consumer.seekToBegin(q);
        }
    }

    void close() {
        consumer.shutdown();
    }

    private void changed(String changedTopic, Collection<MessageQueue> queues) {
        Peer.emit(Peer.fields("event", "queues", "consumer", consumer.getConsumerGroup(), "topic", changedTopic, "count", queues.size()));
    }

    private List<MessageQueue> queues(List<Integer> ids) throws Exception {
        List<MessageQueue> queues = new ArrayList<>();
        for (int id : ids) {
            queues.add(queue(id));
        }
        return queues;
    }

    private MessageQueue queue(int id) throws Exception {
        for (MessageQueue q : consumer.fetchMessageQueues(topic)) {
            if (q.getQueueId() == id) {
                return q;
            }
        }
        throw new IllegalArgumentException("topic " + topic + " has no queue " + id);
    }
}
