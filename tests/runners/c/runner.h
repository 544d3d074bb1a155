/* The C scenario runner: speaks tests/harness/README.md over stdin and stdout, with mq.h and nothing else of libmq. */
#ifndef RUNNER_H
#define RUNNER_H

#include <mq.h>

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdbool.h>

/* What becomes of a request: members of the result, or an error. */
struct answer {
    cJSON *ok;
    cJSON *error;
};

/* Whether a call failed; the answer then tells it. Frees the error. */
bool failed(struct answer *answer, mq_error *error);
/* As `failed` for an error that belongs to something else. */
bool tells(struct answer *answer, const mq_error *error);
/* An error of the runner itself or of the request. */
void refuse(struct answer *answer, const char *what, const char *value);

/* Writes one line and frees its value. From any thread. */
void say(cJSON *line);

/* Members of a request; texts and lists are NULL, numbers `otherwise`, where there is none. */
const char *text(const cJSON *fields, const char *name);
const cJSON *list(const cJSON *fields, const char *name);
long long number(const cJSON *fields, const char *name, long long otherwise);
bool is_set(const cJSON *fields, const char *name);

/* An array with room for `count` of size `size`, zeroed; ends the program when there is no memory. */
void *room(size_t count, size_t size);
char *copy_of(const char *text);

/* libmq's values as JSON, and back. What was made is freed by the caller. */
mq_config *config_of(const cJSON *request, struct answer *answer);
mq_message *message_of(const cJSON *fields, const char *topic, struct answer *answer);
mq_message_queues *queues_of(const cJSON *queues, struct answer *answer);
cJSON *queues_json(const mq_message_queues *queues);
cJSON *receipt_json(const mq_receipt *receipt);
cJSON *view_json(const mq_message_view *view);
/* All messages of an event. */
cJSON *views_json(const mq_event *event);

/* What the harness has names for. */
enum kind { CLIENT, PRODUCER, CONSUMER, PULLER, BROKER };

/* Keeps a handle until the end of the program; a later one of the same name takes its place. */
void keep(enum kind kind, const char *name, void *handle);
/* The handle that the request names; NULL, and an error in the answer, when there is none. */
void *handle(enum kind kind, const cJSON *request, struct answer *answer);
/* Calls `end` with each handle of a kind and forgets them. */
void end_all(enum kind kind, void (*end)(void *handle));

/* The requests, a file for each kind of thing. */
typedef void operation(const cJSON *request, struct answer *answer);

operation client_open, client_close, producer_open, producer_close, producer_queues;
operation send_one, send_list, send_split, send_file, send_load, fork_and_send;
operation consumer_open, consumer_subscribe, consumer_unsubscribe, consumer_suspend, consumer_resume, consumer_close;
operation pull_open, pull_assign, pull_queues, pull_assignment, pull_poll, pull_seek, pull_offset_for_time;
operation pull_pause, pull_resume, pull_commit, pull_committed, pull_position, pull_close;
operation dead_letters_read, dead_letters_resend;
operation broker_start, broker_create_topic, broker_kill, broker_restart, broker_stop;
operation broker_fault, broker_refuse_connections, broker_clear_faults, broker_advance_clock;
operation log_hook;

void end_consumer(void *consumer);
void end_puller(void *puller);
void end_log(void);

/* Waits for the one event of an asynchronous call made with this queue, which is freed; NULL when the call failed. */
mq_event *result_of(mq_queue *queue, mq_error *error, struct answer *answer);

#endif
