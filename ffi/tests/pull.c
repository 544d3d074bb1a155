/* Pull consumers: polls, positions, commits, queues by hand, changes of queues; blocking and with events. */
#include "test.h"

#define QUEUE(number) MQ_TEXT("orders"), MQ_TEXT("broker-a"), (number)

static mq_pull_consumer *puller_of(struct world *world, const char *group, const char *key, const char *value) {
    mq_config *config =
        settings("group", group, "consume_from_where", "FIRST", "topic_metadata_check_interval", "50ms", (char *)NULL);
    mq_pull_consumer *consumer = NULL;
    OK(mq_config_set(config, key, MQ_CSTR, value, MQ_CSTR));
    OK(mq_pull_consumer_new(world->client, config, &consumer));
    mq_config_free(config);
    return consumer;
}

static mq_message_queues *one_queue(int32_t id) {
    mq_message_queues *queues = mq_message_queues_new();
    OK(mq_message_queues_add(queues, QUEUE(id)));
    return queues;
}

static void send_to(mq_producer *producer, int32_t id, const char *body) {
    mq_message *message = message_to("orders", body);
    OK(mq_producer_send_to_queue(producer, message, MQ_TEXT("broker-a"), id, LONG_MS, NULL));
    mq_message_free(message);
}

/* Polls until so many messages came, or the deadline is over; their number. */
static size_t poll_for(mq_pull_consumer *consumer, size_t wanted) {
    size_t got = 0;
    while (got < wanted) {
        mq_event *event = NULL;
        size_t count;
        if (!OK(mq_pull_consumer_poll(consumer, LONG_MS, &event))) {
            break;
        }
        CHECK(mq_event_kind(event) == MQ_EVENT_DONE && mq_event_error(event) == NULL);
        count = mq_event_message_count(event);
        CHECK(mq_event_message(event, count) == NULL);
        FAILS(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0), MQ_ERR_STATE);
        mq_event_free(event);
        if (!CHECK(count > 0)) {
            break;
        }
        got += count;
    }
    return got;
}

/* The event of an asynchronous call that succeeded; to be freed. */
static mq_event *done(struct world *world, uint64_t tag) {
    mq_event *event = next_event(world->queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == tag);
    if (!CHECK(mq_event_error(event) == NULL)) {
        fprintf(stderr, "    %s\n", mq_error_message(mq_event_error(event), NULL));
    }
    return event;
}

static void shared_by_subscription(struct world *world, mq_producer *producer) {
    mq_pull_consumer *consumer = puller_of(world, "subscribed", "auto_commit", "false");
    mq_message_queues *queues = NULL;
    mq_event *event = NULL;
    int64_t offset = 0, sum = 0;
    int32_t id;
    FAILS(mq_pull_consumer_poll(consumer, 0, &event), MQ_ERR_STATE);
    FAILS(mq_pull_consumer_commit(consumer), MQ_ERR_STATE);
    FAILS(mq_pull_consumer_subscribe(consumer, MQ_TEXT("no spaces"), MQ_TEXT("*")), MQ_ERR_ARGUMENT);
    OK(mq_pull_consumer_subscribe(consumer, MQ_TEXT("orders"), MQ_TEXT("*")));
    OK(mq_pull_consumer_assignment(consumer, &queues));
    CHECK(mq_message_queues_count(queues) == 0);
    mq_message_queues_free(queues);
    OK(mq_pull_consumer_start(consumer, LONG_MS));
    FAILS(mq_pull_consumer_start(consumer, LONG_MS), MQ_ERR_STATE);
    OK(mq_pull_consumer_assignment(consumer, &queues));
    CHECK(mq_message_queues_count(queues) == 4);
    FAILS(mq_pull_consumer_assign(consumer, queues), MQ_ERR_STATE);
    mq_message_queues_free(queues);
    OK(mq_pull_consumer_queues(consumer, MQ_TEXT("orders"), &queues));
    CHECK(mq_message_queues_count(queues) == 4);
    mq_message_queues_free(queues);

    for (id = 0; id < 4; id++) {
        send_to(producer, id, "shared");
    }
    CHECK(poll_for(consumer, 4) == 4);
    OK(mq_pull_consumer_committed(consumer, QUEUE(0), &offset));
    /* For a new group brokers answer 0 as long as a young queue has all its messages. */
    CHECK(offset <= 0);
    OK(mq_pull_consumer_commit(consumer));
    for (id = 0; id < 4; id++) {
        OK(mq_pull_consumer_committed(consumer, QUEUE(id), &offset));
        sum += offset;
    }
    CHECK(sum == 4);
    OK(mq_pull_consumer_poll(consumer, 0, &event));
    CHECK(mq_event_message_count(event) == 0 && mq_event_message(event, 0) == NULL);
    mq_event_free(event);
    OK(mq_pull_consumer_unsubscribe(consumer, MQ_TEXT("orders")));
    FAILS(mq_pull_consumer_poll(consumer, 0, &event), MQ_ERR_STATE);
    OK(mq_pull_consumer_close(consumer, LONG_MS));
    OK(mq_pull_consumer_close(consumer, LONG_MS));
    FAILS(mq_pull_consumer_poll(consumer, 0, &event), MQ_ERR_CLOSED);
    FAILS(mq_pull_consumer_start(consumer, 0), MQ_ERR_CLOSED);
    mq_pull_consumer_free(consumer);
}

