/* What tests do to the embedded broker: faults of chosen requests, a clock that can be moved. */
#include "test.h"

static mq_error *send(mq_producer *producer) {
    mq_message *message = message_to("orders", "42 apples");
    mq_error *error = mq_producer_send(producer, message, LONG_MS, NULL);
    mq_message_free(message);
    return error;
}

static void chosen_requests_fail(struct world *world, mq_producer *once, mq_producer *again) {
    /* Without a retry the fault is seen, with one it is not. */
    OK(mq_broker_fail_next(world->broker, MQ_TEXT("SEND_MESSAGE"), MQ_TEXT("SYSTEM_ERROR"), 1));
    FAILS(send(once), MQ_ERR_BROKER);
    OK(send(once));
    OK(mq_broker_drop_next(world->broker, MQ_TEXT("SEND_MESSAGE"), 1));
    FAILS(send(once), MQ_ERR_NETWORK);
    OK(send(once));
    OK(mq_broker_drop_next(world->broker, MQ_TEXT("310"), 1));
    OK(send(again));
    OK(mq_broker_delay_next(world->broker, MQ_TEXT("SEND_MESSAGE"), 10, 1));
    OK(send(once));
    /* What was not used up can be taken back. */
    OK(mq_broker_fail_next(world->broker, MQ_TEXT("10"), MQ_TEXT("2"), 1000));
    OK(mq_broker_clear_faults(world->broker));
    OK(send(once));
}

static void an_answer_gets_lost(struct world *world) {
    mq_config *config = settings("send_timeout", "300ms", "retry_times_when_send_failed", "0", (char *)NULL);
    mq_producer *producer = NULL;
    OK(mq_producer_new(world->client, config, &producer));
    mq_config_free(config);
    OK(mq_broker_lose_answer_next(world->broker, MQ_TEXT("SEND_MESSAGE"), 1));
    {
        mq_message *message = message_to("orders", "stored, but who knows");
        FAILS(mq_producer_send(producer, message, 0, NULL), MQ_ERR_TIMEOUT);
        mq_message_free(message);
    }
    mq_producer_free(producer);
}

static void new_connections_are_refused(struct world *world) {
    mq_client *late = client_of(mq_broker_address(world->broker, NULL));
    mq_producer *producer = producer_of(late);
    OK(mq_broker_refuse_connections(world->broker, 1));
    FAILS(send(producer), MQ_ERR_NETWORK);
    OK(mq_broker_refuse_connections(world->broker, 0));
    OK(send(producer));
    mq_producer_free(producer);
    mq_client_free(late);
}

/* A message that is delayed by two hours arrives now. */
static void the_clock_moves(struct world *world, mq_producer *producer) {
    mq_push_consumer *consumer = consumer_of(world->client, world->queue, "delayed", NULL);
    mq_message *message = message_to("delayed", "in two hours");
    mq_event *event;
    int64_t before = 0, after = 0;
    OK(mq_message_set_delay_level(message, 18));
    OK(mq_producer_send(producer, message, LONG_MS, NULL));
    mq_message_free(message);
    OK(mq_push_consumer_start(consumer, LONG_MS));
    OK(mq_broker_clock(world->broker, &before));
    OK(mq_broker_advance_clock(world->broker, (int64_t)2 * 3600 * 1000));
    OK(mq_broker_clock(world->broker, &after));
    CHECK(after - before >= (int64_t)2 * 3600 * 1000);
    event = next_event(world->queue, MQ_EVENT_MESSAGE);
    CHECK(same(mq_message_view_topic(mq_event_message(event, 0), NULL), "delayed"));
    OK(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
    mq_event_free(event);
    OK(mq_broker_set_clock(world->broker, after + 1000));
    OK(mq_broker_clock(world->broker, &before));
    CHECK(before >= after + 1000);
    OK(mq_push_consumer_close(consumer, LONG_MS));
    mq_push_consumer_free(consumer);
}

static void bad_names(struct world *world) {
    mq_broker *broker = world->broker;
    FAILS(mq_broker_fail_next(broker, MQ_TEXT("SEND_MAIL"), MQ_TEXT("SYSTEM_BUSY"), 1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_fail_next(broker, MQ_TEXT("SEND_MESSAGE"), MQ_TEXT("BUSY"), 1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_fail_next(broker, MQ_TEXT("SEND_MESSAGE"), NULL, 1, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_delay_next(broker, MQ_TEXT("SEND_MESSAGE"), -1, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_drop_next(broker, MQ_TEXT(""), 1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_lose_answer_next(NULL, MQ_TEXT("SEND_MESSAGE"), 1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_refuse_connections(NULL, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_clear_faults(NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_advance_clock(broker, -1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_set_clock(NULL, 0), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_clock(broker, NULL), MQ_ERR_ARGUMENT);
}

void test_faults(void) {
    struct world world;
    mq_config *config = settings("send_timeout", "30s", "retry_times_when_send_failed", "0", (char *)NULL);
    mq_producer *once = NULL, *again;
    world_open(&world);
    OK(mq_broker_create_topic(world.broker, MQ_TEXT("delayed"), 1));
    OK(mq_producer_new(world.client, config, &once));
    mq_config_free(config);
    again = producer_of(world.client);
    bad_names(&world);
    OK(send(once));
    chosen_requests_fail(&world, once, again);
    an_answer_gets_lost(&world);
    new_connections_are_refused(&world);
    the_clock_moves(&world, again);
    mq_producer_free(again);
    mq_producer_free(once);
    world_close(&world);
}
