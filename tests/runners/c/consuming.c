/* Push consumers: threads that take events off a queue and answer as the harness asks. */
#include "runner.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS = 8 };

/* An answer that is given later, by another thread. */
struct due {
    uint64_t token;
    struct timespec at;
    struct due *next;
};

/* How often a message came. */
struct seen {
    char *id;
    int times;
};

struct consumer {
    mq_push_consumer *consumer;
    mq_queue *queue;
    char *name;
    cJSON *behaviour;
    pthread_t workers[THREADS], answerer, reporter;
    bool answers_later, reports, counts;

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool closed, joined;
    long long received;
    void *seen; /* a tree of `struct seen` */
    struct due *first, **last;
};

static int compare(const void *a, const void *b) {
    return strcmp(((const struct seen *)a)->id, ((const struct seen *)b)->id);
}

/* Counts an arrival; tells how often the message came before. */
static int count_arrival(struct consumer *consumer, const char *id) {
    struct seen *fresh = (struct seen *)room(1, sizeof *fresh);
    struct seen *found;
    fresh->id = copy_of(id);
    found = *(struct seen **)tsearch(fresh, &consumer->seen, compare);
    if (found != fresh) {
        free(fresh->id);
        free(fresh);
    }
    return found->times++;
}

static struct timespec in_millis(long long millis) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)(millis / 1000);
    at.tv_nsec += (long)(millis % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    return at;
}

static void tell_messages(const struct consumer *consumer, const mq_event *event) {
    size_t count = mq_event_message_count(event), i;
    for (i = 0; i < count; i++) {
        cJSON *line = cJSON_CreateObject();
        cJSON_AddStringToObject(line, "event", "message");
        cJSON_AddStringToObject(line, "consumer", consumer->name);
        cJSON_AddItemToObject(line, "message", view_json(mq_event_message(event, i)));
        cJSON_AddNumberToObject(line, "batch", (double)count);
        say(line);
    }
}

static void tell_warning(const struct consumer *consumer, const mq_event *event) {
    const char *name = mq_event_warning_name(event, NULL);
    const char *message = mq_event_warning_message(event, NULL);
    size_t len = strlen(name) + strlen(message) + 3;
    char *both = (char *)room(len, 1);
    cJSON *line = cJSON_CreateObject();
    strcpy(both, name);
    strcat(both, ": ");
    strcat(both, message);
    cJSON_AddStringToObject(line, "event", "warning");
    cJSON_AddStringToObject(line, "consumer", consumer->name);
    cJSON_AddStringToObject(line, "message", both);
    say(line);
    free(both);
}

/* An answer that was refused: the consumer was closed, or the runner is at fault. */
static void note(mq_error *error) {
    if (error != NULL) {
        fprintf(stderr, "an answer was refused: %s\n", mq_error_message(error, NULL));
        mq_error_free(error);
    }
}

static void pause_for(long long millis) {
    struct timespec time = {(time_t)(millis / 1000), (long)(millis % 1000) * 1000000};
    nanosleep(&time, NULL);
}

/* What the harness wants a listener to do with messages that came `before` times. */
static void answer_for(struct consumer *consumer, mq_event *event, int before) {
    const cJSON *wanted = consumer->behaviour;
    int32_t level = (int32_t)number(wanted, "later_level", 0);
    if (before < number(wanted, "throw_first", 0)) {
        return; /* C throws nothing: a listener that gives up frees its event without an answer */
    }
    if (before < number(wanted, "suspend_first", 0)) {
        note(mq_event_reply(event, MQ_CONSUME_SUSPEND, (int32_t)number(wanted, "suspend", 0)));
    } else if (is_set(wanted, "always_later") || before < number(wanted, "later_first", 0)) {
        note(mq_event_reply(event, MQ_CONSUME_LATER, level));
    } else {
        note(mq_event_reply(event, MQ_CONSUME_SUCCESS, 0));
    }
}

static void listen_to(struct consumer *consumer, mq_event *event) {
    const cJSON *wanted = consumer->behaviour;
    const char *id = mq_message_view_message_id(mq_event_message(event, 0), NULL);
    bool quiet = is_set(wanted, "quiet");
    int before = 0;
    pthread_mutex_lock(&consumer->mutex);
    consumer->received += (long long)mq_event_message_count(event);
    if (consumer->counts) {
        before = count_arrival(consumer, id);
    }
    pthread_mutex_unlock(&consumer->mutex);
    if (!quiet) {
        tell_messages(consumer, event);
    }
    if (is_set(wanted, "hang")) {
        pthread_mutex_lock(&consumer->mutex);
        while (!consumer->closed) {
            pthread_cond_wait(&consumer->changed, &consumer->mutex);
        }
        pthread_mutex_unlock(&consumer->mutex);
    }
    if (consumer->answers_later) {
        struct due *due = (struct due *)room(1, sizeof *due);
        due->token = mq_event_take_token(event);
        due->at = in_millis(number(wanted, "delay", 0));
        pthread_mutex_lock(&consumer->mutex);
        *consumer->last = due;
        consumer->last = &due->next;
        pthread_cond_broadcast(&consumer->changed);
        pthread_mutex_unlock(&consumer->mutex);
        return;
    }
    pause_for(number(wanted, "delay", 0));
    answer_for(consumer, event, before);
}

