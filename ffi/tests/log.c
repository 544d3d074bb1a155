/* Log lines: to a callback, to a queue, and off. */
#include "test.h"

#include <pthread.h>

struct lines {
    pthread_mutex_t mutex;
    size_t count;
    size_t whole;
    int32_t inside;
};

static void take(int32_t level, const char *target, size_t target_len, const char *message, size_t message_len,
                 void *user_data) {
    struct lines *lines = (struct lines *)user_data;
    mq_error *error = mq_log_set_callback(NULL, NULL, MQ_LOG_OFF);
    pthread_mutex_lock(&lines->mutex);
    lines->count++;
    lines->whole += level >= MQ_LOG_ERROR && level <= MQ_LOG_DEBUG && strncmp(target, "mq_", 3) == 0 &&
                    strlen(target) == target_len && strlen(message) == message_len && message_len > 0;
    lines->inside = mq_error_code(error);
    pthread_mutex_unlock(&lines->mutex);
    mq_error_free(error);
}

/* Something to log: a client that comes and goes. */
static void make_noise(mq_broker *broker) {
    mq_client *client = client_of(mq_broker_address(broker, NULL));
    mq_producer *producer = producer_of(client);
    mq_message *message = message_to("noise", "x");
    OK(mq_producer_send(producer, message, 0, NULL));
    mq_message_free(message);
    mq_producer_free(producer);
    mq_client_free(client);
}

void test_log(void) {
    struct lines lines;
    mq_broker *broker = NULL;
    mq_queue *queue = mq_queue_new();
    mq_event *event;
    size_t before;
    pthread_mutex_init(&lines.mutex, NULL);
    lines.count = 0;
    lines.whole = 0;
    lines.inside = 0;
    OK(mq_broker_start(NULL, &broker));
    OK(mq_log_set_callback(take, &lines, MQ_LOG_DEBUG));
    make_noise(broker);
    OK(mq_log_set_callback(NULL, NULL, MQ_LOG_DEBUG));
    CHECK(lines.count > 0 && lines.whole == lines.count);
    CHECK(lines.inside == MQ_ERR_STATE);
    before = lines.count;
    make_noise(broker);
    CHECK(lines.count == before);

    OK(mq_log_set_queue(queue, MQ_LOG_DEBUG));
    make_noise(broker);
    OK(mq_log_set_queue(NULL, MQ_LOG_OFF));
    event = next_event(queue, MQ_EVENT_LOG);
    CHECK(mq_event_log_level(event) >= MQ_LOG_ERROR && mq_event_log_level(event) <= MQ_LOG_DEBUG);
    CHECK(strncmp(mq_event_log_target(event, NULL), "mq_", 3) == 0);
    CHECK(strlen(mq_event_log_message(event, NULL)) > 0);
    CHECK(mq_event_tag(event) == 0 && mq_event_error(event) == NULL);
    mq_event_free(event);
    mq_queue_free(queue);
    mq_broker_free(broker);
    pthread_mutex_destroy(&lines.mutex);
}
