/* Sending: one message, lists, files and loads, and a forked child that tries. */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static mq_producer *producer_of(const cJSON *request, struct answer *answer) {
    return (mq_producer *)handle(PRODUCER, request, answer);
}

static bool is(const cJSON *request, const char *name, const char *value) {
    const char *found = text(request, name);
    return found != NULL && strcmp(found, value) == 0;
}

void producer_queues(const cJSON *request, struct answer *answer) {
    mq_producer *producer = producer_of(request, answer);
    mq_message_queues *queues = NULL;
    if (producer != NULL && !failed(answer, mq_producer_queues(producer, text(request, "topic"), MQ_CSTR, &queues))) {
        cJSON_AddItemToObject(answer->ok, "queues", queues_json(queues));
        mq_message_queues_free(queues);
    }
}

/* Adds the receipt of an asynchronous send, which was begun with this error, when its event has come. */
static void await(mq_queue *queue, mq_error *error, struct answer *answer) {
    mq_event *event = result_of(queue, error, answer);
    if (event != NULL) {
        cJSON_AddItemToObject(answer->ok, "receipt", receipt_json(mq_event_receipt(event)));
        mq_event_free(event);
    }
}

static void add_receipt(mq_error *error, mq_receipt *receipt, struct answer *answer) {
    if (!failed(answer, error)) {
        cJSON_AddItemToObject(answer->ok, "receipt", receipt_json(receipt));
        mq_receipt_free(receipt);
    }
}

void send_one(const cJSON *request, struct answer *answer) {
    mq_producer *producer = producer_of(request, answer);
    const cJSON *fields = list(request, "message");
    const cJSON *to = list(request, "queue");
    const char *broker_name = text(to, "broker_name");
    int32_t queue_id = (int32_t)number(to, "queue_id", 0);
    long long timeout = number(request, "timeout", 0);
    mq_message *message = producer != NULL ? message_of(fields, text(fields, "topic"), answer) : NULL;
    mq_receipt *receipt = NULL;
    if (message == NULL) {
        return;
    }
    if (is(request, "mode", "oneway")) {
        failed(answer, mq_producer_send_oneway(producer, message));
    } else if (is(request, "mode", "async")) {
        mq_queue *queue = mq_queue_new();
        mq_error *error = to != NULL ? mq_producer_send_to_queue_async(producer, message, broker_name, MQ_CSTR,
                                                                       queue_id, timeout, queue, 1)
                                     : mq_producer_send_async(producer, message, timeout, queue, 1);
        await(queue, error, answer);
    } else if (to != NULL) {
        mq_error *error =
            mq_producer_send_to_queue(producer, message, broker_name, MQ_CSTR, queue_id, timeout, &receipt);
        add_receipt(error, receipt, answer);
    } else {
        mq_error *error = mq_producer_send(producer, message, timeout, &receipt);
        add_receipt(error, receipt, answer);
    }
    mq_message_free(message);
}

/* The messages of a request. */
struct messages {
    mq_message **all;
    size_t count;
};

static bool make(const cJSON *request, struct messages *messages, struct answer *answer) {
    const cJSON *fields;
    messages->count = 0;
    messages->all = (mq_message **)room((size_t)cJSON_GetArraySize(list(request, "messages")), sizeof(mq_message *));
    cJSON_ArrayForEach(fields, list(request, "messages")) {
        mq_message *message = message_of(fields, text(fields, "topic"), answer);
        if (message == NULL) {
            return false;
        }
        messages->all[messages->count++] = message;
    }
    return true;
}

static void unmake(struct messages *messages) {
    while (messages->count > 0) {
        mq_message_free(messages->all[--messages->count]);
    }
    free(messages->all);
}

static const mq_message *const *lent(const struct messages *messages) {
    return (const mq_message *const *)messages->all;
}

void send_list(const cJSON *request, struct answer *answer) {
    mq_producer *producer = producer_of(request, answer);
    struct messages messages;
    mq_receipt *receipt = NULL;
    if (producer == NULL) {
        return;
    }
    if (make(request, &messages, answer)) {
        if (is(request, "mode", "async")) {
            mq_queue *queue = mq_queue_new();
            await(queue, mq_producer_send_batch_async(producer, lent(&messages), messages.count, 0, queue, 1), answer);
        } else {
            mq_error *error = mq_producer_send_batch(producer, lent(&messages), messages.count, 0, &receipt);
            add_receipt(error, receipt, answer);
        }
    }
    unmake(&messages);
}

void send_split(const cJSON *request, struct answer *answer) {
    mq_producer *producer = producer_of(request, answer);
    struct messages messages;
    size_t *lengths, lists = 0, i, at = 0;
    if (producer == NULL) {
        return;
    }
    if (make(request, &messages, answer)) {
        cJSON *receipts = cJSON_AddArrayToObject(answer->ok, "receipts");
        lengths = (size_t *)room(messages.count, sizeof *lengths);
        if (!failed(answer, mq_producer_split_batch(producer, lent(&messages), messages.count, lengths, &lists))) {
            for (i = 0; i < lists; at += lengths[i++]) {
                mq_receipt *receipt = NULL;
                if (failed(answer, mq_producer_send_batch(producer, lent(&messages) + at, lengths[i], 0, &receipt))) {
                    break;
                }
                cJSON_AddItemToArray(receipts, receipt_json(receipt));
                mq_receipt_free(receipt);
            }
        }
        free(lengths);
    }
    unmake(&messages);
}

