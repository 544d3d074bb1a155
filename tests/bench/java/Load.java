// Measures Apache's Java client as ffi/examples/bench.c measures ours; see USAGE. Before it measures, it sends or
// consumes WARM messages, so that what is hot has been compiled.

import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

public final class Load {
    private static final String USAGE = "usage: Load HOST:PORT TOPIC WARM COUNT SIZE sync|async|push|pull THREADS|WINDOW|BATCH";

    private final String namesrv;
    private final String topic;
    private final long warm;
    private final long count;
    private final int size;
    private final int width;
    private final AtomicLong failed = new AtomicLong();
    private final AtomicLong received = new AtomicLong();
    private final CountDownLatch enough = new CountDownLatch(1);
    private volatile long startNanos;
    private volatile long startCpu;

    private Load(String[] args) {
        namesrv = args[0];
        topic = args[1];
        warm = Long.parseLong(args[2]);
        count = Long.parseLong(args[3]);
        size = Integer.parseInt(args[4]);
        width = Integer.parseInt(args[6]);
    }

    public static void main(String[] args) throws Exception {
        if (args.length != 7) {
            System.err.println(USAGE);
            System.exit(2);
        }
        Load load = new Load(args);
        switch (args[5]) {
            case "sync":
            case "async":
                load.produce(args[5].equals("sync"));
                break;
            case "push":
                load.push();
                break;
            case "pull":
                load.pull();
                break;
            default:
                System.err.println(USAGE);
                System.exit(2);
        }
        System.exit(0);
    }

    private static long cpu() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    private void begin() {
        startCpu = cpu();
        startNanos = System.nanoTime();
    }

    private void report(String what, long number) {
        double seconds = (System.nanoTime() - startNanos) / 1e9;
        double used = (cpu() - startCpu) / 1e9;
        System.out.printf("{\"%s\": %d, \"failed\": %d, \"seconds\": %.3f, \"cpu_seconds\": %.3f}%n", what, number, failed.get(), seconds, used);
        System.out.flush();
    }

    private void produce(boolean synchronously) throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("load");
        producer.setNamesrvAddr(namesrv);
        producer.setMqClientApiTimeout(15_000);
        producer.setSendMsgTimeout(30_000);
        producer.start();
        byte[] body = new byte[size];
        Arrays.fill(body, (byte) 'x');
        for (long part : new long[] {warm, count}) {
            failed.set(0);
            begin();
            if (synchronously) {
                sendFromThreads(producer, body, part);
            } else {
                sendWithWindow(producer, body, part);
            }
        }
        report("sent", count - failed.get());
    }

    private void sendFromThreads(DefaultMQProducer producer, byte[] body, long number) throws Exception {
        Thread[] threads = new Thread[width];
        for (int i = 0; i < width; i++) {
            long share = number / width + (i < number % width ? 1 : 0);
            threads[i] = new Thread(() -> {
                for (long n = 0; n < share; n++) {
                    try {
                        producer.send(new Message(topic, body));
                    } catch (Exception e) {
                        failed.incrementAndGet();
                    }
                }
            });
            threads[i].start();
        }
        for (Thread thread : threads) {
            thread.join();
        }
    }

    private void sendWithWindow(DefaultMQProducer producer, byte[] body, long number) throws Exception {
        Semaphore room = new Semaphore(width);
        SendCallback done = new SendCallback() {
            @Override
            public void onSuccess(SendResult result) {
                room.release();
            }

            @Override
            public void onException(Throwable e) {
                failed.incrementAndGet();
                room.release();
            }
        };
        for (long n = 0; n < number; n++) {
            room.acquire();
            producer.send(new Message(topic, body), done);
        }
        room.acquire(width);
    }

    /** Reads each message, as an application would; the measurement begins after `warm` messages and ends after `count` more. */
    private void take(Iterable<MessageExt> messages) {
        long taken = 0;
        for (MessageExt message : messages) {
            byte[] body = message.getBody();
            if (body.length != size || body[size - 1] != 'x') {
                failed.incrementAndGet();
            }
            taken++;
        }
        long before = received.getAndAdd(taken);
        if (before < warm && before + taken >= warm) {
            begin();
        }
        if (before < warm + count && before + taken >= warm + count) {
            report("received", before + taken - warm);
            enough.countDown();
        }
    }

    private void push() throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer("java-push-" + width);
        consumer.setNamesrvAddr(namesrv);
        consumer.setMqClientApiTimeout(15_000);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeMessageBatchMaxSize(width);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            take(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        enough.await();
    }

    private void pull() throws Exception {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer("java-pull-" + width);
        consumer.setNamesrvAddr(namesrv);
        consumer.setMqClientApiTimeout(15_000);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setPullBatchSize(width);
        consumer.subscribe(topic, "*");
        consumer.start();
        while (enough.getCount() > 0) {
            take(consumer.poll(1000));
        }
    }
}
