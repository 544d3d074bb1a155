/* A forked child: MQ_ERR_FORKED for the parent's handles, never a hang; handles of its own work. */
#include "test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static int forked(mq_error *error) {
    int yes = mq_error_code(error) == MQ_ERR_FORKED;
    mq_error_free(error);
    return yes;
}

/* In the child: the same for handles that ask. */
static int child_asks(struct world *world, mq_producer *producer, mq_pull_consumer *puller, mq_dead_letters *letters) {
    mq_message_queues *queues = NULL;
    mq_event *polled = NULL;
    int64_t clock = 0;
    if (!forked(mq_pull_consumer_poll(puller, -1, &polled)))
        return 101;
    if (!forked(mq_pull_consumer_poll_async(puller, -1, world->queue, 1)))
        return 102;
    if (!forked(mq_pull_consumer_commit(puller)))
        return 103;
    if (!forked(mq_pull_consumer_assignment(puller, &queues)))
        return 104;
    if (!forked(mq_pull_consumer_cancel(puller, world->queue, 1)))
        return 105;
    if (!forked(mq_pull_consumer_close(puller, 0)))
        return 106;
    if (!forked(mq_dead_letters_read(letters, 1, &polled)))
        return 107;
    if (!forked(mq_dead_letters_rewind(letters)))
        return 108;
    if (!forked(mq_producer_queues(producer, MQ_TEXT("orders"), &queues)))
        return 109;
    if (!forked(mq_broker_clear_faults(world->broker)))
        return 110;
    if (!forked(mq_broker_clock(world->broker, &clock)))
        return 111;
    mq_dead_letters_free(letters);
    mq_pull_consumer_free(puller);
    return 0;
}

/* In the child: 0 when all is as it should be, otherwise the number of what was not. */
static int child(struct world *world, mq_producer *producer, mq_push_consumer *consumer, mq_event *event) {
    mq_message *message = NULL;
    mq_producer *made = NULL;
    mq_event *polled = NULL;
    size_t count = 0;
    int32_t fd = 0;
    /* A hang ends here. */
    alarm(60);
    mq_error_free(mq_message_new(MQ_TEXT("orders"), (const uint8_t *)"x", 1, &message));
    if (!forked(mq_producer_send(producer, message, 0, NULL)))
        return 1;
    if (!forked(mq_producer_send_async(producer, message, 0, world->queue, 1)))
        return 2;
    if (!forked(mq_producer_send_oneway(producer, message)))
        return 3;
    if (!forked(mq_producer_cancel(producer, world->queue, 1)))
        return 4;
    if (!forked(mq_producer_close(producer, 0)))
        return 5;
    if (!forked(mq_producer_new(world->client, NULL, &made)))
        return 6;
    if (!forked(mq_push_consumer_start(consumer, 0)))
        return 7;
    if (!forked(mq_push_consumer_reply(consumer, 1, MQ_CONSUME_SUCCESS, 0)))
        return 8;
    if (!forked(mq_push_consumer_suspend(consumer)))
        return 9;
    if (!forked(mq_push_consumer_close(consumer, 0)))
        return 10;
    if (!forked(mq_client_close(world->client, 0)))
        return 11;
    if (!forked(mq_queue_poll(world->queue, &polled, 1, -1, &count)))
        return 12;
    if (!forked(mq_queue_fd(world->queue, &fd)))
        return 13;
    if (!forked(mq_queue_set_wakeup(world->queue, NULL, NULL)))
        return 14;
    if (!forked(mq_queue_wake(world->queue)))
        return 15;
    if (!forked(mq_queue_close(world->queue)))
        return 16;
    if (!forked(mq_broker_create_topic(world->broker, MQ_TEXT("x"), 1)))
        return 17;
    if (!forked(mq_broker_kill(world->broker)))
        return 18;
    if (!forked(mq_broker_restart(world->broker)))
        return 19;
    if (!forked(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0)))
        return 20;
    if (mq_queue_length(world->queue) != 0)
        return 21;
    {
        /* A client of its own, of the parent's broker. */
        const char *address = getenv("MQ_TEST_ADDRESS");
        mq_config *config = mq_config_new();
        mq_client *client = NULL;
        mq_queue *queue = mq_queue_new();
        mq_error *error;
        mq_error_free(mq_config_set(config, MQ_TEXT("namesrv"), address, MQ_CSTR));
        if (mq_client_new(config, &client) != NULL)
            return 22;
        if (mq_producer_new(client, NULL, &made) != NULL)
            return 23;
        error = mq_producer_send(made, message, LONG_MS, NULL);
        if (error != NULL)
            return 24;
        if (mq_producer_send_async(made, message, LONG_MS, queue, 3) != NULL)
            return 25;
        if (mq_queue_poll(queue, &polled, 1, LONG_MS, &count) != NULL || count != 1)
            return 26;
        if (mq_event_error(polled) != NULL)
            return 27;
        mq_event_free(polled);
        if (mq_client_close(client, LONG_MS) != NULL)
            return 28;
        mq_producer_free(made);
        mq_client_free(client);
        mq_queue_free(queue);
        mq_config_free(config);
    }
    mq_message_free(message);
    /* Freeing the parent's handles does nothing, in any order. */
    mq_event_free(event);
    mq_queue_free(world->queue);
    mq_push_consumer_free(consumer);
    mq_producer_free(producer);
    mq_client_free(world->client);
    mq_broker_free(world->broker);
    return 0;
}

