/* Dead letters: read, gone through again, sent to their topic once more. */
#include "test.h"

/* Refuses the next message for good. */
static void refuse(struct world *world) {
    mq_event *event = next_event(world->queue, MQ_EVENT_MESSAGE);
    OK(mq_event_reply(event, MQ_CONSUME_LATER, -1));
    mq_event_free(event);
}

/* An event with one letter at least: the broker moves them when the consumer has told it to. */
static mq_event *read_some(mq_dead_letters *letters) {
    int tries;
    for (tries = 0; tries < 600; tries++) {
        mq_event *event = NULL, *waited[1];
        mq_queue *clock = mq_queue_new();
        size_t count = 0;
        if (!OK(mq_dead_letters_read(letters, 10, &event)) || mq_event_message_count(event) > 0) {
            mq_queue_free(clock);
            return event;
        }
        mq_event_free(event);
        OK(mq_queue_poll(clock, waited, 1, 50, &count));
        mq_queue_free(clock);
    }
    CHECK(!"a dead letter came");
    return NULL;
}

void test_dead_letters(void) {
    struct world world;
    mq_producer *producer;
    mq_push_consumer *consumer;
    mq_dead_letters *letters = NULL;
    mq_event *event = NULL;
    mq_receipt *receipt = NULL;
    const mq_message_view *letter;
    size_t len = 0;
    world_open(&world);
    producer = producer_of(world.client);
    FAILS(mq_dead_letters_new(world.client, MQ_TEXT("no spaces"), &letters), MQ_ERR_ARGUMENT);
    FAILS(mq_dead_letters_new(world.client, MQ_TEXT("orders"), NULL), MQ_ERR_ARGUMENT);
    OK(mq_dead_letters_new(world.client, MQ_TEXT("orders"), &letters));
    OK(mq_dead_letters_read(letters, 10, &event));
    CHECK(mq_event_message_count(event) == 0);
    mq_event_free(event);

    consumer = consumer_of(world.client, world.queue, "orders", NULL);
    OK(mq_push_consumer_start(consumer, LONG_MS));
    send_text(producer, "orders", "not eatable", "paid");
    refuse(&world);
    event = read_some(letters);
    letter = mq_event_message(event, 0);
    CHECK(same(mq_message_view_topic(letter, NULL), "%DLQ%orders"));
    CHECK(same(mq_message_view_origin_topic(letter, &len), "orders") && len == 6);
    CHECK(body_is(letter, "not eatable") && same(mq_message_view_tag(letter, NULL), "paid"));
    OK(mq_dead_letters_resend(letters, letter, &receipt));
    CHECK(same(mq_receipt_topic(receipt, NULL), "orders"));
    mq_receipt_free(receipt);
    FAILS(mq_dead_letters_resend(letters, NULL, NULL), MQ_ERR_ARGUMENT);
    OK(mq_dead_letters_resend_async(letters, letter, world.queue, 1));
    mq_event_free(event);
    {
        int again = 0, sent = 0;
        while (again < 2 || sent < 1) {
            mq_event *other = NULL;
            if (!OK(mq_queue_poll(world.queue, &other, 1, LONG_MS, &len)) || !CHECK(len == 1)) {
                break;
            }
            if (mq_event_kind(other) == MQ_EVENT_MESSAGE) {
                const mq_message_view *view = mq_event_message(other, 0);
                CHECK(body_is(view, "not eatable") && mq_message_view_origin_topic(view, NULL) == NULL);
                FAILS(mq_dead_letters_resend(letters, view, NULL), MQ_ERR_ARGUMENT);
                OK(mq_event_reply(other, MQ_CONSUME_SUCCESS, 0));
                again++;
            } else {
                CHECK(mq_event_tag(other) == 1 && mq_event_receipt(other) != NULL);
                sent++;
            }
            mq_event_free(other);
        }
    }
    OK(mq_dead_letters_read(letters, 10, &event));
    CHECK(mq_event_message_count(event) == 0);
    mq_event_free(event);
    OK(mq_dead_letters_rewind(letters));
    OK(mq_dead_letters_read_async(letters, 10, world.queue, 2));
    event = next_event(world.queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 2 && mq_event_message_count(event) == 1);
    mq_event_free(event);
    OK(mq_dead_letters_rewind_async(letters, world.queue, 3));
    OK(mq_dead_letters_cancel(letters, world.queue, 99));
    event = next_event(world.queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 3 && mq_event_error(event) == NULL);
    mq_event_free(event);
    OK(mq_client_close(world.client, LONG_MS));
    FAILS(mq_dead_letters_read(letters, 10, &event), MQ_ERR_CLOSED);
    mq_dead_letters_free(letters);
    mq_dead_letters_free(NULL);
    mq_push_consumer_free(consumer);
    mq_producer_free(producer);
    world_close(&world);
}
