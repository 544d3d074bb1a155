/* Closing while busy, use after close, freeing in any order. */
#include "test.h"

#include <pthread.h>

/* Polls until the queue has nothing more; counts the completions of tags below `limit`, each once. */
static size_t completions(mq_queue *queue, char *seen, size_t limit) {
    size_t done = 0;
    for (;;) {
        mq_event *event = NULL;
        size_t count = 0;
        OK(mq_queue_poll(queue, &event, 1, 0, &count));
        if (count == 0) {
            return done;
        }
        if (mq_event_kind(event) == MQ_EVENT_DONE && mq_event_tag(event) < limit) {
            CHECK(!seen[mq_event_tag(event)]++);
            done++;
        }
        mq_event_free(event);
    }
}

static void while_sending(void) {
    enum { COUNT = 2000 };
    static char seen[COUNT];
    struct world world;
    mq_producer *producer;
    mq_message *message = message_to("orders", "x");
    mq_receipt *receipt = NULL;
    uint64_t tag;
    memset(seen, 0, sizeof seen);
    world_open(&world);
    producer = producer_of(world.client);
    for (tag = 0; tag < COUNT; tag++) {
        OK(mq_producer_send_async(producer, message, 0, world.queue, tag));
    }
    OK(mq_client_close(world.client, LONG_MS));
    CHECK(completions(world.queue, seen, COUNT) == COUNT);

    FAILS(mq_producer_send(producer, message, 0, &receipt), MQ_ERR_CLOSED);
    FAILS(mq_producer_send_async(producer, message, 0, world.queue, 1), MQ_ERR_CLOSED);
    FAILS(mq_producer_send_oneway(producer, message), MQ_ERR_CLOSED);
    OK(mq_producer_close(producer, 0));
    OK(mq_client_close(world.client, 0));
    OK(mq_client_close_async(world.client, 0, world.queue, 3));
    OK(mq_producer_close_async(producer, 0, world.queue, 4));
    CHECK(mq_error_code(mq_event_error(NULL)) == MQ_OK);
    mq_event_free(next_event(world.queue, MQ_EVENT_DONE));
    mq_event_free(next_event(world.queue, MQ_EVENT_DONE));
    {
        mq_producer *late = NULL;
        mq_push_consumer *consumer = NULL;
        mq_config *config = settings("group", "late", (char *)NULL);
        FAILS(mq_producer_new(world.client, NULL, &late), MQ_ERR_CLOSED);
        FAILS(mq_push_consumer_new(world.client, config, world.queue, 1, &consumer), MQ_ERR_CLOSED);
        mq_config_free(config);
    }
    mq_message_free(message);
    mq_producer_free(producer);
    world_close(&world);
}

/* The broker dies under the sends; each of them ends all the same. */
static void while_the_broker_is_gone(void) {
    enum { COUNT = 200 };
    static char seen[COUNT];
    struct world world;
    mq_producer *producer;
    mq_message *message = message_to("orders", "x");
    uint64_t tag;
    memset(seen, 0, sizeof seen);
    world_open(&world);
    producer = producer_of(world.client);
    OK(mq_producer_send(producer, message, 0, NULL));
    for (tag = 0; tag < COUNT; tag++) {
        OK(mq_producer_send_async(producer, message, 500, world.queue, tag));
    }
    OK(mq_broker_kill(world.broker));
    OK(mq_producer_close(producer, LONG_MS));
    CHECK(completions(world.queue, seen, COUNT) == COUNT);
    mq_message_free(message);
    mq_producer_free(producer);
    world_close(&world);
}

/* Unanswered messages do not hold up a close for longer than its timeout. */
static void while_consuming(void) {
    struct world world;
    mq_producer *producer;
    mq_push_consumer *consumer;
    mq_message *message = message_to("orders", "x");
    mq_event *event;
    uint64_t token;
    world_open(&world);
    producer = producer_of(world.client);
    OK(mq_producer_send(producer, message, 0, NULL));
    OK(mq_producer_send(producer, message, 0, NULL));
    consumer = consumer_of(world.client, world.queue, "orders", NULL);
    OK(mq_push_consumer_start(consumer, LONG_MS));
    event = next_event(world.queue, MQ_EVENT_MESSAGE);
    token = mq_event_take_token(event);
    mq_event_free(event);
    event = next_event(world.queue, MQ_EVENT_MESSAGE);
    FAILS(mq_push_consumer_close(consumer, 100), MQ_ERR_TIMEOUT);
    OK(mq_push_consumer_close(consumer, 0));
    /* Too late, but no harm. */
    OK(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
    OK(mq_push_consumer_reply(consumer, token, MQ_CONSUME_SUCCESS, 0));
    mq_event_free(event);
    mq_message_free(message);
    mq_producer_free(producer);
    mq_push_consumer_free(consumer);
    world_close(&world);
}

/* Everything at once: free the client first, what was made from it after. */
static void freed_in_the_wrong_order(void) {
    struct world world;
    mq_producer *producer;
    mq_push_consumer *consumer;
    mq_message *message = message_to("orders", "x");
    world_open(&world);
    producer = producer_of(world.client);
    consumer = consumer_of(world.client, world.queue, "orders", NULL);
    OK(mq_push_consumer_start(consumer, LONG_MS));
    OK(mq_producer_send_async(producer, message, 0, world.queue, 1));
    mq_message_free(message);
    mq_broker_free(world.broker);
    mq_queue_free(world.queue);
    mq_client_free(world.client);
    mq_push_consumer_free(consumer);
    mq_producer_free(producer);
}

static void *send_until_closed(void *data) {
    mq_producer *producer = (mq_producer *)data;
    mq_message *message = NULL;
    int32_t code = MQ_OK;
    mq_error_free(mq_message_new(MQ_TEXT("orders"), (const uint8_t *)"x", 1, &message));
    while (code == MQ_OK) {
        mq_error *error = mq_producer_send(producer, message, 0, NULL);
        code = mq_error_code(error);
        mq_error_free(error);
    }
    mq_message_free(message);
    return (void *)(long)code;
}

static void while_threads_block(void) {
    enum { THREADS = 4 };
    struct world world;
    mq_producer *producer;
    pthread_t threads[THREADS];
    mq_message *message = message_to("orders", "first");
    int i;
    world_open(&world);
    producer = producer_of(world.client);
    OK(mq_producer_send(producer, message, 0, NULL));
    mq_message_free(message);
    for (i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, send_until_closed, producer) == 0);
    }
    OK(mq_client_close_async(world.client, LONG_MS, world.queue, 9));
    {
        mq_event *event = next_event(world.queue, MQ_EVENT_DONE);
        CHECK(mq_event_tag(event) == 9 && mq_event_error(event) == NULL);
        mq_event_free(event);
    }
    for (i = 0; i < THREADS; i++) {
        void *code = NULL;
        CHECK(pthread_join(threads[i], &code) == 0);
        CHECK((long)code == MQ_ERR_CLOSED);
    }
    mq_producer_free(producer);
    world_close(&world);
}

void test_close(void) {
    while_sending();
    while_the_broker_is_gone();
    while_consuming();
    freed_in_the_wrong_order();
    while_threads_block();
}
