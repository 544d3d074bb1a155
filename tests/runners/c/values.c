/* Values: JSON of requests and answers, and what libmq makes and takes of it. */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *room(size_t count, size_t size) {
    void *made = calloc(count > 0 ? count : 1, size);
    if (made == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return made;
}

char *copy_of(const char *text) {
    size_t len = strlen(text) + 1;
    return memcpy(room(len, 1), text, len);
}

const char *text(const cJSON *fields, const char *name) {
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(fields, name));
}

const cJSON *list(const cJSON *fields, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(fields, name);
}

long long number(const cJSON *fields, const char *name, long long otherwise) {
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(fields, name);
    return cJSON_IsNumber(found) ? (long long)found->valuedouble : otherwise;
}

bool is_set(const cJSON *fields, const char *name) {
    return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(fields, name));
}

void say(cJSON *line) {
    static pthread_mutex_t output = PTHREAD_MUTEX_INITIALIZER;
    char *written = cJSON_PrintUnformatted(line);
    cJSON_Delete(line);
    pthread_mutex_lock(&output);
    puts(written);
    fflush(stdout);
    pthread_mutex_unlock(&output);
    cJSON_free(written);
}

bool tells(struct answer *answer, const mq_error *error) {
    cJSON *fields;
    int32_t broker_code;
    if (error == NULL) {
        return false;
    }
    fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "code", mq_error_name(error));
    cJSON_AddStringToObject(fields, "message", mq_error_message(error, NULL));
    cJSON_AddBoolToObject(fields, "retryable", mq_error_retryable(error));
    cJSON_AddBoolToObject(fields, "throttled", mq_error_throttled(error));
    broker_code = mq_error_broker_code(error);
    cJSON_AddItemToObject(fields, "broker_code",
                          broker_code >= 0 ? cJSON_CreateNumber(broker_code) : cJSON_CreateNull());
    cJSON_AddStringToObject(fields, "class", "mq_error");
    cJSON_Delete(answer->error);
    answer->error = fields;
    return true;
}

bool failed(struct answer *answer, mq_error *error) {
    bool told = tells(answer, error);
    mq_error_free(error);
    return told;
}

void refuse(struct answer *answer, const char *what, const char *value) {
    char said[256];
    snprintf(said, sizeof said, "%s '%s'", what, value != NULL ? value : "");
    cJSON_Delete(answer->error);
    answer->error = cJSON_CreateObject();
    cJSON_AddStringToObject(answer->error, "code", "RUNNER");
    cJSON_AddStringToObject(answer->error, "message", said);
}

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static char *encoded(const uint8_t *bytes, size_t len) {
    char *encoded = (char *)room((len + 2) / 3 * 4 + 1, 1);
    char *to = encoded;
    size_t at, i;
    for (at = 0; at < len; at += 3) {
        uint32_t group = 0;
        for (i = 0; i < 3; i++) {
            group = group << 8 | (at + i < len ? bytes[at + i] : 0U);
        }
        for (i = 0; i < 4; i++) {
            *to++ = at + i <= len ? ALPHABET[group >> (18 - 6 * i) & 63U] : '=';
        }
    }
    return encoded;
}

static uint8_t *decoded(const char *encoded, size_t *len) {
    uint8_t *bytes = (uint8_t *)room(strlen(encoded) / 4 * 3 + 3, 1);
    uint32_t bits = 0;
    int count = 0;
    *len = 0;
    for (; *encoded != '\0' && *encoded != '='; encoded++) {
        const char *letter = strchr(ALPHABET, *encoded);
        if (letter == NULL) {
            break;
        }
        bits = bits << 6 | (uint32_t)(letter - ALPHABET);
        count += 6;
        if (count >= 8) {
            count -= 8;
            bytes[(*len)++] = (uint8_t)(bits >> count);
        }
    }
    return bytes;
}

mq_config *config_of(const cJSON *request, struct answer *answer) {
    mq_config *config = mq_config_new();
    const cJSON *setting;
    cJSON_ArrayForEach(setting, list(request, "settings")) {
        const char *value = cJSON_GetStringValue(setting);
        if (failed(answer, mq_config_set(config, setting->string, MQ_CSTR, value != NULL ? value : "", MQ_CSTR))) {
            mq_config_free(config);
            return NULL;
        }
    }
    return config;
}

mq_message *message_of(const cJSON *fields, const char *topic, struct answer *answer) {
    const char *body = text(fields, "body");
    const char *tag = text(fields, "tag");
    const char *group = text(fields, "message_group");
    const cJSON *item;
    mq_message *message = NULL;
    size_t len = 0;
    uint8_t *bytes = decoded(body != NULL ? body : "", &len);
    mq_error *error = mq_message_new(topic != NULL ? topic : "", MQ_CSTR, bytes, len, &message);
    free(bytes);
    if (error == NULL && tag != NULL) {
        error = mq_message_set_tag(message, tag, MQ_CSTR);
    }
    cJSON_ArrayForEach(item, list(fields, "keys")) {
        if (error == NULL) {
            error = mq_message_add_key(message, item->valuestring, MQ_CSTR);
        }
    }
    cJSON_ArrayForEach(item, list(fields, "properties")) {
        if (error == NULL) {
            error = mq_message_set_property(message, item->string, MQ_CSTR, item->valuestring, MQ_CSTR);
        }
    }
    if (error == NULL && group != NULL) {
        error = mq_message_set_group(message, group, MQ_CSTR);
    }
    if (error == NULL && list(fields, "delay_level") != NULL) {
        error = mq_message_set_delay_level(message, (int32_t)number(fields, "delay_level", 0));
    }
    if (error == NULL && cJSON_IsFalse(list(fields, "wait_store"))) {
        error = mq_message_set_wait_store(message, 0);
    }
    if (failed(answer, error)) {
        mq_message_free(message);
        return NULL;
    }
    return message;
}

