// Divides queues with the strategies of Apache's Java client, and writes an offsets file with its classes.
import java.nio.file.*;
import java.util.*;
import org.apache.rocketmq.client.consumer.AllocateMessageQueueStrategy;
import org.apache.rocketmq.client.consumer.rebalance.*;
import org.apache.rocketmq.common.message.MessageQueue;

public class Vectors {
    public static void main(String[] args) throws Exception {
        Map<String, AllocateMessageQueueStrategy> strategies = new LinkedHashMap<>();
        strategies.put("AVG", new AllocateMessageQueueAveragely());
        strategies.put("AVG_BY_CIRCLE", new AllocateMessageQueueAveragelyByCircle());
        AllocateMessageQueueByMachineRoom room = new AllocateMessageQueueByMachineRoom();
        room.setConsumeridcs(new HashSet<>(Arrays.asList("room1", "room3")));
        strategies.put("MACHINE_ROOM", room);
        strategies.put("MACHINE_ROOM_NEARBY", new AllocateMachineRoomNearby(new AllocateMessageQueueAveragely(),
            new AllocateMachineRoomNearby.MachineRoomResolver() {
                public String brokerDeployIn(MessageQueue queue) {
                    return queue.getBrokerName().split("@")[0];
                }

                public String consumerDeployIn(String clientId) {
                    return clientId.split("@")[2];
                }
            }));
        strategies.put("CONSISTENT_HASH", new AllocateMessageQueueConsistentHash());

        StringBuilder out = new StringBuilder("# strategy\tqueues of each broker\tmembers\tmember: its queues, for each member\n");
        int[][] shapes = {{1, 1}, {1, 3}, {2, 5}, {3, 2}, {4, 4}, {5, 3}, {7, 2}, {8, 7}, {16, 6}};
        for (Map.Entry<String, AllocateMessageQueueStrategy> strategy : strategies.entrySet()) {
            for (int[] shape : shapes) {
                List<MessageQueue> queues = new ArrayList<>();
                for (String broker : new String[] {"room1@b", "room2@b", "room3@a10", "room3@a9"}) {
                    for (int number = 0; number < shape[0]; number++) {
                        queues.add(new MessageQueue("T-1", broker, number));
                    }
                }
                List<String> members = new ArrayList<>();
                for (int number = 0; number < shape[1]; number++) {
                    members.add("10.0.0." + number * 7 + "@" + (4000 + number * 13) + "#a" + "@room" + (1 + number % 2));
                }
                Collections.sort(queues);
                Collections.sort(members);
                out.append(strategy.getKey()).append('\t').append(shape[0]).append('\t').append(String.join(" ", members));
                for (String member : members) {
                    out.append('\t').append(member).append(':');
                    for (MessageQueue queue : strategy.getValue().allocate("G", member, queues, members)) {
                        out.append(' ').append(queue.getBrokerName()).append('/').append(queue.getQueueId());
                    }
                }
                out.append('\n');
            }
        }
        Files.write(Paths.get(args[0]), out.toString().getBytes("UTF-8"));
        System.out.println(new MessageQueue("T-1", "room1@b", 3));
    }
}