static void *work(void *data) {
    struct consumer *consumer = (struct consumer *)data;
    mq_event *event = NULL;
    mq_error *error;
    size_t count = 0;
    while ((error = mq_queue_poll(consumer->queue, &event, 1, -1, &count)) == NULL) {
        if (count == 0) {
            continue;
        }
        if (mq_event_kind(event) == MQ_EVENT_MESSAGE) {
            listen_to(consumer, event);
        } else if (mq_event_kind(event) == MQ_EVENT_WARNING) {
            tell_warning(consumer, event);
        }
        mq_event_free(event);
    }
    mq_error_free(error); /* closed */
    return NULL;
}

/* The one thread that answers for all messages of an asynchronous listener, each when it is due. */
static void *answer_when_due(void *data) {
    struct consumer *consumer = (struct consumer *)data;
    pthread_mutex_lock(&consumer->mutex);
    while (!consumer->closed || consumer->first != NULL) {
        struct due *due = consumer->first;
        if (due == NULL) {
            pthread_cond_wait(&consumer->changed, &consumer->mutex);
            continue;
        }
        if (!consumer->closed) {
            struct timespec now = in_millis(0);
            bool is_due =
                now.tv_sec > due->at.tv_sec || (now.tv_sec == due->at.tv_sec && now.tv_nsec >= due->at.tv_nsec);
            if (!is_due) {
                pthread_cond_timedwait(&consumer->changed, &consumer->mutex, &due->at);
                continue;
            }
        }
        consumer->first = due->next;
        if (consumer->first == NULL) {
            consumer->last = &consumer->first;
        }
        pthread_mutex_unlock(&consumer->mutex);
        note(mq_push_consumer_reply(consumer->consumer, due->token, MQ_CONSUME_SUCCESS, 0));
        free(due);
        pthread_mutex_lock(&consumer->mutex);
    }
    pthread_mutex_unlock(&consumer->mutex);
    return NULL;
}

/* Tells from time to time how many messages a quiet consumer got. */
static void *report(void *data) {
    struct consumer *consumer = (struct consumer *)data;
    long long told = 0;
    pthread_mutex_lock(&consumer->mutex);
    while (!consumer->closed) {
        struct timespec at = in_millis(200);
        pthread_cond_timedwait(&consumer->changed, &consumer->mutex, &at);
        if (consumer->received != told) {
            cJSON *line = cJSON_CreateObject();
            told = consumer->received;
            cJSON_AddStringToObject(line, "event", "count");
            cJSON_AddStringToObject(line, "consumer", consumer->name);
            cJSON_AddNumberToObject(line, "received", (double)told);
            say(line);
        }
    }
    pthread_mutex_unlock(&consumer->mutex);
    return NULL;
}

static void begin(pthread_t *thread, void *(*run)(void *), struct consumer *consumer) {
    if (pthread_create(thread, NULL, run, consumer) != 0) {
        abort();
    }
}

static void begin_threads(struct consumer *consumer) {
    int i;
    for (i = 0; i < THREADS; i++) {
        begin(&consumer->workers[i], work, consumer);
    }
    if (consumer->answers_later) {
        begin(&consumer->answerer, answer_when_due, consumer);
    }
    if (consumer->reports) {
        begin(&consumer->reporter, report, consumer);
    }
}

/* Ends the threads, once. */
static void end_threads(struct consumer *consumer) {
    bool joined;
    int i;
    pthread_mutex_lock(&consumer->mutex);
    joined = consumer->joined;
    consumer->closed = consumer->joined = true;
    pthread_cond_broadcast(&consumer->changed);
    pthread_mutex_unlock(&consumer->mutex);
    if (joined) {
        return;
    }
    mq_error_free(mq_queue_close(consumer->queue));
    for (i = 0; i < THREADS; i++) {
        pthread_join(consumer->workers[i], NULL);
    }
    if (consumer->answers_later) {
        pthread_join(consumer->answerer, NULL);
    }
    if (consumer->reports) {
        pthread_join(consumer->reporter, NULL);
    }
}

