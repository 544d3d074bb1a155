/*
 * Measures sending (so many messages, from so many threads, synchronously or with a window of asynchronous sends) and
 * consuming them from the topic's beginning (by events that are answered, or by polls).
 *
 *     bench HOST:PORT TOPIC COUNT SIZE sync THREADS
 *     bench HOST:PORT TOPIC COUNT SIZE async WINDOW
 *     bench HOST:PORT TOPIC COUNT SIZE push BATCH
 *     bench HOST:PORT TOPIC COUNT SIZE pull BATCH
 *
 * Prints one line of JSON: sent or received, failed, seconds, cpu_seconds (of this process).
 */
#define _POSIX_C_SOURCE 200809L
#include <mq.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static void must(mq_error *error) {
    if (error != NULL) {
        fprintf(stderr, "%s: %s\n", mq_error_name(error), mq_error_message(error, NULL));
        exit(1);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

struct load {
    mq_producer *producer;
    const char *topic;
    long count;
    size_t size;
    long failed;
};

static mq_message *message_of(const struct load *load) {
    mq_message *message;
    uint8_t *body = (uint8_t *)malloc(load->size);
    memset(body, 'x', load->size);
    must(mq_message_new(load->topic, MQ_CSTR, body, load->size, &message));
    free(body);
    return message;
}

/* Each message is made anew, as an application would. */
static void *synchronous(void *data) {
    struct load *load = (struct load *)data;
    for (long i = 0; i < load->count; i++) {
        mq_message *message = message_of(load);
        mq_error *error = mq_producer_send(load->producer, message, 0, NULL);
        load->failed += error != NULL;
        mq_error_free(error);
        mq_message_free(message);
    }
    return NULL;
}

static void asynchronous(struct load *load, long window) {
    enum { BATCH = 256 };
    mq_queue *queue = mq_queue_new();
    mq_event *events[BATCH];
    long begun = 0, done = 0;
    while (done < load->count) {
        while (begun < load->count && begun - done < window) {
            mq_message *message = message_of(load);
            must(mq_producer_send_async(load->producer, message, 0, queue, (uint64_t)begun++));
            mq_message_free(message);
        }
        size_t count = 0;
        must(mq_queue_poll(queue, events, BATCH, 60000, &count));
        if (count == 0) {
            fprintf(stderr, "no completion within a minute\n");
            exit(1);
        }
        for (size_t i = 0; i < count; i++) {
            load->failed += mq_event_error(events[i]) != NULL;
            mq_event_free(events[i]);
        }
        done += (long)count;
    }
    mq_queue_free(queue);
}

static mq_config *consuming(const char *mode, const char *batch_setting, const char *batch) {
    mq_config *config = mq_config_new();
    char group[64];
    snprintf(group, sizeof group, "%s-%.20s", mode, batch);
    must(mq_config_set(config, MQ_TEXT("group"), group, MQ_CSTR));
    must(mq_config_set(config, MQ_TEXT("consume_from_where"), MQ_TEXT("FIRST")));
    must(mq_config_set(config, batch_setting, MQ_CSTR, batch, MQ_CSTR));
    return config;
}

/* Reads each message, as an application would. */
static long read_all(const mq_event *event, size_t size) {
    size_t count = mq_event_message_count(event), wrong = 0, len = 0;
    for (size_t i = 0; i < count; i++) {
        const uint8_t *body = mq_message_view_body(mq_event_message(event, i), &len);
        wrong += len != size || body[len - 1] != 'x';
    }
    return (long)wrong;
}

static void push(mq_client *client, struct load *load, const char *batch) {
    enum { BATCH = 256 };
    mq_queue *queue = mq_queue_new();
    mq_event *events[BATCH];
    mq_push_consumer *consumer;
    mq_config *config = consuming("push", "consume_message_batch_max_size", batch);
    must(mq_push_consumer_new(client, config, queue, 1, &consumer));
    mq_config_free(config);
    must(mq_push_consumer_subscribe(consumer, load->topic, MQ_CSTR, MQ_TEXT("*")));
    must(mq_push_consumer_start(consumer, 0));
    for (long received = 0; received < load->count;) {
        size_t count = 0;
        must(mq_queue_poll(queue, events, BATCH, 60000, &count));
        if (count == 0) {
            fprintf(stderr, "no message within a minute\n");
            exit(1);
        }
        for (size_t i = 0; i < count; i++) {
            received += (long)mq_event_message_count(events[i]);
            load->failed += read_all(events[i], load->size);
            if (mq_event_kind(events[i]) == MQ_EVENT_MESSAGE) {
                must(mq_event_reply(events[i], MQ_CONSUME_SUCCESS, 0));
            }
            mq_event_free(events[i]);
        }
    }
    must(mq_push_consumer_close(consumer, 0));
    mq_push_consumer_free(consumer);
    mq_queue_free(queue);
}

static void pull(mq_client *client, struct load *load, const char *batch) {
    mq_pull_consumer *consumer;
    mq_config *config = consuming("pull", "poll_batch_size", batch);
    must(mq_pull_consumer_new(client, config, &consumer));
    mq_config_free(config);
    must(mq_pull_consumer_subscribe(consumer, load->topic, MQ_CSTR, MQ_TEXT("*")));
    must(mq_pull_consumer_start(consumer, 0));
    for (long received = 0; received < load->count;) {
        mq_event *event;
        must(mq_pull_consumer_poll(consumer, 60000, &event));
        if (mq_event_message_count(event) == 0) {
            fprintf(stderr, "no message within a minute\n");
            exit(1);
        }
        received += (long)mq_event_message_count(event);
        load->failed += read_all(event, load->size);
        mq_event_free(event);
    }
    must(mq_pull_consumer_close(consumer, 0));
    mq_pull_consumer_free(consumer);
}

static void from_threads(struct load *load, long width) {
    pthread_t *threads = (pthread_t *)calloc((size_t)width, sizeof *threads);
    struct load *shares = (struct load *)calloc((size_t)width, sizeof *shares);
    for (long i = 0; i < width; i++) {
        shares[i] = *load;
        shares[i].count = load->count / width + (i < load->count % width);
        if (pthread_create(&threads[i], NULL, synchronous, &shares[i]) != 0) {
            fprintf(stderr, "thread %ld cannot be started\n", i);
            exit(1);
        }
    }
    for (long i = 0; i < width; i++) {
        pthread_join(threads[i], NULL);
        load->failed += shares[i].failed;
    }
    free(threads);
    free(shares);
}

static int is_mode(const char *mode) {
    return strcmp(mode, "sync") == 0 || strcmp(mode, "async") == 0 || strcmp(mode, "push") == 0 ||
           strcmp(mode, "pull") == 0;
}

int main(int argc, char **argv) {
    if (argc != 7 || !is_mode(argv[5]) || atol(argv[3]) < 1 || atol(argv[4]) < 1 || atol(argv[6]) < 1) {
        fprintf(stderr, "usage: bench HOST:PORT TOPIC COUNT SIZE sync|async|push|pull THREADS|WINDOW|BATCH\n");
        return 2;
    }
    const char *mode = argv[5];
    int sends = strcmp(mode, "sync") == 0 || strcmp(mode, "async") == 0;
    struct load load = {NULL, argv[2], atol(argv[3]), (size_t)atol(argv[4]), 0};
    mq_config *config = mq_config_new();
    mq_client *client;
    must(mq_config_set(config, MQ_TEXT("namesrv"), argv[1], MQ_CSTR));
    must(mq_client_new(config, &client));
    mq_config_free(config);
    if (sends) {
        must(mq_producer_new(client, NULL, &load.producer));
        mq_message *first = message_of(&load);
        must(mq_producer_send(load.producer, first, 0, NULL));
        mq_message_free(first);
    }

    double start = now(), used = cpu();
    if (strcmp(mode, "sync") == 0) {
        from_threads(&load, atol(argv[6]));
    } else if (strcmp(mode, "async") == 0) {
        asynchronous(&load, atol(argv[6]));
    } else if (strcmp(mode, "push") == 0) {
        push(client, &load, argv[6]);
    } else {
        pull(client, &load, argv[6]);
    }
    printf("{\"%s\": %ld, \"failed\": %ld, \"seconds\": %.3f, \"cpu_seconds\": %.3f}\n", sends ? "sent" : "received",
           load.count - load.failed, load.failed, now() - start, cpu() - used);
    must(mq_client_close(client, 0));
    mq_producer_free(load.producer);
    mq_client_free(client);
    return load.failed == 0 ? 0 : 1;
}
