/* Consuming: events with reply tokens, answered from anywhere. */
#include "test.h"

#include <pthread.h>

static void everything_arrives(struct world *world, mq_producer *producer) {
    mq_message *message = message_to("billing", "42 apples");
    mq_receipt *receipt = NULL;
    mq_push_consumer *consumer = consumer_of(world->client, world->queue, "billing", NULL);
    mq_event *event;
    const mq_message_view *view;
    mq_message_view *kept;
    size_t len = 0, i, regions = 0;
    OK(mq_message_set_tag(message, MQ_TEXT("paid")));
    OK(mq_message_add_key(message, MQ_TEXT("42")));
    OK(mq_message_add_key(message, MQ_TEXT("43")));
    OK(mq_message_set_property(message, MQ_TEXT("region"), MQ_TEXT("\xd0\xb5\xd1\x83")));
    OK(mq_message_set_group(message, MQ_TEXT("customer 7")));
    OK(mq_producer_send(producer, message, 0, &receipt));
    mq_message_free(message);

    OK(mq_push_consumer_start(consumer, LONG_MS));
    event = next_event(world->queue, MQ_EVENT_MESSAGE);
    CHECK(mq_event_tag(event) == 77);
    CHECK(mq_event_error(event) == NULL && mq_event_receipt(event) == NULL);
    CHECK(mq_event_message_count(event) == 1 && mq_event_message(event, 1) == NULL);
    view = mq_event_message(event, 0);
    CHECK(same(mq_message_view_topic(view, &len), "billing") && len == 7);
    CHECK(body_is(view, "42 apples"));
    CHECK(same(mq_message_view_tag(view, NULL), "paid"));
    CHECK(mq_message_view_key_count(view) == 2);
    CHECK(same(mq_message_view_key(view, 0, NULL), "42") && same(mq_message_view_key(view, 1, NULL), "43"));
    CHECK(mq_message_view_key(view, 2, &len) == NULL && len == 0);
    CHECK(same(mq_message_view_group(view, NULL), "customer 7"));
    CHECK(same(mq_message_view_property(view, MQ_TEXT("region"), &len), "\xd0\xb5\xd1\x83") && len == 4);
    CHECK(mq_message_view_property(view, MQ_TEXT("other"), NULL) == NULL);
    CHECK(mq_message_view_property(view, MQ_TEXT("\xff"), NULL) == NULL);
    for (i = 0; i < mq_message_view_property_count(view); i++) {
        regions += same(mq_message_view_property_name(view, i, NULL), "region") &&
                   same(mq_message_view_property_value(view, i, NULL), "\xd0\xb5\xd1\x83");
    }
    CHECK(regions == 1);
    CHECK(mq_message_view_property_name(view, i, NULL) == NULL &&
          mq_message_view_property_value(view, i, NULL) == NULL);
    CHECK(same(mq_message_view_message_id(view, NULL), mq_receipt_message_id(receipt, NULL)));
    CHECK(same(mq_message_view_offset_message_id(view, NULL), mq_receipt_offset_message_id(receipt, NULL)));
    CHECK(same(mq_message_view_broker_name(view, NULL), "broker-a"));
    CHECK(mq_message_view_queue_id(view) == mq_receipt_queue_id(receipt));
    CHECK(mq_message_view_queue_offset(view) == mq_receipt_queue_offset(receipt));
    CHECK(mq_message_view_born_timestamp(view) > 1600000000000 &&
          mq_message_view_store_timestamp(view) > 1600000000000);
    CHECK(strncmp(mq_message_view_born_host(view, NULL), "127.0.0.1:", 10) == 0);
    CHECK(same(mq_message_view_store_host(view, NULL), mq_broker_listen_address(world->broker, NULL)));
    CHECK(mq_message_view_reconsume_times(view) == 0 && mq_message_view_delivery_attempt(view) == 1);
    kept = mq_message_view_clone(view);
    FAILS(mq_event_reply(event, 99, 0), MQ_ERR_ARGUMENT);
    FAILS(mq_event_reply(event, MQ_CONSUME_LATER, -2), MQ_ERR_ARGUMENT);
    FAILS(mq_event_reply(event, MQ_CONSUME_SUSPEND, -1), MQ_ERR_ARGUMENT);
    CHECK(mq_event_warning_name(event, NULL) == NULL && mq_event_queues(event) == NULL);
    OK(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
    FAILS(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0), MQ_ERR_STATE);
    CHECK(mq_event_take_token(event) == 0);
    CHECK(body_is(view, "42 apples"));
    mq_event_free(event);
    CHECK(body_is(kept, "42 apples") && same(mq_message_view_tag(kept, NULL), "paid"));
    mq_message_view_free(kept);
    mq_receipt_free(receipt);
    OK(mq_push_consumer_close(consumer, LONG_MS));
    OK(mq_push_consumer_close(consumer, LONG_MS));
    mq_push_consumer_free(consumer);
}