void test_fork(void) {
    struct world world;
    mq_producer *producer;
    mq_push_consumer *consumer;
    mq_pull_consumer *puller = NULL;
    mq_dead_letters *letters = NULL;
    mq_message *message = message_to("orders", "x");
    mq_config *config = settings("group", "puller", (char *)NULL);
    mq_event *event;
    char data_dir[256];
    pid_t pid;
    int ends[2], status = -1;
    unsigned char result = 255;
    world_open(&world);
    producer = producer_of(world.client);
    consumer = consumer_of(world.client, world.queue, "orders", NULL);
    OK(mq_push_consumer_start(consumer, LONG_MS));
    OK(mq_producer_send(producer, message, 0, NULL));
    event = next_event(world.queue, MQ_EVENT_MESSAGE);
    OK(mq_pull_consumer_new(world.client, config, &puller));
    mq_config_free(config);
    OK(mq_pull_consumer_subscribe(puller, MQ_TEXT("orders"), MQ_TEXT("*")));
    OK(mq_pull_consumer_start(puller, LONG_MS));
    OK(mq_dead_letters_new(world.client, MQ_TEXT("orders"), &letters));
    CHECK(setenv("MQ_TEST_ADDRESS", mq_broker_address(world.broker, NULL), 1) == 0);
    snprintf(data_dir, sizeof data_dir, "%s", mq_broker_data_dir(world.broker, NULL));
    fflush(NULL);
    CHECK(pipe(ends) == 0);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        result = (unsigned char)child_asks(&world, producer, puller, letters);
        result = result == 0 ? (unsigned char)child(&world, producer, consumer, event) : result;
        if (write(ends[1], &result, 1) == 1) {
            /* Not by exit: memcheck would blame the child for all that it leaves to the parent. */
            raise(SIGKILL);
        }
        _exit(1);
    }
    close(ends[1]);
    if (!CHECK(read(ends[0], &result, 1) == 1 && result == 0)) {
        fprintf(stderr, "    the child says %d\n", result);
    }
    close(ends[0]);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    /* The parent has lost nothing. */
    CHECK(access(data_dir, F_OK) == 0);
    OK(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
    mq_event_free(event);
    OK(mq_producer_send(producer, message, 0, NULL));
    mq_event_free(next_event(world.queue, MQ_EVENT_MESSAGE));
    OK(mq_pull_consumer_commit(puller));
    mq_message_free(message);
    mq_dead_letters_free(letters);
    mq_pull_consumer_free(puller);
    mq_push_consumer_free(consumer);
    mq_producer_free(producer);
    world_close(&world);
}
