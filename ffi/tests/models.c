/* Orderly and broadcasting consumers. */
#define _XOPEN_SOURCE 700
#include "test.h"

#include <unistd.h>

/* The next message has this body; its event, to be answered. */
static mq_event *expect(mq_queue *queue, const char *body) {
    mq_event *event = next_event(queue, MQ_EVENT_MESSAGE);
    if (!CHECK(body_is(mq_event_message(event, 0), body))) {
        size_t len = 0;
        const uint8_t *other = mq_message_view_body(mq_event_message(event, 0), &len);
        fprintf(stderr, "    '%.*s' instead of '%s'\n", (int)len, (const char *)other, body);
    }
    return event;
}

static void answer(mq_event *event, int32_t result, int32_t detail) {
    OK(mq_event_reply(event, result, detail));
    mq_event_free(event);
}

/* One after the other, and what is not consumed before all others. */
static void in_order(struct world *world, mq_producer *producer) {
    mq_push_consumer *consumer = consumer_of(world->client, world->queue, "ordered", "consume_mode", "orderly",
                                             "suspend_current_queue_time", "20ms", NULL);
    mq_event *event, *early = NULL;
    size_t count = 0;
    int32_t attempt;
    send_text(producer, "ordered", "first", NULL);
    send_text(producer, "ordered", "second", NULL);
    send_text(producer, "ordered", "third", NULL);
    OK(mq_push_consumer_start(consumer, LONG_MS));
    event = expect(world->queue, "first");
    OK(mq_queue_poll(world->queue, &early, 1, 200, &count));
    CHECK(count == 0);
    answer(event, MQ_CONSUME_SUSPEND, 10);
    answer(expect(world->queue, "first"), MQ_CONSUME_SUSPEND, 0);
    event = expect(world->queue, "first");
    attempt = mq_message_view_delivery_attempt(mq_event_message(event, 0));
    CHECK(attempt == 3);
    OK(mq_push_consumer_reply(consumer, mq_event_take_token(event), MQ_CONSUME_SUCCESS, 0));
    mq_event_free(event);
    answer(expect(world->queue, "second"), MQ_CONSUME_SUCCESS, 0);
    answer(expect(world->queue, "third"), MQ_CONSUME_SUCCESS, 0);
    OK(mq_push_consumer_close(consumer, LONG_MS));
    mq_push_consumer_free(consumer);
}

/* Every member has every message, and its place is in a file of its own. */
static void to_everybody(struct world *world, mq_producer *producer) {
    char directory[] = "/tmp/mq-test-XXXXXX", other_directory[64], command[64];
    mq_client *other = client_of(mq_broker_address(world->broker, NULL));
    mq_queue *second_queue = mq_queue_new();
    mq_push_consumer *first, *second;
    mq_config *config = settings("group", "news", "message_model", "BROADCASTING", (char *)NULL);
    CHECK(mkdtemp(directory) != NULL);
    FAILS(mq_push_consumer_new(world->client, config, world->queue, 1, &first), MQ_ERR_CONFIG);
    mq_config_free(config);
    first = consumer_of(world->client, world->queue, "news", "message_model", "BROADCASTING", "offset_dir", directory,
                        NULL);
    /* Clients without names of their own cannot share a directory. */
    second = consumer_of(other, second_queue, "news", "message_model", "BROADCASTING", "offset_dir", directory, NULL);
    OK(mq_push_consumer_start(first, LONG_MS));
    FAILS(mq_push_consumer_start(second, LONG_MS), MQ_ERR_STATE);
    mq_push_consumer_free(second);
    snprintf(other_directory, sizeof other_directory, "%s/other", directory);
    second =
        consumer_of(other, second_queue, "news", "message_model", "BROADCASTING", "offset_dir", other_directory, NULL);
    OK(mq_push_consumer_start(second, LONG_MS));
    send_text(producer, "news", "to all", NULL);
    answer(expect(world->queue, "to all"), MQ_CONSUME_SUCCESS, 0);
    answer(expect(second_queue, "to all"), MQ_CONSUME_SUCCESS, 0);
    OK(mq_push_consumer_close(first, LONG_MS));
    OK(mq_push_consumer_close(second, LONG_MS));
    mq_push_consumer_free(first);
    mq_push_consumer_free(second);
    mq_client_free(other);
    mq_queue_free(second_queue);
    snprintf(command, sizeof command, "rm -rf %s", directory);
    CHECK(system(command) == 0);
}

/* What is suspended gets nothing, until it is resumed. */
static void suspended(struct world *world, mq_producer *producer) {
    mq_push_consumer *consumer = consumer_of(world->client, world->queue, "paused", NULL);
    mq_event *early = NULL;
    size_t count = 0;
    OK(mq_push_consumer_start(consumer, LONG_MS));
    send_text(producer, "paused", "before", NULL);
    answer(expect(world->queue, "before"), MQ_CONSUME_SUCCESS, 0);
    OK(mq_push_consumer_suspend(consumer));
    OK(mq_push_consumer_suspend(consumer));
    OK(mq_push_consumer_resume(consumer));
    send_text(producer, "paused", "after", NULL);
    answer(expect(world->queue, "after"), MQ_CONSUME_SUCCESS, 0);
    OK(mq_queue_poll(world->queue, &early, 1, 0, &count));
    CHECK(count == 0);
    OK(mq_push_consumer_close(consumer, LONG_MS));
    mq_push_consumer_free(consumer);
}

void test_models(void) {
    struct world world;
    mq_producer *producer;
    world_open(&world);
    OK(mq_broker_create_topic(world.broker, MQ_TEXT("ordered"), 1));
    OK(mq_broker_create_topic(world.broker, MQ_TEXT("news"), 2));
    OK(mq_broker_create_topic(world.broker, MQ_TEXT("paused"), 1));
    producer = producer_of(world.client);
    in_order(&world, producer);
    to_everybody(&world, producer);
    suspended(&world, producer);
    mq_producer_free(producer);
    world_close(&world);
}
