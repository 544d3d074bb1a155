/* Pull consumers and dead letters: what an application asks for itself. */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

/* A pull consumer, and the thread that tells of changes of its queues. */
struct puller {
    mq_pull_consumer *consumer;
    mq_queue *changes;
    pthread_t teller;
    char *name;
};

static void *tell_changes(void *data) {
    struct puller *puller = (struct puller *)data;
    mq_event *event = NULL;
    mq_error *error;
    size_t count = 0;
    while ((error = mq_queue_poll(puller->changes, &event, 1, -1, &count)) == NULL) {
        if (count == 1) {
            cJSON *line = cJSON_CreateObject();
            cJSON_AddStringToObject(line, "event", "queues");
            cJSON_AddStringToObject(line, "consumer", puller->name);
            cJSON_AddItemToObject(line, "queues", queues_json(mq_event_assigned(event)));
            say(line);
            mq_event_free(event);
        }
    }
    mq_error_free(error); /* closed */
    return NULL;
}

void end_puller(void *data) {
    struct puller *puller = (struct puller *)data;
    mq_pull_consumer_free(puller->consumer);
    mq_error_free(mq_queue_close(puller->changes));
    pthread_join(puller->teller, NULL);
    mq_queue_free(puller->changes);
    free(puller->name);
    free(puller);
}

static mq_pull_consumer *new_consumer(const cJSON *request, struct answer *answer) {
    mq_client *client = (mq_client *)handle(CLIENT, request, answer);
    mq_config *config = client != NULL ? config_of(request, answer) : NULL;
    mq_pull_consumer *consumer = NULL;
    if (config == NULL) {
        return NULL;
    }
    if (!failed(answer, mq_config_set(config, MQ_TEXT("group"), text(request, "group"), MQ_CSTR))) {
        failed(answer, mq_pull_consumer_new(client, config, &consumer));
    }
    mq_config_free(config);
    return consumer;
}

void pull_open(const cJSON *request, struct answer *answer) {
    mq_pull_consumer *consumer = new_consumer(request, answer);
    const cJSON *item;
    struct puller *puller;
    mq_error *error = NULL;
    if (consumer == NULL) {
        return;
    }
    puller = (struct puller *)room(1, sizeof *puller);
    puller->consumer = consumer;
    puller->changes = mq_queue_new();
    puller->name = copy_of(text(request, "consumer"));
    if (pthread_create(&puller->teller, NULL, tell_changes, puller) != 0) {
        abort();
    }
    cJSON_ArrayForEach(item, list(request, "subscriptions")) {
        if (error == NULL) {
            error = mq_pull_consumer_subscribe(consumer, item->string, MQ_CSTR, item->valuestring, MQ_CSTR);
        }
    }
    if (error == NULL) {
        error = mq_pull_consumer_start(consumer, 0);
    }
    cJSON_ArrayForEach(item, list(request, "subscriptions")) {
        if (error == NULL) {
            error = mq_pull_consumer_watch_queues(consumer, item->string, MQ_CSTR, puller->changes, 1);
        }
    }
    if (failed(answer, error)) {
        end_puller(puller);
    } else {
        keep(PULLER, puller->name, puller);
    }
}

static mq_pull_consumer *consumer_of(const cJSON *request, struct answer *answer) {
    struct puller *puller = (struct puller *)handle(PULLER, request, answer);
    return puller != NULL ? puller->consumer : NULL;
}

void pull_assign(const cJSON *request, struct answer *answer) {
    mq_pull_consumer *consumer = consumer_of(request, answer);
    mq_message_queues *queues = consumer != NULL ? queues_of(list(request, "queues"), answer) : NULL;
    if (queues != NULL) {
        failed(answer, mq_pull_consumer_assign(consumer, queues));
        mq_message_queues_free(queues);
    }
}

static void add_queues(mq_error *error, mq_message_queues *queues, struct answer *answer) {
    if (!failed(answer, error)) {
        cJSON_AddItemToObject(answer->ok, "queues", queues_json(queues));
        mq_message_queues_free(queues);
    }
}

