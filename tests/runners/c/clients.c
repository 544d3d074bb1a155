/* Clients, producers that are opened and closed, and what the library logs. */
#include "runner.h"

#include <stdlib.h>
#include <string.h>

void client_open(const cJSON *request, struct answer *answer) {
    mq_config *config = config_of(request, answer);
    mq_client *client = NULL;
    if (config == NULL) {
        return;
    }
    if (!failed(answer, mq_config_set(config, MQ_TEXT("namesrv"), text(request, "namesrv"), MQ_CSTR)) &&
        !failed(answer, mq_client_new(config, &client))) {
        keep(CLIENT, text(request, "client"), client);
    }
    mq_config_free(config);
}

void client_close(const cJSON *request, struct answer *answer) {
    mq_client *client = (mq_client *)handle(CLIENT, request, answer);
    if (client != NULL) {
        failed(answer, mq_client_close(client, 0));
    }
}

void producer_open(const cJSON *request, struct answer *answer) {
    mq_client *client = (mq_client *)handle(CLIENT, request, answer);
    mq_config *config = client != NULL ? config_of(request, answer) : NULL;
    mq_producer *producer = NULL;
    if (config == NULL) {
        return;
    }
    if (!failed(answer, mq_config_set(config, MQ_TEXT("group"), text(request, "group"), MQ_CSTR)) &&
        !failed(answer, mq_producer_new(client, config, &producer))) {
        keep(PRODUCER, text(request, "producer"), producer);
    }
    mq_config_free(config);
}

void producer_close(const cJSON *request, struct answer *answer) {
    mq_producer *producer = (mq_producer *)handle(PRODUCER, request, answer);
    if (producer != NULL) {
        failed(answer, mq_producer_close(producer, 0));
    }
}

static const char *const LEVELS[] = {"OFF", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"};

static mq_queue *log_lines;
static pthread_t log_teller;

static void *tell_log(void *unused) {
    mq_event *events[64];
    mq_error *error;
    size_t count = 0, i;
    (void)unused;
    while ((error = mq_queue_poll(log_lines, events, 64, -1, &count)) == NULL) {
        for (i = 0; i < count; i++) {
            cJSON *line = cJSON_CreateObject();
            cJSON_AddStringToObject(line, "event", "log");
            cJSON_AddStringToObject(line, "level", LEVELS[mq_event_log_level(events[i])]);
            cJSON_AddStringToObject(line, "target", mq_event_log_target(events[i], NULL));
            cJSON_AddStringToObject(line, "message", mq_event_log_message(events[i], NULL));
            say(line);
            mq_event_free(events[i]);
        }
    }
    mq_error_free(error); /* closed */
    return NULL;
}

void log_hook(const cJSON *request, struct answer *answer) {
    const char *level = text(request, "level");
    int32_t found = MQ_LOG_TRACE;
    while (found > MQ_LOG_OFF && (level == NULL || strcmp(LEVELS[found], level) != 0)) {
        found--;
    }
    if (log_lines == NULL) {
        log_lines = mq_queue_new();
        if (pthread_create(&log_teller, NULL, tell_log, NULL) != 0) {
            abort();
        }
    }
    failed(answer, mq_log_set_queue(log_lines, found));
}

void end_log(void) {
    if (log_lines != NULL) {
        mq_error_free(mq_log_set_queue(NULL, MQ_LOG_OFF));
        mq_error_free(mq_queue_close(log_lines));
        pthread_join(log_teller, NULL);
        mq_queue_free(log_lines);
    }
}
