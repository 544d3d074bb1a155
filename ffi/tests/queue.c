/* The queue: polling, waking by descriptor and by callback, closing. */
#include "test.h"

#include <poll.h>
#include <pthread.h>

static int readable(int32_t fd, int timeout_ms) {
    struct pollfd entry;
    entry.fd = fd;
    entry.events = POLLIN;
    entry.revents = 0;
    return poll(&entry, 1, timeout_ms) == 1 && (entry.revents & POLLIN) != 0;
}

static void send_tagged(struct world *world, mq_producer *producer, uint64_t tag) {
    mq_message *message = message_to("orders", "42 apples");
    OK(mq_producer_send_async(producer, message, 0, world->queue, tag));
    mq_message_free(message);
}

static void without_events(void) {
    mq_queue *queue = mq_queue_new();
    mq_event *event = NULL;
    size_t count = 99;
    OK(mq_queue_poll(queue, &event, 1, 0, &count));
    CHECK(count == 0 && mq_queue_length(queue) == 0);
    OK(mq_queue_poll(queue, &event, 1, 20, &count));
    CHECK(count == 0);
    OK(mq_queue_wake(queue));
    OK(mq_queue_poll(queue, &event, 1, -1, &count));
    CHECK(count == 0);
    OK(mq_queue_close(queue));
    OK(mq_queue_close(queue));
    FAILS(mq_queue_poll(queue, &event, 1, -1, &count), MQ_ERR_CLOSED);
    mq_queue_free(queue);
}

static void by_descriptor(struct world *world, mq_producer *producer) {
    int32_t fd = -1, again = -1;
    mq_event *events[4];
    size_t count = 0;
    OK(mq_queue_fd(world->queue, &fd));
    OK(mq_queue_fd(world->queue, &again));
    CHECK(fd >= 0 && fd == again);
    CHECK(!readable(fd, 0));
    send_tagged(world, producer, UINT64_MAX);
    CHECK(readable(fd, LONG_MS));
    CHECK(mq_queue_length(world->queue) == 1);
    OK(mq_queue_poll(world->queue, events, 4, 0, &count));
    CHECK(count == 1 && mq_event_tag(events[0]) == UINT64_MAX);
    mq_event_free(events[0]);
    CHECK(!readable(fd, 0));
}

/* A host's event loop: a flag that another thread waits for. */
struct loop {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    mq_queue *queue;
    int calls;
    int32_t inside;
};

static void wake_up(void *user_data) {
    struct loop *loop = (struct loop *)user_data;
    mq_error *error = mq_queue_set_wakeup(loop->queue, NULL, NULL);
    pthread_mutex_lock(&loop->mutex);
    loop->inside = mq_error_code(error);
    loop->calls++;
    pthread_cond_signal(&loop->changed);
    pthread_mutex_unlock(&loop->mutex);
    mq_error_free(error);
}

static void wait_for_calls(struct loop *loop, int calls) {
    pthread_mutex_lock(&loop->mutex);
    while (loop->calls < calls) {
        /* The watchdog ends a wait that is in vain. */
        pthread_cond_wait(&loop->changed, &loop->mutex);
    }
    pthread_mutex_unlock(&loop->mutex);
}

static void by_callback(struct world *world, mq_producer *producer) {
    struct loop loop;
    mq_event *event;
    pthread_mutex_init(&loop.mutex, NULL);
    pthread_cond_init(&loop.changed, NULL);
    loop.queue = world->queue;
    loop.calls = 0;
    loop.inside = 0;
    OK(mq_queue_set_wakeup(world->queue, wake_up, &loop));
    send_tagged(world, producer, 1);
    wait_for_calls(&loop, 1);
    CHECK(loop.inside == MQ_ERR_STATE);
    /* Not empty: setting it calls it at once. */
    OK(mq_queue_set_wakeup(world->queue, wake_up, &loop));
    CHECK(loop.calls == 2);
    event = next_event(world->queue, MQ_EVENT_DONE);
    mq_event_free(event);
    OK(mq_queue_set_wakeup(world->queue, NULL, NULL));
    send_tagged(world, producer, 2);
    event = next_event(world->queue, MQ_EVENT_DONE);
    CHECK(mq_event_tag(event) == 2);
    mq_event_free(event);
    CHECK(loop.calls == 2);
    pthread_cond_destroy(&loop.changed);
    pthread_mutex_destroy(&loop.mutex);
}

static void *poll_for_ever(void *queue) {
    mq_event *event = NULL;
    size_t count = 0;
    mq_error *error = mq_queue_poll((mq_queue *)queue, &event, 1, -1, &count);
    long code = mq_error_code(error);
    mq_error_free(error);
    return (void *)code;
}

static void close_wakes_pollers(void) {
    mq_queue *queue = mq_queue_new();
    pthread_t thread;
    void *code = NULL;
    CHECK(pthread_create(&thread, NULL, poll_for_ever, queue) == 0);
    OK(mq_queue_close(queue));
    CHECK(pthread_join(thread, &code) == 0);
    CHECK((long)code == MQ_ERR_CLOSED);
    mq_queue_free(queue);
}

static void closed_queues_are_refused(struct world *world, mq_producer *producer) {
    mq_queue *queue = mq_queue_new();
    mq_message *message = message_to("orders", "x");
    mq_config *config = settings("group", "closed", (char *)NULL);
    mq_push_consumer *consumer = NULL;
    OK(mq_queue_close(queue));
    FAILS(mq_producer_send_async(producer, message, 0, queue, 1), MQ_ERR_CLOSED);
    FAILS(mq_producer_close_async(producer, 0, queue, 1), MQ_ERR_CLOSED);
    FAILS(mq_client_close_async(world->client, 0, queue, 1), MQ_ERR_CLOSED);
    FAILS(mq_push_consumer_new(world->client, config, queue, 1, &consumer), MQ_ERR_CLOSED);
    FAILS(mq_log_set_queue(queue, MQ_LOG_INFO), MQ_ERR_CLOSED);
    mq_config_free(config);
    mq_message_free(message);
    mq_queue_free(queue);
}

/* Nothing fires after a queue is freed, though sends to it are under way. */
static void freed_while_busy(struct world *world, mq_producer *producer) {
    mq_queue *queue = mq_queue_new();
    mq_message *message = message_to("orders", "x");
    struct loop loop;
    uint64_t tag;
    pthread_mutex_init(&loop.mutex, NULL);
    pthread_cond_init(&loop.changed, NULL);
    loop.queue = queue;
    loop.calls = 0;
    OK(mq_queue_set_wakeup(queue, wake_up, &loop));
    for (tag = 0; tag < 100; tag++) {
        OK(mq_producer_send_async(producer, message, 0, queue, tag));
    }
    mq_queue_free(queue);
    /* Calls after this would use what is gone; memcheck sees them. */
    pthread_cond_destroy(&loop.changed);
    pthread_mutex_destroy(&loop.mutex);
    mq_message_free(message);
    (void)world;
}

void test_queue(void) {
    struct world world;
    mq_producer *producer;
    without_events();
    close_wakes_pollers();
    world_open(&world);
    producer = producer_of(world.client);
    by_descriptor(&world, producer);
    by_callback(&world, producer);
    closed_queues_are_refused(&world, producer);
    freed_while_busy(&world, producer);
    mq_producer_free(producer);
    world_close(&world);
}