/* A message that is not consumed comes again, after the shortest delay, whatever way it was refused. */
static void refused_messages_come_again(struct world *world, mq_producer *producer) {
    mq_push_consumer *consumer = consumer_of(world->client, world->queue, "again", NULL);
    int32_t attempt;
    int way;
    mq_event *event;
    OK(mq_push_consumer_start(consumer, LONG_MS));
    for (way = 0; way < 2; way++) {
        send_text(producer, "again", "not yet", NULL);
        for (attempt = 1; attempt <= 2; attempt++) {
            event = next_event(world->queue, MQ_EVENT_MESSAGE);
            CHECK(body_is(mq_event_message(event, 0), "not yet"));
            CHECK(same(mq_message_view_topic(mq_event_message(event, 0), NULL), "again"));
            CHECK(mq_message_view_delivery_attempt(mq_event_message(event, 0)) == attempt);
            if (attempt == 2) {
                OK(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
            } else if (way == 0) {
                OK(mq_event_reply(event, MQ_CONSUME_LATER, 1));
            } else {
                OK(mq_push_consumer_reply(consumer, mq_event_take_token(event), MQ_CONSUME_LATER, 1));
            }
            mq_event_free(event);
        }
    }
    OK(mq_push_consumer_close(consumer, LONG_MS));
    mq_push_consumer_free(consumer);
}

/* Trouble that does not stop a consumer is told beside the messages. */
static void warnings_are_told(struct world *world) {
    mq_push_consumer *consumer = consumer_of(world->client, world->queue, "warned", NULL);
    mq_message_queues *queues = NULL;
    mq_event *event;
    size_t len = 0;
    OK(mq_push_consumer_subscribe(consumer, MQ_TEXT("warned"), MQ_TEXT("a || b")));
    OK(mq_push_consumer_assignment(consumer, &queues));
    CHECK(mq_message_queues_count(queues) == 0);
    mq_message_queues_free(queues);
    OK(mq_push_consumer_start(consumer, LONG_MS));
    event = next_event(world->queue, MQ_EVENT_WARNING);
    CHECK(mq_event_tag(event) == 77);
    CHECK(same(mq_event_warning_name(event, &len), "DUPLICATE_SUBSCRIPTION") && len == 22);
    CHECK(strstr(mq_event_warning_message(event, NULL), "a || b") != NULL);
    CHECK(mq_event_message_count(event) == 0 && mq_event_log_message(event, NULL) == NULL);
    mq_event_free(event);
    OK(mq_push_consumer_assignment(consumer, &queues));
    /* Those of the topic, and that of the group's retry topic if it is there by now. */
    CHECK(mq_message_queues_count(queues) >= 4);
    mq_message_queues_free(queues);
    OK(mq_push_consumer_close(consumer, LONG_MS));
    mq_push_consumer_free(consumer);
}

struct worker {
    mq_push_consumer *consumer;
    uint64_t token;
    int32_t code;
};

static void *answer(void *data) {
    struct worker *worker = (struct worker *)data;
    mq_error *error = mq_push_consumer_reply(worker->consumer, worker->token, MQ_CONSUME_SUCCESS, 0);
    worker->code = mq_error_code(error);
    mq_error_free(error);
    return NULL;
}

/* Ten messages are answered by ten threads, after their events are gone. */
static void answered_from_threads(struct world *world, mq_producer *producer) {
    enum { COUNT = 10 };
    struct worker workers[COUNT];
    pthread_t threads[COUNT];
    mq_push_consumer *consumer = consumer_of(world->client, world->queue, "threads", "consume_timeout", "10m", NULL);
    int i;
    OK(mq_push_consumer_start(consumer, LONG_MS));
    for (i = 0; i < COUNT; i++) {
        mq_event *event;
        send_text(producer, "threads", "for a thread", NULL);
        event = next_event(world->queue, MQ_EVENT_MESSAGE);
        workers[i].consumer = consumer;
        workers[i].token = mq_event_take_token(event);
        CHECK(workers[i].token != 0);
        CHECK(mq_event_take_token(event) == 0);
        FAILS(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0), MQ_ERR_STATE);
        mq_event_free(event);
    }
    for (i = 0; i < COUNT; i++) {
        CHECK(pthread_create(&threads[i], NULL, answer, &workers[i]) == 0);
    }
    for (i = 0; i < COUNT; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
        CHECK(workers[i].code == MQ_OK);
        FAILS(mq_push_consumer_reply(consumer, workers[i].token, MQ_CONSUME_SUCCESS, 0), MQ_ERR_STATE);
    }
    FAILS(mq_push_consumer_reply(consumer, 0, MQ_CONSUME_SUCCESS, 0), MQ_ERR_STATE);
    FAILS(mq_push_consumer_reply(consumer, UINT64_MAX, 7, 0), MQ_ERR_ARGUMENT);
    OK(mq_push_consumer_close(consumer, LONG_MS));
    mq_push_consumer_free(consumer);
}

