/*
 * Measures sending: so many messages, from so many threads, synchronously or with a window of asynchronous sends.
 *
 *     bench HOST:PORT TOPIC COUNT SIZE sync THREADS
 *     bench HOST:PORT TOPIC COUNT SIZE async WINDOW
 *
 * Prints one line of JSON: sent, failed, seconds, cpu_seconds (of this process).
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

int main(int argc, char **argv) {
    if (argc != 7 || (strcmp(argv[5], "sync") != 0 && strcmp(argv[5], "async") != 0) || atol(argv[3]) < 1 ||
        atol(argv[6]) < 1) {
        fprintf(stderr, "usage: bench HOST:PORT TOPIC COUNT SIZE sync|async THREADS|WINDOW\n");
        return 2;
    }
    long width = atol(argv[6]);
    struct load load = {NULL, argv[2], atol(argv[3]), (size_t)atol(argv[4]), 0};
    mq_config *config = mq_config_new();
    mq_client *client;
    must(mq_config_set(config, MQ_TEXT("namesrv"), argv[1], MQ_CSTR));
    must(mq_client_new(config, &client));
    mq_config_free(config);
    must(mq_producer_new(client, NULL, &load.producer));
    mq_message *first = message_of(&load);
    must(mq_producer_send(load.producer, first, 0, NULL));
    mq_message_free(first);

    double start = now(), used = cpu();
    if (strcmp(argv[5], "async") == 0) {
        asynchronous(&load, width);
    } else {
        pthread_t *threads = (pthread_t *)calloc((size_t)width, sizeof *threads);
        struct load *shares = (struct load *)calloc((size_t)width, sizeof *shares);
        for (long i = 0; i < width; i++) {
            shares[i] = load;
            shares[i].count = load.count / width + (i < load.count % width);
            if (pthread_create(&threads[i], NULL, synchronous, &shares[i]) != 0) {
                fprintf(stderr, "thread %ld cannot be started\n", i);
                return 1;
            }
        }
        for (long i = 0; i < width; i++) {
            pthread_join(threads[i], NULL);
            load.failed += shares[i].failed;
        }
        free(threads);
        free(shares);
    }
    printf("{\"sent\": %ld, \"failed\": %ld, \"seconds\": %.3f, \"cpu_seconds\": %.3f}\n", load.count - load.failed,
           load.failed, now() - start, cpu() - used);
    must(mq_client_close(client, 0));
    mq_producer_free(load.producer);
    mq_client_free(client);
    return load.failed == 0 ? 0 : 1;
}
