/*
 * Sends a message and consumes it, over a broker inside this process.
 *
 *     cc quickstart.c $(pkg-config --cflags --libs mq) -o quickstart && ./quickstart
 */
#include <mq.h>
#include <stdio.h>
#include <stdlib.h>

/* What a program does with an error is its own affair; this one ends. */
static void must(mq_error *error) {
    if (error != NULL) {
        fprintf(stderr, "%s: %s\n", mq_error_name(error), mq_error_message(error, NULL));
        mq_error_free(error);
        exit(1);
    }
}

int main(void) {
    /* Against a cluster, take its NameServers' address instead. */
    mq_broker *broker;
    must(mq_broker_start(NULL, &broker));

    mq_config *config = mq_config_new();
    mq_client *client;
    must(mq_config_set(config, MQ_TEXT("namesrv"), mq_broker_address(broker, NULL), MQ_CSTR));
    must(mq_client_new(config, &client));
    mq_config_free(config);

    mq_producer *producer;
    mq_message *message;
    mq_receipt *receipt;
    must(mq_producer_new(client, NULL, &producer));
    must(mq_message_new(MQ_TEXT("orders"), (const uint8_t *)"42 apples", 9, &message));
    must(mq_message_set_tag(message, MQ_TEXT("paid")));
    must(mq_producer_send(producer, message, 10000, &receipt));
    printf("sent %s\n", mq_receipt_message_id(receipt, NULL));
    mq_receipt_free(receipt);
    mq_message_free(message);

    mq_queue *queue = mq_queue_new();
    mq_push_consumer *consumer;
    config = mq_config_new();
    must(mq_config_set(config, MQ_TEXT("group"), MQ_TEXT("billing")));
    must(mq_config_set(config, MQ_TEXT("consume_from_where"), MQ_TEXT("FIRST")));
    must(mq_push_consumer_new(client, config, queue, 1, &consumer));
    mq_config_free(config);
    must(mq_push_consumer_subscribe(consumer, MQ_TEXT("orders"), MQ_TEXT("paid || refunded")));
    must(mq_push_consumer_start(consumer, 0));

    mq_event *event;
    size_t count = 0;
    must(mq_queue_poll(queue, &event, 1, 10000, &count));
    if (count == 0 || mq_event_kind(event) != MQ_EVENT_MESSAGE) {
        fprintf(stderr, "no message came\n");
        return 1;
    }
    const mq_message_view *view = mq_event_message(event, 0);
    size_t len;
    const uint8_t *body = mq_message_view_body(view, &len);
    printf("received '%.*s' from %s\n", (int)len, (const char *)body, mq_message_view_topic(view, NULL));
    must(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
    mq_event_free(event);

    /* Closing the client closes what was made from it: offsets are committed, sends completed. */
    must(mq_client_close(client, 0));
    mq_push_consumer_free(consumer);
    mq_producer_free(producer);
    mq_client_free(client);
    mq_queue_free(queue);
    mq_broker_free(broker);
    return 0;
}
