/* The embedded broker: directories, stop, kill and restart on the same data. */
#define _XOPEN_SOURCE 700
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

static int exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

/* Sends until it succeeds or the deadline is over: a client notices a new broker in its own time. */
static int sent(mq_producer *producer, const char *body) {
    mq_message *message = message_to("orders", body);
    int tries, done = 0;
    for (tries = 0; tries < 20 && !done; tries++) {
        mq_error *error = mq_producer_send(producer, message, 5000, NULL);
        done = error == NULL;
        mq_error_free(error);
    }
    mq_message_free(message);
    return done;
}

static void expect_bodies(struct world *world, int count) {
    mq_push_consumer *consumer = consumer_of(world->client, world->queue, "orders", NULL);
    OK(mq_push_consumer_start(consumer, LONG_MS));
    while (count-- > 0) {
        mq_event *event = next_event(world->queue, MQ_EVENT_MESSAGE);
        OK(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
        mq_event_free(event);
    }
    CHECK(mq_queue_length(world->queue) == 0);
    OK(mq_push_consumer_close(consumer, LONG_MS));
    mq_push_consumer_free(consumer);
}

static void survives(void) {
    struct world world;
    mq_producer *producer;
    char address[64], data_dir[256];
    const char *first_address;
    world_open(&world);
    first_address = mq_broker_address(world.broker, NULL);
    snprintf(address, sizeof address, "%s", first_address);
    snprintf(data_dir, sizeof data_dir, "%s", mq_broker_data_dir(world.broker, NULL));
    CHECK(exists(data_dir));
    producer = producer_of(world.client);
    CHECK(sent(producer, "before the kill"));
    OK(mq_broker_kill(world.broker));
    OK(mq_broker_kill(world.broker));
    FAILS(mq_broker_create_topic(world.broker, MQ_TEXT("other"), 1), MQ_ERR_STATE);
    CHECK(exists(data_dir));
    OK(mq_broker_restart(world.broker));
    CHECK(same(mq_broker_address(world.broker, NULL), address) &&
          mq_broker_address(world.broker, NULL) == first_address);
    CHECK(sent(producer, "after the kill"));
    OK(mq_broker_stop(world.broker, LONG_MS));
    OK(mq_broker_stop(world.broker, LONG_MS));
    OK(mq_broker_restart(world.broker));
    CHECK(sent(producer, "after the stop"));
    /* Restarting one that runs stops it first. */
    OK(mq_broker_restart(world.broker));
    CHECK(same(first_address, address));
    expect_bodies(&world, 3);
    mq_producer_free(producer);
    world_close(&world);
    CHECK(!exists(data_dir));
}

static void topics(void) {
    mq_broker *broker = NULL;
    OK(mq_broker_start(NULL, &broker));
    OK(mq_broker_create_topic(broker, MQ_TEXT("orders"), 1));
    OK(mq_broker_create_topic(broker, MQ_TEXT("orders"), 8));
    FAILS(mq_broker_create_topic(broker, MQ_TEXT("no spaces"), 1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_create_topic(broker, MQ_TEXT(""), 1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_create_topic(broker, MQ_TEXT("orders"), 0), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_create_topic(broker, MQ_TEXT("\xff"), 1), MQ_ERR_ARGUMENT);
    mq_broker_free(broker);
}

static void given_directory_and_ports(void) {
    char data_dir[] = "/tmp/mq-test-XXXXXX";
    char port[16], command[64];
    mq_broker *broker = NULL, *second = NULL;
    mq_config *config, *taken;
    CHECK(mkdtemp(data_dir) != NULL);
    config = settings("data_dir", data_dir, "flushDiskType", "SYNC_FLUSH", (char *)NULL);
    OK(mq_broker_start(config, &broker));
    CHECK(same(mq_broker_data_dir(broker, NULL), data_dir));
    /* A second broker gets neither the directory nor the port. */
    FAILS(mq_broker_start(config, &second), MQ_ERR_IO);
    snprintf(port, sizeof port, "%s", strrchr(mq_broker_address(broker, NULL), ':') + 1);
    taken = settings("namesrv_port", port, (char *)NULL);
    FAILS(mq_broker_start(taken, &second), MQ_ERR_IO);
    mq_config_free(taken);
    OK(mq_broker_stop(broker, LONG_MS));
    mq_broker_free(broker);
    CHECK(exists(data_dir));
    OK(mq_broker_start(config, &broker));
    mq_broker_free(broker);
    mq_config_free(config);
    snprintf(command, sizeof command, "rm -rf %s", data_dir);
    CHECK(system(command) == 0);
    CHECK(second == NULL);
}

static void bad_directory(void) {
    mq_config *config = settings("storePathRootDir", "/proc/no/such/place", (char *)NULL);
    mq_broker *broker = NULL;
    FAILS(mq_broker_start(config, &broker), MQ_ERR_IO);
    mq_config_free(config);
}

void test_broker(void) {
    survives();
    topics();
    given_directory_and_ports();
    bad_directory();
}