/* Queue 1 has one message from before; three more, and the consumer moves about in them. */
static void positioned_by_hand(struct world *world, mq_producer *producer) {
    mq_pull_consumer *consumer = puller_of(world, "by-hand", "auto_commit", "false");
    mq_message_queues *queues = one_queue(1), *other = one_queue(2);
    mq_event *event = NULL;
    int64_t offset = -5, now = 0;
    int i;
    for (i = 0; i < 3; i++) {
        send_to(producer, 1, "by hand");
    }
    OK(mq_pull_consumer_assign(consumer, queues));
    OK(mq_pull_consumer_start(consumer, LONG_MS));
    CHECK(poll_for(consumer, 4) == 4);
    OK(mq_pull_consumer_position(consumer, QUEUE(1), &offset));
    CHECK(offset == 4);
    OK(mq_pull_consumer_seek(consumer, QUEUE(1), MQ_SEEK_BEGIN, 0));
    CHECK(poll_for(consumer, 4) == 4);
    OK(mq_pull_consumer_seek(consumer, QUEUE(1), MQ_SEEK_OFFSET, 3));
    CHECK(poll_for(consumer, 1) == 1);
    OK(mq_pull_consumer_seek(consumer, QUEUE(1), MQ_SEEK_TIME, 0));
    CHECK(poll_for(consumer, 4) == 4);
    OK(mq_broker_clock(world->broker, &now));
    OK(mq_pull_consumer_offset_for_timestamp(consumer, QUEUE(1), now + 60000, &offset));
    CHECK(offset == 4);
    OK(mq_pull_consumer_seek(consumer, QUEUE(1), MQ_SEEK_BEGIN, 0));
    OK(mq_pull_consumer_seek(consumer, QUEUE(1), MQ_SEEK_END, 0));
    OK(mq_pull_consumer_poll(consumer, 0, &event));
    CHECK(mq_event_message_count(event) == 0);
    mq_event_free(event);
    FAILS(mq_pull_consumer_seek(consumer, QUEUE(1), MQ_SEEK_OFFSET, 99), MQ_ERR_ARGUMENT);
    FAILS(mq_pull_consumer_seek(consumer, QUEUE(1), 7, 0), MQ_ERR_ARGUMENT);
    FAILS(mq_pull_consumer_seek(consumer, QUEUE(2), MQ_SEEK_BEGIN, 0), MQ_ERR_STATE);

    /* What is paused waits. */
    OK(mq_pull_consumer_pause(consumer, queues));
    FAILS(mq_pull_consumer_pause(consumer, other), MQ_ERR_STATE);
    send_to(producer, 1, "paused");
    OK(mq_pull_consumer_poll(consumer, 200, &event));
    CHECK(mq_event_message_count(event) == 0);
    mq_event_free(event);
    OK(mq_pull_consumer_resume(consumer, queues));
    CHECK(poll_for(consumer, 1) == 1);

    offset = 2;
    OK(mq_pull_consumer_commit_offsets(consumer, queues, &offset, 1));
    offset = 0;
    OK(mq_pull_consumer_committed(consumer, QUEUE(1), &offset));
    CHECK(offset == 2);
    FAILS(mq_pull_consumer_commit_offsets(consumer, queues, &offset, 2), MQ_ERR_ARGUMENT);
    FAILS(mq_pull_consumer_commit_offsets(consumer, queues, NULL, 1), MQ_ERR_ARGUMENT);
    offset = -1;
    FAILS(mq_pull_consumer_commit_offsets(consumer, queues, &offset, 1), MQ_ERR_ARGUMENT);

    /* Only messages with the tag, from the next assignment on. */
    OK(mq_pull_consumer_filter_assigned(consumer, MQ_TEXT("orders"), MQ_TEXT("red")));
    OK(mq_pull_consumer_assign(consumer, other));
    OK(mq_pull_consumer_seek(consumer, QUEUE(2), MQ_SEEK_END, 0));
    send_to(producer, 2, "without a tag");
    {
        mq_message *message = message_to("orders", "with the tag");
        OK(mq_message_set_tag(message, MQ_TEXT("red")));
        OK(mq_producer_send_to_queue(producer, message, MQ_TEXT("broker-a"), 2, LONG_MS, NULL));
        mq_message_free(message);
    }
    OK(mq_pull_consumer_poll(consumer, LONG_MS, &event));
    CHECK(mq_event_message_count(event) == 1 && body_is(mq_event_message(event, 0), "with the tag"));
    mq_event_free(event);
    mq_message_queues_free(queues);
    mq_message_queues_free(other);
    mq_pull_consumer_free(consumer);
}

