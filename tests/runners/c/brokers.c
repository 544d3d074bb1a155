/* The broker inside this process: its life, its faults, its clock. */
#include "runner.h"

#include <string.h>

static void place(const mq_broker *broker, struct answer *answer) {
    cJSON_AddStringToObject(answer->ok, "address", mq_broker_address(broker, NULL));
    cJSON_AddStringToObject(answer->ok, "broker_address", mq_broker_listen_address(broker, NULL));
    cJSON_AddStringToObject(answer->ok, "data", mq_broker_data_dir(broker, NULL));
}

void broker_start(const cJSON *request, struct answer *answer) {
    mq_config *config = config_of(request, answer);
    const char *data = text(request, "data");
    mq_error *error = NULL;
    mq_broker *broker = NULL;
    if (config == NULL) {
        return;
    }
    if (data != NULL) {
        error = mq_config_set(config, MQ_TEXT("data_dir"), data, MQ_CSTR);
    }
    if (error == NULL) {
        error = mq_broker_start(config, &broker);
    }
    mq_config_free(config);
    if (!failed(answer, error)) {
        keep(BROKER, text(request, "broker"), broker);
        place(broker, answer);
    }
}

static mq_broker *broker_of(const cJSON *request, struct answer *answer) {
    return (mq_broker *)handle(BROKER, request, answer);
}

void broker_create_topic(const cJSON *request, struct answer *answer) {
    mq_broker *broker = broker_of(request, answer);
    if (broker != NULL) {
        int32_t queues = (int32_t)number(request, "queues", 4);
        failed(answer, mq_broker_create_topic(broker, text(request, "topic"), MQ_CSTR, queues));
    }
}

void broker_kill(const cJSON *request, struct answer *answer) {
    mq_broker *broker = broker_of(request, answer);
    if (broker != NULL) {
        failed(answer, mq_broker_kill(broker));
    }
}

void broker_restart(const cJSON *request, struct answer *answer) {
    mq_broker *broker = broker_of(request, answer);
    if (broker != NULL && !failed(answer, mq_broker_restart(broker))) {
        place(broker, answer);
    }
}

void broker_stop(const cJSON *request, struct answer *answer) {
    mq_broker *broker = broker_of(request, answer);
    if (broker != NULL) {
        failed(answer, mq_broker_stop(broker, 0));
    }
}

void broker_fault(const cJSON *request, struct answer *answer) {
    mq_broker *broker = broker_of(request, answer);
    const char *kind = text(request, "kind");
    const char *asked = text(request, "request");
    uint32_t times = (uint32_t)number(request, "times", 1);
    if (broker == NULL) {
        return;
    }
    if (kind != NULL && strcmp(kind, "fail") == 0) {
        failed(answer, mq_broker_fail_next(broker, asked, MQ_CSTR, text(request, "code"), MQ_CSTR, times));
    } else if (kind != NULL && strcmp(kind, "delay") == 0) {
        failed(answer, mq_broker_delay_next(broker, asked, MQ_CSTR, number(request, "delay", 0), times));
    } else if (kind != NULL && strcmp(kind, "drop") == 0) {
        failed(answer, mq_broker_drop_next(broker, asked, MQ_CSTR, times));
    } else if (kind != NULL && strcmp(kind, "lose_answer") == 0) {
        failed(answer, mq_broker_lose_answer_next(broker, asked, MQ_CSTR, times));
    } else {
        refuse(answer, "there is no fault of the kind", kind);
    }
}

void broker_refuse_connections(const cJSON *request, struct answer *answer) {
    mq_broker *broker = broker_of(request, answer);
    if (broker != NULL) {
        failed(answer, mq_broker_refuse_connections(broker, is_set(request, "refuse")));
    }
}

void broker_clear_faults(const cJSON *request, struct answer *answer) {
    mq_broker *broker = broker_of(request, answer);
    if (broker != NULL) {
        failed(answer, mq_broker_clear_faults(broker));
    }
}

void broker_advance_clock(const cJSON *request, struct answer *answer) {
    mq_broker *broker = broker_of(request, answer);
    int64_t now = 0;
    if (broker != NULL && !failed(answer, mq_broker_advance_clock(broker, number(request, "by", 0))) &&
        !failed(answer, mq_broker_clock(broker, &now))) {
        cJSON_AddNumberToObject(answer->ok, "now", (double)now);
    }
}
