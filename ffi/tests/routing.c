/* Queues of a topic, chosen by the program; lists that are divided; calls that are cancelled. */
#include "test.h"

static void queues_are_named(struct world *world, mq_producer *producer) {
    mq_message_queues *queues = NULL, *own = mq_message_queues_new();
    mq_event *event;
    size_t i, len = 0;
    OK(mq_producer_queues(producer, MQ_TEXT("orders"), &queues));
    CHECK(mq_message_queues_count(queues) == 4);
    for (i = 0; i < mq_message_queues_count(queues); i++) {
        CHECK(same(mq_message_queues_topic(queues, i, &len), "orders") && len == 6);
        CHECK(same(mq_message_queues_broker_name(queues, i, &len), "broker-a") && len == 8);
        CHECK(mq_message_queues_id(queues, i) == (int32_t)i);
    }
    CHECK(mq_message_queues_topic(queues, 4, &len) == NULL && len == 0);
    CHECK(mq_message_queues_broker_name(queues, 4, NULL) == NULL && mq_message_queues_id(queues, 4) == -1);
    mq_message_queues_free(queues);

    OK(mq_producer_queues_async(producer, MQ_TEXT("orders"), world->queue, 11));
    event = next_event(world->queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 11 && mq_event_error(event) == NULL && mq_event_receipt(event) == NULL);
    CHECK(mq_message_queues_count(mq_event_queues(event)) == 4);
    mq_event_free(event);

    FAILS(mq_producer_queues(producer, MQ_TEXT("no spaces"), &queues), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_queues(producer, MQ_TEXT("orders"), NULL), MQ_ERR_ARGUMENT);
    CHECK(mq_message_queues_count(own) == 0 && mq_message_queues_count(NULL) == 0);
    OK(mq_message_queues_add(own, MQ_TEXT("orders"), MQ_TEXT("broker-a"), 2));
    CHECK(mq_message_queues_count(own) == 1 && mq_message_queues_id(own, 0) == 2);
    FAILS(mq_message_queues_add(own, MQ_TEXT("\xff"), MQ_TEXT("broker-a"), 2), MQ_ERR_ARGUMENT);
    FAILS(mq_message_queues_add(NULL, MQ_TEXT("orders"), MQ_TEXT("broker-a"), 2), MQ_ERR_ARGUMENT);
    mq_message_queues_free(own);
    mq_message_queues_free(NULL);
}

static void messages_go_to_the_queue(struct world *world, mq_producer *producer) {
    mq_message *message = message_to("orders", "for queue 2");
    mq_receipt *receipt = NULL;
    mq_event *event;
    OK(mq_message_set_wait_store(message, 0));
    OK(mq_producer_send_to_queue(producer, message, MQ_TEXT("broker-a"), 2, LONG_MS, &receipt));
    CHECK(mq_receipt_queue_id(receipt) == 2);
    mq_receipt_free(receipt);
    OK(mq_producer_send_to_queue_async(producer, message, MQ_TEXT("broker-a"), 3, LONG_MS, world->queue, 12));
    event = next_event(world->queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 12 && mq_receipt_queue_id(mq_event_receipt(event)) == 3);
    CHECK(mq_event_queues(event) == NULL);
    mq_event_free(event);
    FAILS(mq_producer_send_to_queue(producer, message, MQ_TEXT("broker-a"), 4, 0, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_send_to_queue(producer, message, MQ_TEXT("broker-z"), 0, 0, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_send_to_queue(producer, NULL, MQ_TEXT("broker-a"), 0, 0, NULL), MQ_ERR_ARGUMENT);
    mq_message_free(message);
}

static void lists_are_divided(struct world *world) {
    mq_config *config = settings("max_message_size", "1000", (char *)NULL);
    mq_producer *producer = NULL;
    mq_message *messages[7];
    const mq_message *list[7];
    size_t lengths[7], lists = 0, i, sum = 0;
    char body[301];
    OK(mq_producer_new(world->client, config, &producer));
    mq_config_free(config);
    memset(body, 'x', 300);
    body[300] = 0;
    for (i = 0; i < 7; i++) {
        messages[i] = message_to("orders", body);
        list[i] = messages[i];
    }
    OK(mq_producer_split_batch(producer, list, 7, lengths, &lists));
    CHECK(lists == 4);
    for (i = 0; i < lists; i++) {
        OK(mq_producer_send_batch(producer, list + sum, lengths[i], LONG_MS, NULL));
        sum += lengths[i];
    }
    CHECK(sum == 7);
    FAILS(mq_producer_split_batch(producer, list, 0, lengths, &lists), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_split_batch(producer, list, 7, NULL, &lists), MQ_ERR_ARGUMENT);
    for (i = 0; i < 7; i++) {
        mq_message_free(messages[i]);
    }
    mq_producer_free(producer);
}

/* The broker keeps the NameServer's answer back for as long as the test's deadline: only cancelling ends the call. */
static void calls_are_cancelled(struct world *world, mq_producer *producer) {
    mq_event *event;
    OK(mq_broker_delay_next(world->broker, MQ_TEXT("GET_ROUTEINFO_BY_TOPIC"), LONG_MS, 1));
    OK(mq_producer_queues_async(producer, MQ_TEXT("unknown"), world->queue, 13));
    OK(mq_producer_cancel(producer, world->queue, 99));
    OK(mq_producer_cancel(producer, world->queue, 13));
    event = next_event(world->queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 13 && mq_error_code(mq_event_error(event)) == MQ_ERR_CANCELLED);
    mq_event_free(event);
    OK(mq_broker_clear_faults(world->broker));
    CHECK(mq_queue_length(world->queue) == 0);
}

void test_routing(void) {
    struct world world;
    mq_producer *producer;
    world_open(&world);
    producer = producer_of(world.client);
    queues_are_named(&world, producer);
    messages_go_to_the_queue(&world, producer);
    lists_are_divided(&world);
    calls_are_cancelled(&world, producer);
    mq_producer_free(producer);
    world_close(&world);
}
