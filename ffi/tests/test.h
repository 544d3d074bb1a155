/* The C tests' own small frame: checks that count, a watchdog, and what most tests need. */
#ifndef MQ_TEST_H
#define MQ_TEST_H

#include <mq.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Waiting has this deadline; it is never the time that something takes. */
#define LONG_MS 60000

extern int checks_passed;
extern int checks_failed;

/* Counts a check; says where it failed. */
int check(int ok, const char *text, const char *file, int line);
#define CHECK(condition) check((condition) ? 1 : 0, #condition, __FILE__, __LINE__)

/* The call succeeded. Frees the error, after showing it. */
int check_ok(mq_error *error, const char *text, const char *file, int line);
#define OK(call) check_ok((call), #call, __FILE__, __LINE__)

/* The call failed with this code. Frees the error. */
int check_code(mq_error *error, int32_t code, const char *text, const char *file, int line);
#define FAILS(call, code) check_code((call), (code), #call, __FILE__, __LINE__)

/* An embedded broker, a client of it and a queue. */
struct world {
    mq_broker *broker;
    mq_client *client;
    mq_queue *queue;
};

/* Starts all of it, with the topic "orders" of four queues. */
void world_open(struct world *world);
void world_close(struct world *world);

/* A client of the NameServer at this address. */
mq_client *client_of(const char *address);
/* Settings from pairs of texts that end with NULL. */
mq_config *settings(const char *key, ...);
mq_message *message_to(const char *topic, const char *body);
mq_producer *producer_of(mq_client *client);
/* A consumer of a topic from its beginning, in a group named like the topic, not started; further settings as pairs
 * that end with NULL. */
mq_push_consumer *consumer_of(mq_client *client, mq_queue *queue, const char *topic, const char *key, ...);

/* The next event of this kind; NULL (and a failed check) when none comes. Others are freed. */
mq_event *next_event(mq_queue *queue, int32_t kind);
/* Sends a body with a tag (or NULL). */
void send_text(mq_producer *producer, const char *topic, const char *body, const char *tag);
int body_is(const mq_message_view *view, const char *expected);
/* Whether a text that was lent is this one. */
int same(const char *lent, const char *expected);

/* The suites, one per file. */
void test_basics(void);
void test_messages(void);
void test_queue(void);
void test_producer(void);
void test_routing(void);
void test_consumer(void);
void test_views(void);
void test_models(void);
void test_pull(void);
void test_dead_letters(void);
void test_broker(void);
void test_faults(void);
void test_close(void);
void test_fork(void);
void test_log(void);

#endif
