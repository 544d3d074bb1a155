/* Runs the C tests: all suites, or those named on the command line. */
#include "test.h"

#include <stdarg.h>
#include <unistd.h>

int checks_passed;
int checks_failed;

int check(int ok, const char *text, const char *file, int line) {
    if (ok) {
        checks_passed++;
    } else {
        checks_failed++;
        fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
    }
    return ok;
}

int check_ok(mq_error *error, const char *text, const char *file, int line) {
    int ok = error == NULL;
    check(ok, text, file, line);
    if (!ok) {
        fprintf(stderr, "    %s: %s\n", mq_error_name(error), mq_error_message(error, NULL));
        mq_error_free(error);
    }
    return ok;
}

int check_code(mq_error *error, int32_t code, const char *text, const char *file, int line) {
    int ok = check(mq_error_code(error) == code, text, file, line);
    if (!ok) {
        fprintf(stderr, "    %s instead of %s: %s\n", mq_error_name(error), mq_error_code_name(code),
                mq_error_message(error, NULL));
    }
    mq_error_free(error);
    return ok;
}

mq_config *settings(const char *key, ...) {
    mq_config *config = mq_config_new();
    va_list rest;
    va_start(rest, key);
    for (; key != NULL; key = va_arg(rest, const char *)) {
        OK(mq_config_set(config, key, MQ_CSTR, va_arg(rest, const char *), MQ_CSTR));
    }
    va_end(rest);
    return config;
}

mq_client *client_of(const char *address) {
    /* Under memcheck on a busy machine the defaults of three seconds can be short. */
    mq_config *config = settings("namesrv", address, "request_timeout", "30s", "connect_timeout", "30s", (char *)NULL);
    mq_client *client = NULL;
    OK(mq_client_new(config, &client));
    mq_config_free(config);
    return client;
}

mq_producer *producer_of(mq_client *client) {
    mq_config *config = settings("send_timeout", "30s", (char *)NULL);
    mq_producer *producer = NULL;
    OK(mq_producer_new(client, config, &producer));
    mq_config_free(config);
    return producer;
}

mq_push_consumer *consumer_of(mq_client *client, mq_queue *queue, const char *topic, const char *key, ...) {
    mq_config *config = settings("group", topic, "consume_from_where", "FIRST", (char *)NULL);
    mq_push_consumer *consumer = NULL;
    va_list rest;
    va_start(rest, key);
    for (; key != NULL; key = va_arg(rest, const char *)) {
        OK(mq_config_set(config, key, MQ_CSTR, va_arg(rest, const char *), MQ_CSTR));
    }
    va_end(rest);
    OK(mq_push_consumer_new(client, config, queue, 77, &consumer));
    OK(mq_push_consumer_subscribe(consumer, topic, MQ_CSTR, MQ_TEXT("*")));
    mq_config_free(config);
    return consumer;
}

mq_message *message_to(const char *topic, const char *body) {
    mq_message *message = NULL;
    OK(mq_message_new(topic, MQ_CSTR, (const uint8_t *)body, strlen(body), &message));
    return message;
}

void send_text(mq_producer *producer, const char *topic, const char *body, const char *tag) {
    mq_message *message = message_to(topic, body);
    if (tag != NULL) {
        OK(mq_message_set_tag(message, tag, MQ_CSTR));
    }
    OK(mq_producer_send(producer, message, 0, NULL));
    mq_message_free(message);
}

int body_is(const mq_message_view *view, const char *expected) {
    size_t len = 0;
    const uint8_t *body = mq_message_view_body(view, &len);
    return body != NULL && len == strlen(expected) && memcmp(body, expected, len) == 0;
}

void world_open(struct world *world) {
    memset(world, 0, sizeof *world);
    OK(mq_broker_start(NULL, &world->broker));
    OK(mq_broker_create_topic(world->broker, MQ_TEXT("orders"), 4));
    world->client = client_of(mq_broker_address(world->broker, NULL));
    world->queue = mq_queue_new();
}

void world_close(struct world *world) {
    OK(mq_client_close(world->client, LONG_MS));
    mq_client_free(world->client);
    mq_queue_free(world->queue);
    OK(mq_broker_stop(world->broker, LONG_MS));
    mq_broker_free(world->broker);
}

mq_event *next_event(mq_queue *queue, int32_t kind) {
    for (;;) {
        mq_event *event = NULL;
        size_t count = 0;
        if (!OK(mq_queue_poll(queue, &event, 1, LONG_MS, &count)) || !CHECK(count == 1)) {
            return NULL;
        }
        if (mq_event_kind(event) == kind) {
            return event;
        }
        mq_event_free(event);
    }
}

int same(const char *lent, const char *expected) {
    return lent != NULL && expected != NULL && strcmp(lent, expected) == 0;
}

struct suite {
    const char *name;
    void (*run)(void);
};

static const struct suite suites[] = {
    {"basics", test_basics},     {"messages", test_messages},
    {"queue", test_queue},       {"producer", test_producer},
    {"routing", test_routing},   {"views", test_views},
    {"consumer", test_consumer}, {"models", test_models},
    {"pull", test_pull},         {"dead letters", test_dead_letters},
    {"broker", test_broker},     {"faults", test_faults},
    {"close", test_close},       {"fork", test_fork},
    {"log", test_log},
};

int main(int argc, char **argv) {
    size_t i;
    int j;
    for (i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        int wanted = argc == 1;
        for (j = 1; j < argc; j++) {
            wanted = wanted || strcmp(argv[j], suites[i].name) == 0;
        }
        if (wanted) {
            int before = checks_failed;
            /* Whatever hangs is ended, with the suite's name as the last line. */
            alarm(600);
            fprintf(stderr, "%s ...\n", suites[i].name);
            suites[i].run();
            if (checks_failed > before) {
                fprintf(stderr, "%s: %d failed\n", suites[i].name, checks_failed - before);
            }
        }
    }
    printf("%d passed, %d failed\n", checks_passed, checks_failed);
    return checks_failed == 0 ? 0 : 1;
}
