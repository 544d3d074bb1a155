// The Java peer: Apache RocketMQ's own client and mqadmin, driven by JSON lines on stdin, answering with JSON lines on stdout.
// The protocol is described in ../peers.py; the Go peer (../go) speaks the same.

import com.alibaba.fastjson2.JSON;
import com.alibaba.fastjson2.JSONObject;
import com.alibaba.fastjson2.JSONWriter;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.selector.SelectMessageQueueByHash;
import org.apache.rocketmq.common.MixAll;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.tools.command.MQAdminStartup;

public final class Peer {
    /** Bodies up to this size are reported as text, larger ones by their hash alone. */
    private static final int TEXT_LIMIT = 256;

    /** How often a client asks for routes; 30 s otherwise, and a consumer sees its new retry topic only then. */
    static final int POLL_MS = 1000;

    /** Limit of a call to a NameServer; 3 s otherwise, which a JVM may need to get going on a busy machine. */
    static final int SHORT_CALL_MS = 15_000;

    /** How long a consumer that is closed waits for its listeners. */
    private static final int CLOSE_MS = 10_000;

    private static final PrintStream OUT = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);

    private final Map<String, DefaultMQProducer> producers = new HashMap<>();
    private final Map<String, DefaultMQPushConsumer> consumers = new HashMap<>();
    private final Map<String, Puller> pullers = new HashMap<>();
    /** NameServer → what keeps the client's connections open while nothing else is: to close them takes seconds. */
    private final Map<String, DefaultMQProducer> anchors = new HashMap<>();

    private Peer() {
    }

    public static void main(String[] args) throws Exception {
        // What libraries print must not mix with the answers.
        System.setOut(System.err);
        new Peer().serve();
        System.exit(0); // threads of the client that are still there must not hold the process
    }

    private void serve() throws Exception {
        emit(fields("event", "ready", "program", "rocketmq-client-java"));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            JSONObject command = JSON.parseObject(line);
            Map<String, Object> answer = fields("id", command.getIntValue("id"), "ok", true);
            try {
                answer.putAll(run(command));
            } catch (Throwable e) {
                answer.put("ok", false);
                answer.put("error", e.toString());
            }
            emit(answer);
        }
        for (String name : new ArrayList<>(consumers.keySet())) {
            close(name);
        }
        for (String name : new ArrayList<>(pullers.keySet())) {
            close(name);
        }
        for (String name : new ArrayList<>(producers.keySet())) {
            close(name);
        }
    }

    private Map<String, Object> run(JSONObject c) throws Exception {
        switch (c.getString("op")) {
            case "producer":
                return producer(c);
            case "send":
                return send(c);
            case "consumer":
                return consumer(c);
            case "puller":
                pullers.put(c.getString("name"), new Puller(c, instance(c)));
                return Map.of();
            case "poll":
            case "seek":
            case "pause":
            case "resume":
            case "commit":
            case "position":
                return pullers.get(c.getString("name")).run(c);
            case "suspend":
                consumers.get(c.getString("name")).suspend();
                return Map.of();
            case "go_on":
                consumers.get(c.getString("name")).resume();
                return Map.of();
            case "close":
                close(c.getString("name"));
                return Map.of();
            case "forget":
                forget(c.getString("namesrv"));
                return Map.of();
            case "offsets":
                return offsets(c);
            case "query":
                return query(c);
            case "admin":
                return admin(c);
            default:
                throw new IllegalArgumentException("unknown op " + c.getString("op"));
        }
    }

    private Map<String, Object> producer(JSONObject c) throws Exception {
        String name = c.getString("name");
        // Read when the producer is made; 4.9 has no setter.
        System.setProperty(MixAll.MESSAGE_COMPRESS_TYPE, c.getString("compress_type") == null ? "ZLIB" : c.getString("compress_type"));
        DefaultMQProducer p = new DefaultMQProducer(c.getString("group"));
        p.setNamesrvAddr(c.getString("namesrv"));
        p.setInstanceName(instance(c));
        p.setPollNameServerInterval(POLL_MS);
        p.setMqClientApiTimeout(SHORT_CALL_MS);
        if (c.containsKey("compress_over")) {
            p.setCompressMsgBodyOverHowmuch(c.getIntValue("compress_over"));
        }
        if (c.containsKey("heartbeat_ms")) {
            p.setHeartbeatBrokerInterval(c.getIntValue("heartbeat_ms"));
        }
        p.setSendMsgTimeout(c.getIntValue("timeout_ms", 30_000));
        p.start();
        producers.put(name, p);
        return Map.of();
    }

    private Map<String, Object> send(JSONObject c) throws Exception {
        DefaultMQProducer p = producers.get(c.getString("name"));
        int count = c.getIntValue("count", 1);
        List<Message> messages = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            messages.add(message(c, c.getIntValue("first") + i));
        }
        List<Map<String, Object>> sent = new ArrayList<>(count);
        switch (c.getString("mode") == null ? "sync" : c.getString("mode")) {
            case "sync":
                for (Message m : messages) {
                    SendResult r = c.containsKey("queue") ? p.send(m, queue(p, c))
                        : c.containsKey("shard") ? p.send(m, new SelectMessageQueueByHash(), c.getString("shard")) : p.send(m);
                    sent.add(receipt(r));
                }
                break;
            case "async":
                sent.addAll(sendAsync(p, messages));
                break;
            case "oneway":
                for (Message m : messages) {
                    if (c.containsKey("queue")) {
                        p.sendOneway(m, queue(p, c));
                    } else {
                        p.sendOneway(m);
                    }
                }
                break;
            case "batch":
                int size = c.getIntValue("batch", 16);
                for (int i = 0; i < count; i += size) {
                    List<Message> part = messages.subList(i, Math.min(count, i + size));
                    sent.add(receipt(c.containsKey("queue") ? p.send(part, queue(p, c)) : p.send(part)));
                }
                break;
            default:
                throw new IllegalArgumentException("unknown mode " + c.getString("mode"));
        }
        return Map.of("sent", sent);
    }

    private List<Map<String, Object>> sendAsync(DefaultMQProducer p, List<Message> messages) throws Exception {
        Map<Integer, Map<String, Object>> done = new HashMap<>();
        CountDownLatch left = new CountDownLatch(messages.size());
        Semaphore window = new Semaphore(256);
        for (int i = 0; i < messages.size(); i++) {
            int index = i;
            window.acquire();
            p.send(messages.get(i), new SendCallback() {
                @Override
                public void onSuccess(SendResult r) {
                    finish(receipt(r));
                }

                @Override
                public void onException(Throwable e) {
                    finish(fields("error", e.toString()));
                }

                private void finish(Map<String, Object> result) {
                    synchronized (done) {
                        done.put(index, result);
                    }
                    window.release();
                    left.countDown();
                }
            });
        }
        if (!left.await(60, TimeUnit.SECONDS)) {
            throw new IllegalStateException(left.getCount() + " of " + messages.size() + " asynchronous sends did not end");
        }
        List<Map<String, Object>> sent = new ArrayList<>(messages.size());
        for (int i = 0; i < messages.size(); i++) {
            sent.add(done.get(i));
        }
        return sent;
    }

    /**
     * Part of the client id: one for all that talk to the same NameServer, so that they share connections; with `alone`
     * its own, as two members of one group need it.
     */
    private String instance(JSONObject c) throws Exception {
        String process = "java-" + ProcessHandle.current().pid() + "-";
        if (c.getBooleanValue("alone")) {
            return process + c.getString("name");
        }
        String namesrv = c.getString("namesrv");
        String instance = process + namesrv.replaceAll("\\W", "-");
        if (!anchors.containsKey(namesrv)) {
            DefaultMQProducer anchor = new DefaultMQProducer(process + "anchor");
            anchor.setNamesrvAddr(namesrv);
            anchor.setInstanceName(instance);
            anchor.setPollNameServerInterval(POLL_MS);
            anchor.setMqClientApiTimeout(SHORT_CALL_MS);
            anchor.start();
            anchors.put(namesrv, anchor);
        }
        return instance;
    }

    /** Closes the connections to a NameServer and its brokers; in the background, because it takes seconds. */
    private void forget(String namesrv) {
        DefaultMQProducer anchor = anchors.remove(namesrv);
        if (anchor != null) {
            Thread closing = new Thread(anchor::shutdown, "closing");
            closing.setDaemon(true);
            closing.start();
        }
    }

    private static Message message(JSONObject c, int number) {
        Message m = new Message(c.getString("topic"), body(c, number));
        if (c.getString("tags") != null) {
            m.setTags(c.getString("tags"));
        }
        if (c.getString("keys") != null) {
            m.setKeys(c.getString("keys").replace("{i}", Integer.toString(number)));
        }
        if (c.getIntValue("delay_level") > 0) {
            m.setDelayTimeLevel(c.getIntValue("delay_level"));
        }
        JSONObject properties = c.getJSONObject("properties");
        if (properties != null) {
            properties.forEach((k, v) -> m.putUserProperty(k, v.toString()));
        }
        return m;
    }

    /** `prefix` + six digits + ':' and then letters up to `size`: the same rule as peers.body. */
    private static byte[] body(JSONObject c, int number) {
        String prefix = c.getString("prefix") == null ? "" : c.getString("prefix");
        byte[] head = (prefix + String.format("%06d:", number)).getBytes(StandardCharsets.UTF_8);
        byte[] body = java.util.Arrays.copyOf(head, Math.max(head.length, c.getIntValue("size")));
        for (int i = head.length; i < body.length; i++) {
            body[i] = (byte) ('a' + (number + i) % 26);
        }
        return body;
    }

    private static MessageQueue queue(DefaultMQProducer p, JSONObject c) throws Exception {
        int id = c.getIntValue("queue");
        for (MessageQueue q : p.fetchPublishMessageQueues(c.getString("topic"))) {
            if (q.getQueueId() == id) {
                return q;
            }
        }
        throw new IllegalArgumentException("topic " + c.getString("topic") + " has no queue " + id);
    }

    private static Map<String, Object> receipt(SendResult r) {
        return fields("status", r.getSendStatus().name(), "msg_id", r.getMsgId(), "offset_msg_id", r.getOffsetMsgId(),
            "broker", r.getMessageQueue().getBrokerName(), "queue", r.getMessageQueue().getQueueId(), "offset", r.getQueueOffset());
    }

    private Map<String, Object> consumer(JSONObject c) throws Exception {
        String name = c.getString("name");
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(c.getString("group"));
        consumer.setNamesrvAddr(c.getString("namesrv"));
        consumer.setInstanceName(instance(c));
        consumer.setPollNameServerInterval(POLL_MS);
        consumer.setMqClientApiTimeout(SHORT_CALL_MS);
        consumer.setConsumeFromWhere(from(c));
        if (c.containsKey("timestamp")) {
            consumer.setConsumeTimestamp(c.getString("timestamp"));
        }
        if (c.containsKey("heartbeat_ms")) {
            consumer.setHeartbeatBrokerInterval(c.getIntValue("heartbeat_ms"));
        }
        consumer.setMessageModel("broadcasting".equals(c.getString("model")) ? MessageModel.BROADCASTING : MessageModel.CLUSTERING);
        consumer.setConsumeThreadMin(4);
        consumer.setConsumeThreadMax(4);
        // Without it shutdown() commits before a listener that has just reported its message has returned.
        consumer.setAwaitTerminationMillisWhenShutdown(CLOSE_MS);
        if (c.containsKey("max_reconsume")) {
            consumer.setMaxReconsumeTimes(c.getIntValue("max_reconsume"));
        }
        String expression = c.getString("expression") == null ? "*" : c.getString("expression");
        consumer.subscribe(c.getString("topic"),
            "SQL92".equals(c.getString("expression_type")) ? MessageSelector.bySql(expression) : MessageSelector.byTag(expression));
        int failures = c.getIntValue("fail_times");
        int level = c.getIntValue("retry_level");
        int work = c.getIntValue("work_ms");
        if (c.getBooleanValue("orderly")) {
            consumer.setMessageListener((MessageListenerOrderly) (messages, context) -> {
                boolean fail = report(name, messages, failures);
                if (fail) {
                    context.setSuspendCurrentQueueTimeMillis(100);
                }
                work(work);
                return fail ? ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT : ConsumeOrderlyStatus.SUCCESS;
            });
        } else {
            consumer.setMessageListener((MessageListenerConcurrently) (messages, context) -> {
                boolean fail = report(name, messages, failures);
                work(work);
                if (fail && level > 0) {
                    context.setDelayLevelWhenNextConsume(level);
                }
                return fail ? ConsumeConcurrentlyStatus.RECONSUME_LATER : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
        }
        consumer.start();
        consumers.put(name, consumer);
        return Map.of();
    }

    static ConsumeFromWhere from(JSONObject c) {
        switch (c.getString("from") == null ? "first" : c.getString("from")) {
            case "last":
                return ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET;
            case "timestamp":
                return ConsumeFromWhere.CONSUME_FROM_TIMESTAMP;
            default:
                return ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET;
        }
    }

    /** What a listener does besides reporting. */
    private static void work(int ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Tells the driver of each message; true when this delivery is to fail. */
    private static boolean report(String consumer, List<MessageExt> messages, int failures) {
        boolean fail = false;
        for (MessageExt m : messages) {
            boolean failed = m.getReconsumeTimes() < failures;
            fail |= failed;
            Map<String, Object> event = describe(m);
            event.put("event", "message");
            event.put("consumer", consumer);
            event.put("failed", failed);
            emit(event);
        }
        return fail;
    }

    static Map<String, Object> describe(MessageExt m) {
        return fields("topic", m.getTopic(), "msg_id", m.getMsgId(), "broker", m.getBrokerName(), "queue", m.getQueueId(),
            "offset", m.getQueueOffset(), "tags", m.getTags(), "keys", m.getKeys(), "reconsume_times", m.getReconsumeTimes(),
            "properties", m.getProperties(), "size", m.getBody().length, "sha256", sha256(m.getBody()),
            "body", m.getBody().length <= TEXT_LIMIT ? new String(m.getBody(), StandardCharsets.UTF_8) : null,
            "born_host", m.getBornHost().toString(), "store_host", m.getStoreHost().toString(), "sys_flag", m.getSysFlag(),
            "born_time", m.getBornTimestamp(), "store_time", m.getStoreTimestamp());
    }

    private void close(String name) {
        DefaultMQProducer p = producers.remove(name);
        if (p != null) {
            p.shutdown();
        }
        DefaultMQPushConsumer consumer = consumers.remove(name);
        if (consumer != null) {
            consumer.shutdown();
        }
        Puller puller = pullers.remove(name);
        if (puller != null) {
            puller.close();
        }
    }

    /** Smallest and next offset of a queue, its first time, and the offset at a time. */
    private Map<String, Object> offsets(JSONObject c) throws Exception {
        DefaultMQProducer p = producers.get(c.getString("name"));
        MessageQueue q = queue(p, c);
        return fields("min", p.minOffset(q), "max", p.maxOffset(q), "earliest", p.earliestMsgStoreTime(q),
            "at_time", c.containsKey("time") ? p.searchOffset(q, c.getLongValue("time")) : null);
    }

    /** By `key`, or by `msg_id` (of either kind). */
    private Map<String, Object> query(JSONObject c) throws Exception {
        DefaultMQProducer p = producers.get(c.getString("name"));
        List<Map<String, Object>> found = new ArrayList<>();
        if (c.getString("key") != null) {
            QueryResult r = p.queryMessage(c.getString("topic"), c.getString("key"), c.getIntValue("max", 32), 0, Long.MAX_VALUE);
            r.getMessageList().forEach(m -> found.add(describe(m)));
        } else {
            found.add(describe(p.viewMessage(c.getString("topic"), c.getString("msg_id"))));
        }
        return fields("messages", found);
    }

    /** One mqadmin command; what it printed. */
    private static Map<String, Object> admin(JSONObject c) {
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        PrintStream before = System.out;
        PrintStream capture = new PrintStream(text, true, StandardCharsets.UTF_8);
        StringWriter failure = new StringWriter();
        System.setOut(capture);
        PrintStream errors = System.err;
        System.setErr(capture);
        try {
            forgetCommands();
            MQAdminStartup.main0(c.getList("args", String.class).toArray(new String[0]), null);
        } catch (Throwable e) {
            e.printStackTrace(new PrintWriter(failure));
        } finally {
            System.setOut(before);
            System.setErr(errors);
        }
        return fields("out", text.toString(StandardCharsets.UTF_8), "failure", failure.toString());
    }

    /** Some commands keep a client that they have shut down and cannot run twice; with an empty list new ones are made. */
    private static void forgetCommands() throws IllegalAccessException {
        for (Field field : MQAdminStartup.class.getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers()) && List.class.isAssignableFrom(field.getType())) {
                field.setAccessible(true);
                ((List<?>) field.get(null)).clear();
            }
        }
    }

    private static String sha256(byte[] body) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(body));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    static Map<String, Object> fields(Object... keysAndValues) {
        Map<String, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < keysAndValues.length; i += 2) {
            map.put((String) keysAndValues[i], keysAndValues[i + 1]);
        }
        return map;
    }

    static void emit(Map<String, Object> line) {
        byte[] bytes = (JSON.toJSONString(line, JSONWriter.Feature.WriteNulls) + "\n").getBytes(StandardCharsets.UTF_8);
        synchronized (OUT) {
            OUT.write(bytes, 0, bytes.length);
            OUT.flush();
        }
    }
}
