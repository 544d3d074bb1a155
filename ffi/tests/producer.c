/* Sending in every way, and what goes wrong with it. */
#include "test.h"

#include <pthread.h>

static void synchronous(struct world *world, mq_producer *producer) {
    mq_message *message = message_to("orders", "42 apples");
    mq_receipt *receipt = NULL;
    size_t len = 0;
    int i;
    OK(mq_message_set_tag(message, MQ_TEXT("paid")));
    OK(mq_producer_send(producer, message, 0, &receipt));
    CHECK(mq_receipt_status(receipt) == MQ_SEND_OK);
    CHECK(strlen(mq_receipt_message_id(receipt, &len)) == 32 && len == 32);
    CHECK(strlen(mq_receipt_offset_message_id(receipt, &len)) == 32 && len == 32);
    CHECK(same(mq_receipt_topic(receipt, NULL), "orders"));
    CHECK(same(mq_receipt_broker_name(receipt, NULL), "broker-a"));
    CHECK(mq_receipt_queue_id(receipt) >= 0 && mq_receipt_queue_id(receipt) < 4);
    CHECK(mq_receipt_queue_offset(receipt) == 0);
    CHECK(same(mq_receipt_region_id(receipt, NULL), "DefaultRegion"));
    mq_receipt_free(receipt);
    /* The same message again, without a receipt. */
    OK(mq_producer_send(producer, message, LONG_MS, NULL));
    mq_message_free(message);

    /* One message group keeps to one queue. */
    message = message_to("orders", "grouped");
    OK(mq_message_set_group(message, MQ_TEXT("customer 7")));
    {
        int32_t queue_id = -1;
        for (i = 0; i < 8; i++) {
            OK(mq_producer_send(producer, message, 0, &receipt));
            CHECK(queue_id == -1 || queue_id == mq_receipt_queue_id(receipt));
            queue_id = mq_receipt_queue_id(receipt);
            mq_receipt_free(receipt);
        }
    }
    mq_message_free(message);
    (void)world;
}

static void asynchronous(struct world *world, mq_producer *producer) {
    enum { COUNT = 1000 };
    static char seen[COUNT];
    size_t done = 0, i;
    uint64_t tag;
    mq_message *message = message_to("orders", "42 apples");
    memset(seen, 0, sizeof seen);
    for (tag = 0; tag < COUNT; tag++) {
        OK(mq_producer_send_async(producer, message, 0, world->queue, tag));
    }
    mq_message_free(message);
    while (done < COUNT) {
        mq_event *events[64];
        size_t count = 0;
        if (!OK(mq_queue_poll(world->queue, events, 64, LONG_MS, &count)) || !CHECK(count > 0)) {
            return;
        }
        for (i = 0; i < count; i++) {
            const mq_receipt *receipt = mq_event_receipt(events[i]);
            tag = mq_event_tag(events[i]);
            if (!CHECK(mq_event_kind(events[i]) == MQ_EVENT_DONE && mq_event_error(events[i]) == NULL)) {
                fprintf(stderr, "    %s\n", mq_error_message(mq_event_error(events[i]), NULL));
            }
            CHECK(tag < COUNT && !seen[tag]++);
            CHECK(mq_receipt_queue_offset(receipt) >= 0 && mq_receipt_message_id(receipt, NULL) != NULL);
            /* What does not fit the kind is empty. */
            CHECK(mq_event_message_count(events[i]) == 0 && mq_event_message(events[i], 0) == NULL);
            CHECK(mq_event_take_token(events[i]) == 0 && mq_event_log_message(events[i], NULL) == NULL);
            FAILS(mq_event_reply(events[i], MQ_CONSUME_SUCCESS, 0), MQ_ERR_STATE);
            mq_event_free(events[i]);
        }
        done += count;
    }
    CHECK(mq_queue_length(world->queue) == 0);
}

