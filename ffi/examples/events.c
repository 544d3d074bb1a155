/*
 * One thread and no call that blocks: an event loop around poll(2), as a server has it.
 *
 * Orders go to the queue of their customer by this program's own rule; an orderly consumer handles each customer's
 * orders one after the other; a pull consumer reads the first queue once more from its beginning.
 *
 *     cc events.c $(pkg-config --cflags --libs mq) -o events && ./events
 */
#include <mq.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ORDERS = 8, SENT = 1, STARTED, PULLER_STARTED, SOUGHT, POLLED, CONSUMER = 100 };

static mq_queue *events;
static mq_push_consumer *consumer;
static mq_pull_consumer *puller;
static int handled, read_again, suspended;

/* What a program does with an error is its own affair; this one ends. */
static void must(mq_error *error) {
    if (error != NULL) {
        fprintf(stderr, "%s: %s\n", mq_error_name(error), mq_error_message(error, NULL));
        exit(1);
    }
}

static mq_config *setting(mq_config *config, const char *key, const char *value) {
    must(mq_config_set(config, key, MQ_CSTR, value, MQ_CSTR));
    return config;
}

/* Sends each customer's orders to one queue; the answers are events. */
static void send_all(mq_producer *producer, const mq_message_queues *queues) {
    int order;
    for (order = 0; order < ORDERS; order++) {
        char body[32];
        size_t queue = (size_t)order % mq_message_queues_count(queues);
        mq_message *message;
        int len = snprintf(body, sizeof body, "order %d", order);
        must(mq_message_new(MQ_TEXT("orders"), (const uint8_t *)body, (size_t)len, &message));
        must(mq_producer_send_to_queue_async(producer, message, mq_message_queues_broker_name(queues, queue, NULL),
                                             MQ_CSTR, mq_message_queues_id(queues, queue), 0, events, SENT));
        mq_message_free(message);
    }
}

static void on_message(mq_event *event) {
    size_t len;
    const mq_message_view *view = mq_event_message(event, 0);
    const uint8_t *body = mq_message_view_body(view, &len);
    /* The first one is not to our liking: its queue rests for 50 ms, the order comes again, and the others wait for it.
     */
    if (!suspended) {
        suspended = 1;
        must(mq_event_reply(event, MQ_CONSUME_SUSPEND, 50));
        return;
    }
    printf("queue %d: %.*s\n", (int)mq_message_view_queue_id(view), (int)len, (const char *)body);
    must(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
    handled++;
}

static void on_done(mq_event *event) {
    const char *broker = "broker-a";
    if (mq_event_error(event) != NULL) {
        fprintf(stderr, "%s\n", mq_error_message(mq_event_error(event), NULL));
        exit(1);
    }
    switch (mq_event_tag(event)) {
    case PULLER_STARTED:
        must(mq_pull_consumer_seek_async(puller, MQ_TEXT("orders"), broker, MQ_CSTR, 0, MQ_SEEK_BEGIN, 0, events,
                                         SOUGHT));
        break;
    case POLLED:
        read_again += (int)mq_event_message_count(event);
        /* fall through */
    case SOUGHT:
        must(mq_pull_consumer_poll_async(puller, 1000, events, POLLED));
        break;
    default: /* SENT, STARTED */
        break;
    }
}

int main(void) {
    mq_broker *broker;
    mq_client *client;
    mq_producer *producer;
    mq_message_queues *queues, *first;
    mq_config *config;
    struct pollfd descriptor = {0, POLLIN, 0};

    /* Setting up may block: before the loop begins. */
    must(mq_broker_start(NULL, &broker));
    must(mq_broker_create_topic(broker, MQ_TEXT("orders"), 4));
    config = setting(mq_config_new(), "namesrv", mq_broker_address(broker, NULL));
    must(mq_client_new(config, &client));
    mq_config_free(config);
    must(mq_producer_new(client, NULL, &producer));
    must(mq_producer_queues(producer, MQ_TEXT("orders"), &queues));
    events = mq_queue_new();
    must(mq_queue_fd(events, &descriptor.fd));

    config = setting(setting(mq_config_new(), "group", "billing"), "consume_mode", "orderly");
    must(mq_push_consumer_new(client, setting(config, "consume_from_where", "FIRST"), events, CONSUMER, &consumer));
    mq_config_free(config);
    must(mq_push_consumer_subscribe(consumer, MQ_TEXT("orders"), MQ_TEXT("*")));
    must(mq_push_consumer_start_async(consumer, 0, events, STARTED));

    config = setting(mq_config_new(), "group", "audit");
    must(mq_pull_consumer_new(client, config, &puller));
    mq_config_free(config);
    first = mq_message_queues_new();
    must(mq_message_queues_add(first, MQ_TEXT("orders"), MQ_TEXT("broker-a"), 0));
    must(mq_pull_consumer_assign_async(puller, first, events, STARTED));
    must(mq_pull_consumer_start_async(puller, 0, events, PULLER_STARTED));
    mq_message_queues_free(first);

    send_all(producer, queues);
    mq_message_queues_free(queues);
    while (handled < ORDERS || read_again < ORDERS / 4) {
        mq_event *batch[16];
        size_t count, i;
        if (poll(&descriptor, 1, 30000) <= 0) {
            fprintf(stderr, "nothing happened\n");
            return 1;
        }
        must(mq_queue_poll(events, batch, 16, 0, &count));
        for (i = 0; i < count; i++) {
            switch (mq_event_kind(batch[i])) {
            case MQ_EVENT_MESSAGE:
                on_message(batch[i]);
                break;
            case MQ_EVENT_DONE:
                on_done(batch[i]);
                break;
            case MQ_EVENT_WARNING:
                fprintf(stderr, "%s\n", mq_event_warning_message(batch[i], NULL));
                break;
            default: /* Later versions may have more. */
                break;
            }
            mq_event_free(batch[i]);
        }
    }
    printf("%d orders handled, %d read again\n", handled, read_again);

    must(mq_client_close(client, 0));
    mq_pull_consumer_free(puller);
    mq_push_consumer_free(consumer);
    mq_producer_free(producer);
    mq_client_free(client);
    mq_queue_free(events);
    mq_broker_free(broker);
    return 0;
}
