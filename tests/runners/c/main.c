/* The C scenario runner: requests come as lines, each is answered on a thread of its own. */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    operation *run;
} operations[] = {
    {"client.open", client_open},
    {"client.close", client_close},
    {"producer.open", producer_open},
    {"producer.close", producer_close},
    {"producer.queues", producer_queues},
    {"send", send_one},
    {"send_list", send_list},
    {"send_split", send_split},
    {"send_file", send_file},
    {"send_load", send_load},
    {"fork", fork_and_send},
    {"consumer.open", consumer_open},
    {"consumer.subscribe", consumer_subscribe},
    {"consumer.unsubscribe", consumer_unsubscribe},
    {"consumer.suspend", consumer_suspend},
    {"consumer.resume", consumer_resume},
    {"consumer.close", consumer_close},
    {"pull.open", pull_open},
    {"pull.assign", pull_assign},
    {"pull.queues", pull_queues},
    {"pull.assignment", pull_assignment},
    {"pull.poll", pull_poll},
    {"pull.seek", pull_seek},
    {"pull.offset_for_time", pull_offset_for_time},
    {"pull.pause", pull_pause},
    {"pull.resume", pull_resume},
    {"pull.commit", pull_commit},
    {"pull.committed", pull_committed},
    {"pull.position", pull_position},
    {"pull.close", pull_close},
    {"dead_letters.read", dead_letters_read},
    {"dead_letters.resend", dead_letters_resend},
    {"broker.start", broker_start},
    {"broker.create_topic", broker_create_topic},
    {"broker.kill", broker_kill},
    {"broker.restart", broker_restart},
    {"broker.stop", broker_stop},
    {"broker.fault", broker_fault},
    {"broker.refuse_connections", broker_refuse_connections},
    {"broker.clear_faults", broker_clear_faults},
    {"broker.advance_clock", broker_advance_clock},
    {"log.hook", log_hook},
};

static void hello(struct answer *answer) {
    cJSON *features = cJSON_AddArrayToObject(answer->ok, "features");
    size_t i;
    cJSON_AddStringToObject(answer->ok, "language", "c");
    cJSON_AddStringToObject(answer->ok, "version", mq_version());
    cJSON_AddItemToArray(features, cJSON_CreateString("concurrent"));
    cJSON_AddItemToArray(features, cJSON_CreateString("async_listener"));
    for (i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        cJSON_AddItemToArray(features, cJSON_CreateString(operations[i].name));
    }
}

static void run(const cJSON *request, struct answer *answer) {
    const char *op = text(request, "op");
    size_t i;
    if (op != NULL && strcmp(op, "hello") == 0) {
        hello(answer);
        return;
    }
    for (i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (op != NULL && strcmp(op, operations[i].name) == 0) {
            operations[i].run(request, answer);
            return;
        }
    }
    refuse(answer, "the C runner does not know the request", op);
}

static pthread_mutex_t working = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;
static unsigned under_way;

static void *work(void *data) {
    cJSON *request = (cJSON *)data;
    struct answer answer = {cJSON_CreateObject(), NULL};
    cJSON *line = cJSON_CreateObject();
    cJSON_AddNumberToObject(line, "id", (double)number(request, "id", 0));
    run(request, &answer);
    if (answer.error != NULL) {
        cJSON_AddItemToObject(line, "error", answer.error);
        cJSON_Delete(answer.ok);
    } else {
        cJSON_AddItemToObject(line, "ok", answer.ok);
    }
    cJSON_Delete(request);
    say(line);
    pthread_mutex_lock(&working);
    under_way--;
    pthread_cond_signal(&done);
    pthread_mutex_unlock(&working);
    return NULL;
}

static void begin(cJSON *request) {
    pthread_attr_t detached;
    pthread_t thread;
    pthread_mutex_lock(&working);
    under_way++;
    pthread_mutex_unlock(&working);
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    if (pthread_create(&thread, &detached, work, request) != 0) {
        fputs("a request gets no thread\n", stderr);
        abort();
    }
    pthread_attr_destroy(&detached);
}

static void end_producer(void *producer) {
    mq_producer_free((mq_producer *)producer);
}
static void end_client(void *client) {
    mq_client_free((mq_client *)client);
}
static void end_broker(void *broker) {
    mq_broker_free((mq_broker *)broker);
}

int main(void) {
    char *line = NULL;
    size_t size = 0;
    while (getline(&line, &size, stdin) > 0) {
        cJSON *request = cJSON_Parse(line);
        const char *op = text(request, "op");
        if (request == NULL) {
            fprintf(stderr, "not JSON: %s", line);
        } else if (op != NULL && strcmp(op, "exit") == 0) {
            cJSON_Delete(request);
            break;
        } else {
            begin(request);
        }
    }
    free(line);
    pthread_mutex_lock(&working);
    while (under_way > 0) {
        pthread_cond_wait(&done, &working);
    }
    pthread_mutex_unlock(&working);
    end_all(CONSUMER, end_consumer);
    end_all(PULLER, end_puller);
    end_all(PRODUCER, end_producer);
    end_all(CLIENT, end_client);
    end_all(BROKER, end_broker);
    end_log();
    return 0;
}
