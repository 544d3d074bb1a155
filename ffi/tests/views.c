/* A view as one block of bytes says what its accessors say. */
#include "test.h"

enum { TOPIC, TAG, KEYS, GROUP, ID, OFFSET_ID, BROKER, BORN_HOST, STORE_HOST, PROPERTIES, TEXTS };

struct header {
    uint32_t size;
    int32_t queue_id;
    int64_t queue_offset;
    int64_t born_timestamp;
    int64_t store_timestamp;
    int32_t reconsume_times;
    int32_t flag;
    uint64_t body;
    uint64_t body_len;
    int32_t lengths[TEXTS];
    uint64_t nothing;
};

/* Whether a text of the block is this one; NULL stands for an absent one. */
static int is(const struct header *header, const uint8_t *block, int wanted, const char *expected) {
    size_t at = header->size, len;
    int i;
    for (i = 0; i < wanted; i++) {
        at += header->lengths[i] > 0 ? (size_t)header->lengths[i] : 0;
    }
    if (expected == NULL) {
        return header->lengths[wanted] == -1;
    }
    len = strlen(expected);
    return header->lengths[wanted] == (int32_t)len && memcmp(block + at, expected, len) == 0;
}

static void agree(const mq_message_view *view, const char *keys, const char *body) {
    struct header header;
    size_t len = 0, again = 0, i, at;
    char property[64];
    const uint8_t *block = mq_message_view_packed(view, &len);
    CHECK(sizeof header == 104 && block != NULL && len > sizeof header && (uintptr_t)block % 8 == 0);
    memcpy(&header, block, sizeof header);
    CHECK(header.size == 104);
    CHECK(header.queue_id == mq_message_view_queue_id(view));
    CHECK(header.queue_offset == mq_message_view_queue_offset(view));
    CHECK(header.born_timestamp == mq_message_view_born_timestamp(view));
    CHECK(header.store_timestamp == mq_message_view_store_timestamp(view));
    CHECK(header.reconsume_times == mq_message_view_reconsume_times(view));
    CHECK(header.flag == mq_message_view_flag(view));
    CHECK((uintptr_t)header.body == (uintptr_t)mq_message_view_body(view, &again) && header.body_len == again);
    CHECK(again == strlen(body) && memcmp((const void *)(uintptr_t)header.body, body, again) == 0);
    CHECK(is(&header, block, TOPIC, mq_message_view_topic(view, NULL)));
    CHECK(is(&header, block, TAG, mq_message_view_tag(view, NULL)));
    CHECK(is(&header, block, KEYS, keys));
    CHECK(is(&header, block, GROUP, mq_message_view_group(view, NULL)));
    CHECK(is(&header, block, ID, mq_message_view_message_id(view, NULL)));
    CHECK(is(&header, block, OFFSET_ID, mq_message_view_offset_message_id(view, NULL)));
    CHECK(is(&header, block, BROKER, mq_message_view_broker_name(view, NULL)));
    CHECK(is(&header, block, BORN_HOST, mq_message_view_born_host(view, NULL)));
    CHECK(is(&header, block, STORE_HOST, mq_message_view_store_host(view, NULL)));
    /* The properties are the last text: one pair after the other up to the end of the block. */
    at = len - (size_t)header.lengths[PROPERTIES];
    for (i = 0; i < mq_message_view_property_count(view); i++) {
        int pair =
            snprintf(property, sizeof property, "%.20s\x01%.40s\x02", mq_message_view_property_name(view, i, NULL),
                     mq_message_view_property_value(view, i, NULL));
        CHECK(pair > 0 && at + (size_t)pair <= len && memcmp(block + at, property, (size_t)pair) == 0);
        at += (size_t)pair;
    }
    CHECK(at == len);
    CHECK(mq_message_view_packed(view, &again) == block && again == len);
}

void test_views(void) {
    struct world world;
    mq_producer *producer;
    mq_push_consumer *consumer;
    mq_message *message;
    mq_event *event;
    size_t len = 1;
    world_open(&world);
    producer = producer_of(world.client);
    consumer = consumer_of(world.client, world.queue, "orders", NULL);
    OK(mq_push_consumer_start(consumer, LONG_MS));

    message = message_to("orders", "all of it");
    OK(mq_message_set_tag(message, MQ_TEXT("paid")));
    OK(mq_message_add_key(message, MQ_TEXT("42")));
    OK(mq_message_add_key(message, MQ_TEXT("43")));
    OK(mq_message_set_group(message, MQ_TEXT("customer 7")));
    OK(mq_message_set_property(message, MQ_TEXT("region"), MQ_TEXT("eu")));
    OK(mq_message_set_flag(message, -5));
    OK(mq_producer_send(producer, message, LONG_MS, NULL));
    mq_message_free(message);
    event = next_event(world.queue, MQ_EVENT_MESSAGE);
    agree(mq_event_message(event, 0), "42 43", "all of it");
    CHECK(mq_message_view_flag(mq_event_message(event, 0)) == -5);
    OK(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
    mq_event_free(event);

    send_text(producer, "orders", "next to nothing", NULL);
    event = next_event(world.queue, MQ_EVENT_MESSAGE);
    agree(mq_event_message(event, 0), NULL, "next to nothing");
    OK(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
    mq_event_free(event);

    CHECK(mq_message_view_packed(NULL, &len) == NULL && len == 0);
    CHECK(mq_message_view_flag(NULL) == -1);
    OK(mq_push_consumer_close(consumer, LONG_MS));
    mq_push_consumer_free(consumer);
    mq_producer_free(producer);
    world_close(&world);
}