static void lists_and_oneway(struct world *world, mq_producer *producer) {
    const mq_message *list[3];
    mq_message *messages[3];
    mq_receipt *receipt = NULL;
    mq_event *event;
    int i;
    for (i = 0; i < 3; i++) {
        messages[i] = message_to("orders", "of a list");
        list[i] = messages[i];
    }
    OK(mq_producer_send_batch(producer, list, 3, 0, &receipt));
    /* Three ids of 32 digits, joined by two commas. */
    CHECK(strlen(mq_receipt_message_id(receipt, NULL)) == 98);
    mq_receipt_free(receipt);
    OK(mq_producer_send_batch_async(producer, list, 3, 0, world->queue, 5));
    event = next_event(world->queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 5 && mq_event_error(event) == NULL && mq_event_receipt(event) != NULL);
    mq_event_free(event);
    FAILS(mq_producer_send_batch(producer, list, 0, 0, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_send_batch(producer, NULL, 3, 0, NULL), MQ_ERR_ARGUMENT);
    list[1] = NULL;
    FAILS(mq_producer_send_batch(producer, list, 3, 0, NULL), MQ_ERR_ARGUMENT);

    OK(mq_producer_send_oneway(producer, messages[0]));
    OK(mq_producer_send_oneway_async(producer, messages[0], world->queue, 6));
    event = next_event(world->queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 6 && mq_event_error(event) == NULL && mq_event_receipt(event) == NULL);
    mq_event_free(event);
    for (i = 0; i < 3; i++) {
        mq_message_free(messages[i]);
    }
}

static void refused(struct world *world, mq_producer *producer) {
    mq_message *message;
    mq_event *event;
    size_t big = 5u * 1024u * 1024u;
    uint8_t *bytes = (uint8_t *)malloc(big);
    memset(bytes, 'x', big);
    OK(mq_message_new(MQ_TEXT("orders"), bytes, big, &message));
    free(bytes);
    FAILS(mq_producer_send(producer, message, 0, NULL), MQ_ERR_TOO_LARGE);
    mq_message_free(message);

    message = message_to("no such topic", "x");
    FAILS(mq_producer_send(producer, message, 0, NULL), MQ_ERR_ARGUMENT);
    OK(mq_producer_send_async(producer, message, 0, world->queue, 9));
    event = next_event(world->queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 9 && mq_error_code(mq_event_error(event)) == MQ_ERR_ARGUMENT);
    CHECK(mq_event_receipt(event) == NULL);
    mq_event_free(event);
    mq_message_free(message);

    FAILS(mq_producer_send(producer, NULL, 0, NULL), MQ_ERR_ARGUMENT);
    message = message_to("orders", "x");
    FAILS(mq_producer_send_async(producer, message, 0, NULL, 1), MQ_ERR_ARGUMENT);
    mq_message_free(message);
}

static void bounded(struct world *world) {
    mq_config *config = settings("async_send_max", "10", "send_timeout", "30s", (char *)NULL);
    mq_producer *producer = NULL;
    mq_message *message = message_to("orders", "x");
    uint64_t tag;
    OK(mq_producer_new(world->client, config, &producer));
    for (tag = 0; tag < 10; tag++) {
        OK(mq_producer_send_async(producer, message, 0, world->queue, tag));
    }
    FAILS(mq_producer_send_async(producer, message, 0, world->queue, 10), MQ_ERR_QUEUE_FULL);
    mq_event_free(next_event(world->queue, MQ_EVENT_DONE));
    OK(mq_producer_send_async(producer, message, 0, world->queue, 10));
    for (tag = 0; tag < 10; tag++) {
        mq_event_free(next_event(world->queue, MQ_EVENT_DONE));
    }
    mq_message_free(message);
    mq_config_free(config);
    mq_producer_free(producer);
}

/* Nobody listens there: the sends wait for their timeout, or for being cancelled. */
static void cancelled(void) {
    mq_client *client = client_of("127.0.0.1:1");
    mq_producer *producer = producer_of(client);
    mq_queue *queue = mq_queue_new();
    mq_message *message = message_to("orders", "x");
    mq_event *event;
    OK(mq_producer_send_async(producer, message, LONG_MS, queue, 3));
    OK(mq_producer_cancel(producer, queue, 3));
    OK(mq_producer_cancel(producer, queue, 4));
    event = next_event(queue, MQ_EVENT_DONE);
    /* A refused connection may have ended it before. */
    CHECK(mq_error_code(mq_event_error(event)) == MQ_ERR_CANCELLED ||
          mq_error_code(mq_event_error(event)) == MQ_ERR_NETWORK);
    mq_event_free(event);
    CHECK(mq_queue_length(queue) == 0);
    mq_message_free(message);
    mq_producer_free(producer);
    mq_client_free(client);
    mq_queue_free(queue);
}

struct sender {
    mq_producer *producer;
    int sent;
};

static void *send_many(void *data) {
    struct sender *sender = (struct sender *)data;
    mq_message *message = NULL;
    int i;
    mq_error_free(mq_message_new(MQ_TEXT("orders"), (const uint8_t *)"x", 1, &message));
    for (i = 0; i < 100; i++) {
        mq_error *error = mq_producer_send(sender->producer, message, 0, NULL);
        sender->sent += error == NULL;
        mq_error_free(error);
    }
    mq_message_free(message);
    return NULL;
}

static void from_many_threads(mq_producer *producer) {
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    struct sender senders[THREADS];
    int i;
    for (i = 0; i < THREADS; i++) {
        senders[i].producer = producer;
        senders[i].sent = 0;
        CHECK(pthread_create(&threads[i], NULL, send_many, &senders[i]) == 0);
    }
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(senders[i].sent == 100);
    }
}

static void settings_of_producers(struct world *world) {
    mq_config *config = settings("producerGroup", "no spaces in groups", (char *)NULL);
    mq_producer *producer = NULL;
    FAILS(mq_producer_new(world->client, config, &producer), MQ_ERR_ARGUMENT);
    mq_config_free(config);
    config = settings("consume_thread_max", "3", (char *)NULL);
    FAILS(mq_producer_new(world->client, config, &producer), MQ_ERR_CONFIG);
    mq_config_free(config);
    FAILS(mq_producer_new(world->client, NULL, NULL), MQ_ERR_ARGUMENT);
    CHECK(producer == NULL);
}

void test_producer(void) {
    struct world world;
    mq_producer *producer;
    world_open(&world);
    producer = producer_of(world.client);
    synchronous(&world, producer);
    asynchronous(&world, producer);
    lists_and_oneway(&world, producer);
    refused(&world, producer);
    bounded(&world);
    cancelled();
    from_many_threads(producer);
    settings_of_producers(&world);
    OK(mq_producer_close(producer, LONG_MS));
    mq_producer_free(producer);
    world_close(&world);
}