/* With two permits no third message is handed out before an answer. */
static void delivery_is_bounded(struct world *world, mq_producer *producer) {
    mq_push_consumer *consumer =
        consumer_of(world->client, world->queue, "bounded", "consumeThreadMin", "1", "consumeThreadMax", "2", NULL);
    mq_event *first, *second, *third = NULL;
    size_t count = 0;
    int i;
    for (i = 0; i < 4; i++) {
        send_text(producer, "bounded", "one of four", NULL);
    }
    OK(mq_push_consumer_start(consumer, LONG_MS));
    first = next_event(world->queue, MQ_EVENT_MESSAGE);
    second = next_event(world->queue, MQ_EVENT_MESSAGE);
    OK(mq_queue_poll(world->queue, &third, 1, 300, &count));
    CHECK(count == 0);
    OK(mq_event_reply(first, MQ_CONSUME_SUCCESS, 0));
    third = next_event(world->queue, MQ_EVENT_MESSAGE);
    CHECK(mq_queue_length(world->queue) == 0);
    OK(mq_event_reply(second, MQ_CONSUME_SUCCESS, 0));
    mq_event_free(first);
    mq_event_free(second);
    first = next_event(world->queue, MQ_EVENT_MESSAGE);
    OK(mq_event_reply(first, MQ_CONSUME_SUCCESS, 0));
    mq_event_free(first);
    /* Freed without an answer: it comes again, to a later member of the group. */
    mq_event_free(third);
    OK(mq_push_consumer_close(consumer, LONG_MS));
    mq_push_consumer_free(consumer);
}

