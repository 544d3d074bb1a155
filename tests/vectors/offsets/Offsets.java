// Writes what Apache's Java client keeps in the offsets.json of a broadcasting consumer.
import java.nio.file.*;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.rocketmq.client.consumer.store.OffsetSerializeWrapper;
import org.apache.rocketmq.common.message.MessageQueue;

public class Offsets {
    public static void main(String[] args) throws Exception {
        ConcurrentMap<MessageQueue, AtomicLong> table = new ConcurrentHashMap<>();
        table.put(new MessageQueue("T-1", "broker-a", 0), new AtomicLong(5));
        table.put(new MessageQueue("T\"\u00e9", "b", 11), new AtomicLong(1234567890123L));
        OffsetSerializeWrapper wrapper = new OffsetSerializeWrapper();
        wrapper.setOffsetTable(table);
        Files.write(Paths.get(args[0]), wrapper.toJson(true).getBytes("UTF-8"));
    }
}