static void release(struct consumer *consumer) {
    mq_push_consumer_free(consumer->consumer);
    mq_queue_free(consumer->queue);
    while (consumer->seen != NULL) {
        struct seen *seen = *(struct seen **)consumer->seen;
        tdelete(seen, &consumer->seen, compare);
        free(seen->id);
        free(seen);
    }
    pthread_mutex_destroy(&consumer->mutex);
    pthread_cond_destroy(&consumer->changed);
    cJSON_Delete(consumer->behaviour);
    free(consumer->name);
    free(consumer);
}

void end_consumer(void *data) {
    struct consumer *consumer = (struct consumer *)data;
    mq_error_free(mq_push_consumer_close(consumer->consumer, 2000));
    end_threads(consumer);
    release(consumer);
}

static struct consumer *new_consumer(const cJSON *request, mq_client *client, mq_config *config,
                                     struct answer *answer) {
    struct consumer *consumer = (struct consumer *)room(1, sizeof *consumer);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&consumer->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&consumer->mutex, NULL);
    consumer->last = &consumer->first;
    consumer->name = copy_of(text(request, "consumer"));
    consumer->behaviour = cJSON_Duplicate(list(request, "behaviour"), true);
    consumer->answers_later = is_set(consumer->behaviour, "async");
    consumer->reports = is_set(consumer->behaviour, "quiet");
    consumer->counts = number(consumer->behaviour, "throw_first", 0) > 0 ||
                       number(consumer->behaviour, "suspend_first", 0) > 0 ||
                       number(consumer->behaviour, "later_first", 0) > 0;
    consumer->queue = mq_queue_new();
    if (failed(answer, mq_push_consumer_new(client, config, consumer->queue, 1, &consumer->consumer))) {
        release(consumer);
        return NULL;
    }
    return consumer;
}

void consumer_open(const cJSON *request, struct answer *answer) {
    mq_client *client = (mq_client *)handle(CLIENT, request, answer);
    mq_config *config = client != NULL ? config_of(request, answer) : NULL;
    struct consumer *consumer = NULL;
    const cJSON *item;
    mq_error *error = NULL;
    if (config == NULL) {
        return;
    }
    if (!failed(answer, mq_config_set(config, MQ_TEXT("group"), text(request, "group"), MQ_CSTR))) {
        consumer = new_consumer(request, client, config, answer);
    }
    mq_config_free(config);
    if (consumer == NULL) {
        return;
    }
    cJSON_ArrayForEach(item, list(request, "subscriptions")) {
        if (error == NULL) {
            error = mq_push_consumer_subscribe(consumer->consumer, item->string, MQ_CSTR, item->valuestring, MQ_CSTR);
        }
    }
    begin_threads(consumer);
    if (error == NULL) {
        error = mq_push_consumer_start(consumer->consumer, 0);
    }
    if (failed(answer, error)) {
        end_consumer(consumer);
    } else {
        keep(CONSUMER, consumer->name, consumer);
    }
}

static struct consumer *consumer_of(const cJSON *request, struct answer *answer) {
    return (struct consumer *)handle(CONSUMER, request, answer);
}

void consumer_subscribe(const cJSON *request, struct answer *answer) {
    struct consumer *consumer = consumer_of(request, answer);
    if (consumer != NULL) {
        failed(answer, mq_push_consumer_subscribe(consumer->consumer, text(request, "topic"), MQ_CSTR,
                                                  text(request, "expression"), MQ_CSTR));
    }
}

void consumer_unsubscribe(const cJSON *request, struct answer *answer) {
    struct consumer *consumer = consumer_of(request, answer);
    if (consumer != NULL) {
        failed(answer, mq_push_consumer_unsubscribe(consumer->consumer, text(request, "topic"), MQ_CSTR));
    }
}

void consumer_suspend(const cJSON *request, struct answer *answer) {
    struct consumer *consumer = consumer_of(request, answer);
    if (consumer != NULL) {
        failed(answer, mq_push_consumer_suspend(consumer->consumer));
    }
}

void consumer_resume(const cJSON *request, struct answer *answer) {
    struct consumer *consumer = consumer_of(request, answer);
    if (consumer != NULL) {
        failed(answer, mq_push_consumer_resume(consumer->consumer));
    }
}

void consumer_close(const cJSON *request, struct answer *answer) {
    struct consumer *consumer = consumer_of(request, answer);
    if (consumer != NULL) {
        failed(answer, mq_push_consumer_close(consumer->consumer, 0));
        end_threads(consumer);
    }
}