static void without_waiting(struct world *world, mq_producer *producer) {
    mq_pull_consumer *consumer = puller_of(world, "async", "auto_commit", "true");
    mq_message_queues *queues = one_queue(3);
    mq_queue *queue = world->queue;
    mq_event *event;
    int64_t offset = 1;
    OK(mq_pull_consumer_subscribe_async(consumer, MQ_TEXT("orders"), MQ_TEXT("*"), queue, 1));
    mq_event_free(done(world, 1));
    OK(mq_pull_consumer_unsubscribe_async(consumer, MQ_TEXT("orders"), queue, 2));
    mq_event_free(done(world, 2));
    OK(mq_pull_consumer_start_async(consumer, LONG_MS, queue, 3));
    mq_event_free(done(world, 3));
    OK(mq_pull_consumer_assign_async(consumer, queues, queue, 4));
    mq_event_free(done(world, 4));
    OK(mq_pull_consumer_seek_async(consumer, QUEUE(3), MQ_SEEK_END, 0, queue, 5));
    mq_event_free(done(world, 5));

    /* A poll that is given up loses nothing. */
    OK(mq_pull_consumer_poll_async(consumer, LONG_MS, queue, 6));
    OK(mq_pull_consumer_cancel(consumer, queue, 6));
    event = next_event(queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 6 && mq_error_code(mq_event_error(event)) == MQ_ERR_CANCELLED);
    mq_event_free(event);
    OK(mq_pull_consumer_poll_async(consumer, LONG_MS, queue, 7));
    send_to(producer, 3, "polled");
    event = done(world, 7);
    CHECK(mq_event_message_count(event) == 1 && body_is(mq_event_message(event, 0), "polled"));
    CHECK(mq_event_queues(event) == NULL && mq_event_offset(event) == -1);
    mq_event_free(event);
    OK(mq_pull_consumer_poll_async(consumer, 0, queue, 8));
    event = done(world, 8);
    CHECK(mq_event_message_count(event) == 0);
    mq_event_free(event);

    OK(mq_pull_consumer_committed_async(consumer, QUEUE(3), queue, 9));
    event = done(world, 9);
    CHECK(mq_event_offset(event) <= 2);
    mq_event_free(event);
    OK(mq_pull_consumer_commit_async(consumer, queue, 10));
    mq_event_free(done(world, 10));
    OK(mq_pull_consumer_commit_offsets_async(consumer, queues, &offset, 1, queue, 11));
    mq_event_free(done(world, 11));
    OK(mq_pull_consumer_position_async(consumer, QUEUE(3), queue, 12));
    event = done(world, 12);
    CHECK(mq_event_offset(event) == 2);
    mq_event_free(event);
    OK(mq_pull_consumer_offset_for_timestamp_async(consumer, QUEUE(3), 0, queue, 13));
    event = done(world, 13);
    CHECK(mq_event_offset(event) == 0);
    mq_event_free(event);
    OK(mq_pull_consumer_queues_async(consumer, MQ_TEXT("orders"), queue, 14));
    event = done(world, 14);
    CHECK(mq_message_queues_count(mq_event_queues(event)) == 4);
    mq_event_free(event);
    OK(mq_pull_consumer_poll_async(consumer, LONG_MS, queue, 15));
    OK(mq_pull_consumer_close_async(consumer, LONG_MS, queue, 16));
    {
        int polled = 0, closed = 0, i;
        for (i = 0; i < 2; i++) {
            event = next_event(queue, MQ_EVENT_DONE);
            polled += mq_event_tag(event) == 15 && mq_error_code(mq_event_error(event)) == MQ_ERR_CLOSED;
            closed += mq_event_tag(event) == 16 && mq_event_error(event) == NULL;
            mq_event_free(event);
        }
        CHECK(polled == 1 && closed == 1);
    }
    mq_message_queues_free(queues);
    mq_pull_consumer_free(consumer);
}