mq_message_queues *queues_of(const cJSON *queues, struct answer *answer) {
    mq_message_queues *made = mq_message_queues_new();
    const cJSON *queue;
    cJSON_ArrayForEach(queue, queues) {
        if (failed(answer, mq_message_queues_add(made, text(queue, "topic"), MQ_CSTR, text(queue, "broker_name"),
                                                 MQ_CSTR, (int32_t)number(queue, "queue_id", -1)))) {
            mq_message_queues_free(made);
            return NULL;
        }
    }
    return made;
}

cJSON *queues_json(const mq_message_queues *queues) {
    cJSON *all = cJSON_CreateArray();
    size_t i;
    for (i = 0; i < mq_message_queues_count(queues); i++) {
        cJSON *queue = cJSON_CreateObject();
        cJSON_AddStringToObject(queue, "topic", mq_message_queues_topic(queues, i, NULL));
        cJSON_AddStringToObject(queue, "broker_name", mq_message_queues_broker_name(queues, i, NULL));
        cJSON_AddNumberToObject(queue, "queue_id", mq_message_queues_id(queues, i));
        cJSON_AddItemToArray(all, queue);
    }
    return all;
}

cJSON *receipt_json(const mq_receipt *receipt) {
    static const char *const names[] = {"Ok", "FlushDiskTimeout", "FlushSlaveTimeout", "SlaveNotAvailable"};
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "message_id", mq_receipt_message_id(receipt, NULL));
    cJSON_AddStringToObject(fields, "offset_message_id", mq_receipt_offset_message_id(receipt, NULL));
    cJSON_AddNumberToObject(fields, "queue_id", mq_receipt_queue_id(receipt));
    cJSON_AddNumberToObject(fields, "queue_offset", (double)mq_receipt_queue_offset(receipt));
    cJSON_AddStringToObject(fields, "status", names[mq_receipt_status(receipt)]);
    return fields;
}

static void add_text(cJSON *fields, const char *name, const char *value) {
    if (value != NULL) {
        cJSON_AddStringToObject(fields, name, value);
    }
}

cJSON *view_json(const mq_message_view *view) {
    cJSON *fields = cJSON_CreateObject();
    cJSON *keys = cJSON_AddArrayToObject(fields, "keys");
    cJSON *properties = cJSON_AddObjectToObject(fields, "properties");
    size_t len = 0, i;
    const uint8_t *body = mq_message_view_body(view, &len);
    char *letters = encoded(body, len);
    cJSON_AddStringToObject(fields, "topic", mq_message_view_topic(view, NULL));
    cJSON_AddStringToObject(fields, "body", letters);
    free(letters);
    add_text(fields, "tag", mq_message_view_tag(view, NULL));
    add_text(fields, "message_group", mq_message_view_group(view, NULL));
    for (i = 0; i < mq_message_view_key_count(view); i++) {
        cJSON_AddItemToArray(keys, cJSON_CreateString(mq_message_view_key(view, i, NULL)));
    }
    for (i = 0; i < mq_message_view_property_count(view); i++) {
        cJSON_AddStringToObject(properties, mq_message_view_property_name(view, i, NULL),
                                mq_message_view_property_value(view, i, NULL));
    }
    cJSON_AddStringToObject(fields, "message_id", mq_message_view_message_id(view, NULL));
    cJSON_AddStringToObject(fields, "offset_message_id", mq_message_view_offset_message_id(view, NULL));
    cJSON_AddNumberToObject(fields, "queue_id", mq_message_view_queue_id(view));
    cJSON_AddNumberToObject(fields, "queue_offset", (double)mq_message_view_queue_offset(view));
    cJSON_AddStringToObject(fields, "broker_name", mq_message_view_broker_name(view, NULL));
    cJSON_AddNumberToObject(fields, "born_timestamp", (double)mq_message_view_born_timestamp(view));
    cJSON_AddNumberToObject(fields, "store_timestamp", (double)mq_message_view_store_timestamp(view));
    cJSON_AddNumberToObject(fields, "delivery_attempt", mq_message_view_delivery_attempt(view));
    return fields;
}

cJSON *views_json(const mq_event *event) {
    cJSON *all = cJSON_CreateArray();
    size_t i;
    for (i = 0; i < mq_event_message_count(event); i++) {
        cJSON_AddItemToArray(all, view_json(mq_event_message(event, i)));
    }
    return all;
}

mq_event *result_of(mq_queue *queue, mq_error *error, struct answer *answer) {
    mq_event *event = NULL;
    size_t count = 0;
    while (error == NULL && count == 0) {
        error = mq_queue_poll(queue, &event, 1, -1, &count);
    }
    if (failed(answer, error)) {
        event = NULL;
    } else if (tells(answer, mq_event_error(event))) {
        mq_event_free(event);
        event = NULL;
    }
    mq_queue_free(queue);
    return event;
}