void pull_queues(const cJSON *request, struct answer *answer) {
    mq_pull_consumer *consumer = consumer_of(request, answer);
    mq_message_queues *queues = NULL;
    if (consumer != NULL) {
        mq_error *error = mq_pull_consumer_queues(consumer, text(request, "topic"), MQ_CSTR, &queues);
        add_queues(error, queues, answer);
    }
}

void pull_assignment(const cJSON *request, struct answer *answer) {
    mq_pull_consumer *consumer = consumer_of(request, answer);
    mq_message_queues *queues = NULL;
    if (consumer != NULL) {
        mq_error *error = mq_pull_consumer_assignment(consumer, &queues);
        add_queues(error, queues, answer);
    }
}

void pull_poll(const cJSON *request, struct answer *answer) {
    mq_pull_consumer *consumer = consumer_of(request, answer);
    const char *mode = text(request, "mode");
    long long timeout = number(request, "timeout", -1);
    mq_event *event = NULL;
    if (consumer == NULL) {
        return;
    }
    if (mode != NULL && strcmp(mode, "async") == 0) {
        mq_queue *queue = mq_queue_new();
        event = result_of(queue, mq_pull_consumer_poll_async(consumer, timeout, queue, 1), answer);
    } else if (failed(answer, mq_pull_consumer_poll(consumer, timeout, &event))) {
        event = NULL;
    }
    if (event != NULL) {
        cJSON_AddItemToObject(answer->ok, "messages", views_json(event));
        mq_event_free(event);
    }
}

/* The parts of a queue that a request names, in the order in which the library takes them. */
#define PARTS(queue)                                                                                                   \
    text(queue, "topic"), MQ_CSTR, text(queue, "broker_name"), MQ_CSTR, (int32_t)number(queue, "queue_id", -1)

void pull_seek(const cJSON *request, struct answer *answer) {
    mq_pull_consumer *consumer = consumer_of(request, answer);
    const cJSON *queue = list(request, "queue");
    const char *to = text(request, "to");
    const cJSON *time = cJSON_GetObjectItemCaseSensitive(list(request, "to"), "time");
    int32_t whence = time != NULL               ? MQ_SEEK_TIME
                     : to == NULL               ? MQ_SEEK_OFFSET
                     : strcmp(to, "begin") == 0 ? MQ_SEEK_BEGIN
                                                : MQ_SEEK_END;
    int64_t value = time != NULL ? number(list(request, "to"), "time", 0) : number(request, "to", 0);
    if (consumer != NULL) {
        failed(answer, mq_pull_consumer_seek(consumer, PARTS(queue), whence, value));
    }
}

static void add_offset(mq_error *error, int64_t offset, struct answer *answer) {
    if (!failed(answer, error)) {
        cJSON *value = offset >= 0 ? cJSON_CreateNumber((double)offset) : cJSON_CreateNull();
        cJSON_AddItemToObject(answer->ok, "offset", value);
    }
}

void pull_offset_for_time(const cJSON *request, struct answer *answer) {
    mq_pull_consumer *consumer = consumer_of(request, answer);
    const cJSON *queue = list(request, "queue");
    int64_t offset = -1;
    if (consumer != NULL) {
        int64_t time = number(request, "timestamp", 0);
        mq_error *error = mq_pull_consumer_offset_for_timestamp(consumer, PARTS(queue), time, &offset);
        add_offset(error, offset, answer);
    }
}

void pull_committed(const cJSON *request, struct answer *answer) {
    mq_pull_consumer *consumer = consumer_of(request, answer);
    const cJSON *queue = list(request, "queue");
    int64_t offset = -1;
    if (consumer != NULL) {
        mq_error *error = mq_pull_consumer_committed(consumer, PARTS(queue), &offset);
        add_offset(error, offset, answer);
    }
}