static void changes_are_told(struct world *world) {
    mq_pull_consumer *consumer = puller_of(world, "watching", "rebalance_interval", "100ms");
    mq_event *event;
    size_t len = 0, own;
    OK(mq_pull_consumer_subscribe(consumer, MQ_TEXT("growing"), MQ_TEXT("*")));
    OK(mq_pull_consumer_start(consumer, LONG_MS));
    OK(mq_pull_consumer_watch_queues(consumer, MQ_TEXT("growing"), world->queue, 500));
    OK(mq_pull_consumer_watch_queues_async(consumer, MQ_TEXT("orders"), world->queue, 501, world->queue, 1));
    mq_event_free(done(world, 1));
    OK(mq_broker_create_topic(world->broker, MQ_TEXT("growing"), 5));
    do {
        event = next_event(world->queue, MQ_EVENT_QUEUE_CHANGE);
        if (event == NULL) {
            return;
        }
        CHECK(mq_event_tag(event) == 500);
        CHECK(same(mq_event_topic(event, &len), "growing") && len == 7);
        CHECK(mq_message_queues_count(mq_event_queues(event)) == 5);
        own = mq_message_queues_count(mq_event_assigned(event));
        CHECK(mq_event_message_count(event) == 0);
        mq_event_free(event);
    } while (own != 5);
    mq_pull_consumer_free(consumer);
}

static void bad_arguments(struct world *world) {
    mq_config *config = mq_config_new();
    mq_pull_consumer *consumer = NULL;
    FAILS(mq_pull_consumer_new(world->client, NULL, &consumer), MQ_ERR_ARGUMENT);
    FAILS(mq_pull_consumer_new(world->client, config, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_pull_consumer_new(world->client, config, &consumer), MQ_ERR_ARGUMENT);
    OK(mq_config_set(config, MQ_TEXT("send_timeout"), MQ_TEXT("1s")));
    FAILS(mq_pull_consumer_new(world->client, config, &consumer), MQ_ERR_CONFIG);
    CHECK(consumer == NULL);
    mq_config_free(config);
    FAILS(mq_pull_consumer_poll(NULL, 0, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_pull_consumer_commit(NULL), MQ_ERR_ARGUMENT);
    consumer = puller_of(world, "bad", "auto_commit", "true");
    FAILS(mq_pull_consumer_assign(consumer, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_pull_consumer_poll_async(consumer, 0, NULL, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_pull_consumer_watch_queues(consumer, MQ_TEXT("orders"), NULL, 1), MQ_ERR_ARGUMENT);
    mq_pull_consumer_free(consumer);
    mq_pull_consumer_free(NULL);
    CHECK(mq_event_assigned(NULL) == NULL && mq_event_topic(NULL, NULL) == NULL && mq_event_offset(NULL) == -1);
}

void test_pull(void) {
    struct world world;
    mq_producer *producer;
    world_open(&world);
    OK(mq_broker_create_topic(world.broker, MQ_TEXT("growing"), 2));
    producer = producer_of(world.client);
    shared_by_subscription(&world, producer);
    positioned_by_hand(&world, producer);
    without_waiting(&world, producer);
    changes_are_told(&world);
    bad_arguments(&world);
    mq_producer_free(producer);
    world_close(&world);
}