static void only_subscribed_tags(struct world *world, mq_producer *producer) {
    mq_config *config = settings("consumerGroup", "tags", "consumeFromWhere", "CONSUME_FROM_LAST_OFFSET", (char *)NULL);
    mq_push_consumer *consumer = NULL;
    mq_event *event;
    OK(mq_push_consumer_new(world->client, config, world->queue, 5, &consumer));
    mq_config_free(config);
    FAILS(mq_push_consumer_start(consumer, 0), MQ_ERR_STATE);
    FAILS(mq_push_consumer_subscribe(consumer, MQ_TEXT("no spaces"), MQ_TEXT("*")), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_subscribe(consumer, MQ_TEXT("tags"), MQ_TEXT("\xff")), MQ_ERR_ARGUMENT);
    OK(mq_push_consumer_subscribe(consumer, MQ_TEXT("tags"), MQ_TEXT("blue || green")));
    OK(mq_push_consumer_start_async(consumer, LONG_MS, world->queue, 6));
    event = next_event(world->queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 6 && mq_event_error(event) == NULL);
    mq_event_free(event);
    FAILS(mq_push_consumer_start(consumer, 0), MQ_ERR_STATE);
    OK(mq_push_consumer_suspend(consumer));
    OK(mq_push_consumer_resume(consumer));
    send_text(producer, "tags", "r", "red");
    send_text(producer, "tags", "g", "green");
    event = next_event(world->queue, MQ_EVENT_MESSAGE);
    CHECK(mq_event_tag(event) == 5 && body_is(mq_event_message(event, 0), "g"));
    OK(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
    mq_event_free(event);
    OK(mq_push_consumer_close_async(consumer, 0, world->queue, 8));
    event = next_event(world->queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 8 && mq_event_error(event) == NULL);
    mq_event_free(event);
    FAILS(mq_push_consumer_start(consumer, 0), MQ_ERR_CLOSED);
    mq_push_consumer_free(consumer);
}

/* The queues of a topic that the consumer has. */
static size_t queues_of(const mq_push_consumer *consumer, const char *topic) {
    mq_message_queues *queues = NULL;
    size_t i, found = 0;
    OK(mq_push_consumer_assignment(consumer, &queues));
    for (i = 0; i < mq_message_queues_count(queues); i++) {
        found += same(mq_message_queues_topic(queues, i, NULL), topic);
    }
    mq_message_queues_free(queues);
    return found;
}

/* The next message is this one; answers for it. */
static void takes(struct world *world, const char *topic, const char *body) {
    mq_event *event = next_event(world->queue, MQ_EVENT_MESSAGE);
    const mq_message_view *view = mq_event_message(event, 0);
    CHECK(same(mq_message_view_topic(view, NULL), topic) && body_is(view, body));
    OK(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
    mq_event_free(event);
}

/* Whether the next event ends the call with this tag, well. */
static int ends(struct world *world, uint64_t tag) {
    mq_event *event = next_event(world->queue, MQ_EVENT_DONE);
    int well = mq_event_tag(event) == tag && mq_event_error(event) == NULL;
    mq_event_free(event);
    return well;
}

static void subscriptions_change(struct world *world, mq_producer *producer) {
    mq_push_consumer *consumer = consumer_of(world->client, world->queue, "first", NULL);
    /* Before the start they are only noted. */
    OK(mq_push_consumer_subscribe_async(consumer, MQ_TEXT("second"), MQ_TEXT("*"), world->queue, 21));
    CHECK(ends(world, 21));
    OK(mq_push_consumer_unsubscribe(consumer, MQ_TEXT("second")));
    OK(mq_push_consumer_start(consumer, LONG_MS));
    CHECK(queues_of(consumer, "first") == 4 && queues_of(consumer, "second") == 0);

    OK(mq_push_consumer_subscribe(consumer, MQ_TEXT("second"), MQ_TEXT("blue")));
    CHECK(queues_of(consumer, "second") == 4);
    send_text(producer, "second", "unwanted", "violet");
    send_text(producer, "second", "wanted", "blue");
    takes(world, "second", "wanted");
    OK(mq_push_consumer_subscribe_async(consumer, MQ_TEXT("second"), MQ_TEXT("red || green"), world->queue, 22));
    CHECK(ends(world, 22));
    send_text(producer, "second", "not any more", "blue");
    send_text(producer, "second", "instead", "red");
    takes(world, "second", "instead");

    OK(mq_push_consumer_unsubscribe_async(consumer, MQ_TEXT("first"), world->queue, 23));
    CHECK(ends(world, 23));
    OK(mq_push_consumer_unsubscribe(consumer, MQ_TEXT("second")));
    OK(mq_push_consumer_unsubscribe(consumer, MQ_TEXT("second")));
    CHECK(queues_of(consumer, "first") == 0 && queues_of(consumer, "second") == 0);
    send_text(producer, "first", "meanwhile", NULL);
    OK(mq_push_consumer_subscribe(consumer, MQ_TEXT("first"), MQ_TEXT("*")));
    takes(world, "first", "meanwhile");

    FAILS(mq_push_consumer_subscribe(consumer, MQ_TEXT("no spaces"), MQ_TEXT("*")), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_unsubscribe(consumer, MQ_TEXT("%RETRY%first")), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_unsubscribe(consumer, NULL, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_unsubscribe(NULL, MQ_TEXT("first")), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_subscribe_async(consumer, MQ_TEXT("first"), MQ_TEXT("*"), NULL, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_unsubscribe_async(consumer, MQ_TEXT("first"), NULL, 1), MQ_ERR_ARGUMENT);
    OK(mq_push_consumer_close(consumer, LONG_MS));
    FAILS(mq_push_consumer_subscribe(consumer, MQ_TEXT("first"), MQ_TEXT("*")), MQ_ERR_CLOSED);
    FAILS(mq_push_consumer_unsubscribe(consumer, MQ_TEXT("first")), MQ_ERR_CLOSED);
    mq_push_consumer_free(consumer);
}

static void settings_of_consumers(struct world *world) {
    mq_config *config = mq_config_new();
    mq_push_consumer *consumer = NULL;
    FAILS(mq_push_consumer_new(world->client, NULL, world->queue, 1, &consumer), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_new(world->client, config, NULL, 1, &consumer), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_new(world->client, config, world->queue, 1, NULL), MQ_ERR_ARGUMENT);
    OK(mq_config_set(config, MQ_TEXT("send_timeout"), MQ_TEXT("1s")));
    FAILS(mq_push_consumer_new(world->client, config, world->queue, 1, &consumer), MQ_ERR_CONFIG);
    CHECK(consumer == NULL);
    mq_config_free(config);
}

void test_consumer(void) {
    struct world world;
    mq_producer *producer;
    static const char *const topics[] = {"billing", "again", "threads", "bounded", "tags", "warned", "first", "second"};
    size_t i;
    world_open(&world);
    for (i = 0; i < sizeof topics / sizeof topics[0]; i++) {
        OK(mq_broker_create_topic(world.broker, topics[i], MQ_CSTR, 4));
    }
    producer = producer_of(world.client);
    everything_arrives(&world, producer);
    refused_messages_come_again(&world, producer);
    answered_from_threads(&world, producer);
    delivery_is_bounded(&world, producer);
    only_subscribed_tags(&world, producer);
    warnings_are_told(&world);
    subscriptions_change(&world, producer);
    settings_of_consumers(&world);
    mq_producer_free(producer);
    world_close(&world);
}