void pull_position(const cJSON *request, struct answer *answer) {
    mq_pull_consumer *consumer = consumer_of(request, answer);
    const cJSON *queue = list(request, "queue");
    int64_t offset = -1;
    if (consumer != NULL) {
        mq_error *error = mq_pull_consumer_position(consumer, PARTS(queue), &offset);
        add_offset(error, offset, answer);
    }
}

typedef mq_error *pausing(mq_pull_consumer *consumer, const mq_message_queues *queues);

static void pause_or_resume(const cJSON *request, struct answer *answer, pausing *call) {
    mq_pull_consumer *consumer = consumer_of(request, answer);
    mq_message_queues *queues = consumer != NULL ? queues_of(list(request, "queues"), answer) : NULL;
    if (queues != NULL) {
        failed(answer, call(consumer, queues));
        mq_message_queues_free(queues);
    }
}

void pull_pause(const cJSON *request, struct answer *answer) {
    pause_or_resume(request, answer, mq_pull_consumer_pause);
}

void pull_resume(const cJSON *request, struct answer *answer) {
    pause_or_resume(request, answer, mq_pull_consumer_resume);
}

void pull_commit(const cJSON *request, struct answer *answer) {
    mq_pull_consumer *consumer = consumer_of(request, answer);
    const cJSON *given = list(request, "offsets");
    const cJSON *one;
    mq_message_queues *queues;
    int64_t *offsets;
    mq_error *error = NULL;
    size_t count = 0;
    if (consumer == NULL) {
        return;
    }
    if (given == NULL) {
        failed(answer, mq_pull_consumer_commit(consumer));
        return;
    }
    queues = mq_message_queues_new();
    offsets = (int64_t *)room((size_t)cJSON_GetArraySize(given), sizeof *offsets);
    cJSON_ArrayForEach(one, given) {
        if (error == NULL) {
            error = mq_message_queues_add(queues, PARTS(list(one, "queue")));
            offsets[count++] = number(one, "offset", -1);
        }
    }
    if (error == NULL) {
        error = mq_pull_consumer_commit_offsets(consumer, queues, offsets, count);
    }
    failed(answer, error);
    free(offsets);
    mq_message_queues_free(queues);
}

void pull_close(const cJSON *request, struct answer *answer) {
    mq_pull_consumer *consumer = consumer_of(request, answer);
    if (consumer != NULL) {
        failed(answer, mq_pull_consumer_close(consumer, 0));
    }
}

/* Reads dead letters of a group; the reader is freed by the caller. */
static mq_event *read_letters(const cJSON *request, struct answer *answer, mq_dead_letters **letters) {
    mq_client *client = (mq_client *)handle(CLIENT, request, answer);
    mq_event *event = NULL;
    if (client == NULL || failed(answer, mq_dead_letters_new(client, text(request, "group"), MQ_CSTR, letters)) ||
        failed(answer, mq_dead_letters_read(*letters, (size_t)number(request, "max", 32), &event))) {
        return NULL;
    }
    return event;
}

void dead_letters_read(const cJSON *request, struct answer *answer) {
    mq_dead_letters *letters = NULL;
    mq_event *event = read_letters(request, answer, &letters);
    if (event != NULL) {
        cJSON_AddItemToObject(answer->ok, "messages", views_json(event));
        mq_event_free(event);
    }
    mq_dead_letters_free(letters);
}

void dead_letters_resend(const cJSON *request, struct answer *answer) {
    mq_dead_letters *letters = NULL;
    mq_event *event = read_letters(request, answer, &letters);
    if (event != NULL) {
        cJSON *receipts = cJSON_AddArrayToObject(answer->ok, "receipts");
        size_t i;
        for (i = 0; i < mq_event_message_count(event); i++) {
            mq_receipt *receipt = NULL;
            if (failed(answer, mq_dead_letters_resend(letters, mq_event_message(event, i), &receipt))) {
                break;
            }
            cJSON_AddItemToArray(receipts, receipt_json(receipt));
            mq_receipt_free(receipt);
        }
        mq_event_free(event);
    }
    mq_dead_letters_free(letters);
}