/* Sends with at most `size` messages under way, and counts how they end. */
struct window {
    mq_producer *producer;
    mq_queue *queue;
    size_t size, flying;
    long long sent, failed;
};

/* Waits until at most `flying` are under way. */
static void settle(struct window *window, size_t flying) {
    mq_event *events[64];
    size_t count = 0, i;
    while (window->flying > flying) {
        mq_error *error = mq_queue_poll(window->queue, events, 64, -1, &count);
        if (error != NULL) {
            fprintf(stderr, "the load's own queue: %s\n", mq_error_message(error, NULL));
            abort();
        }
        for (i = 0; i < count; i++) {
            if (mq_event_error(events[i]) == NULL) {
                window->sent++;
            } else {
                window->failed++;
            }
            mq_event_free(events[i]);
        }
        window->flying -= count;
    }
}

static void fly(struct window *window, const mq_message *message) {
    mq_error *error;
    settle(window, window->size - 1);
    error = mq_producer_send_async(window->producer, message, 0, window->queue, 1);
    if (error == NULL) {
        window->flying++;
    } else {
        window->failed++;
        mq_error_free(error);
    }
}

static void land(struct window *window, struct answer *answer) {
    settle(window, 0);
    mq_queue_free(window->queue);
    cJSON_AddNumberToObject(answer->ok, "sent", (double)window->sent);
    cJSON_AddNumberToObject(answer->ok, "failed", (double)window->failed);
}

void send_file(const cJSON *request, struct answer *answer) {
    struct window window = {producer_of(request, answer), NULL, (size_t)number(request, "window", 64), 0, 0, 0};
    const char *path = text(request, "path");
    FILE *file = window.producer != NULL && path != NULL ? fopen(path, "r") : NULL;
    char *line = NULL;
    size_t size = 0;
    if (file == NULL) {
        refuse(answer, "the file cannot be opened:", path);
        return;
    }
    window.queue = mq_queue_new();
    while (getline(&line, &size, file) > 0) {
        cJSON *fields = cJSON_Parse(line);
        mq_message *message = message_of(fields, text(request, "topic"), answer);
        if (message != NULL) {
            fly(&window, message);
        }
        mq_message_free(message);
        cJSON_Delete(fields);
    }
    free(line);
    fclose(file);
    land(&window, answer);
}

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void send_load(const cJSON *request, struct answer *answer) {
    struct window window = {producer_of(request, answer), NULL, (size_t)number(request, "window", 64), 0, 0, 0};
    long long count = number(request, "count", 0), left;
    size_t size = (size_t)number(request, "size", 1);
    mq_message *message = NULL;
    double start = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    uint8_t *body;
    mq_error *error;
    if (window.producer == NULL) {
        return;
    }
    body = (uint8_t *)room(size, 1);
    memset(body, 'x', size);
    error = mq_message_new(text(request, "topic"), MQ_CSTR, body, size, &message);
    free(body);
    if (failed(answer, error)) {
        return;
    }
    window.queue = mq_queue_new();
    for (left = count; left > 0; left--) {
        if (!is(request, "mode", "sync")) {
            fly(&window, message);
        } else if ((error = mq_producer_send(window.producer, message, 0, NULL)) == NULL) {
            window.sent++;
        } else {
            window.failed++;
            mq_error_free(error);
        }
    }
    land(&window, answer);
    mq_message_free(message);
    cJSON_AddNumberToObject(answer->ok, "seconds", seconds(CLOCK_MONOTONIC) - start);
    cJSON_AddNumberToObject(answer->ok, "cpu_seconds", seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

/* In the child: sends, and writes what came of it into the pipe. */
static void try_in_child(const cJSON *request, int pipe) {
    struct answer answer = {cJSON_CreateObject(), NULL};
    cJSON *line = cJSON_CreateObject();
    char *written;
    size_t len;
    send_one(request, &answer);
    cJSON_AddItemToObject(line, answer.error != NULL ? "error" : "ok", answer.error != NULL ? answer.error : answer.ok);
    written = cJSON_PrintUnformatted(line);
    len = strlen(written);
    _exit(write(pipe, written, len) == (ssize_t)len ? 0 : 1);
}

void fork_and_send(const cJSON *request, struct answer *answer) {
    char told[4096];
    size_t len = 0;
    ssize_t got;
    int ends[2];
    pid_t child;
    cJSON *parsed;
    if (pipe(ends) != 0 || (child = fork()) < 0) {
        refuse(answer, "there is no", "child");
        return;
    }
    if (child == 0) {
        try_in_child(request, ends[1]);
    }
    close(ends[1]);
    while (len < sizeof told - 1 && (got = read(ends[0], told + len, sizeof told - 1 - len)) > 0) {
        len += (size_t)got;
    }
    told[len] = '\0';
    close(ends[0]);
    waitpid(child, NULL, 0);
    parsed = cJSON_Parse(told);
    if (parsed == NULL) {
        refuse(answer, "the child said", told);
        return;
    }
    cJSON_AddItemToObject(answer->ok, "child", parsed);
}
