/*
 * mq.h: the C interface of libmq, a client for RocketMQ and an embedded broker.
 *
 * Generated from ffi/src by `cargo run -p mq-ffi-xtask -- header`; do not edit.
 *
 * Rules for every function
 *
 * Errors. A function that can fail returns `mq_error *`: NULL on success, otherwise an error that the caller frees.
 * Out parameters are written on success alone. A NULL handle or NULL out parameter is MQ_ERR_ARGUMENT, not a crash, unless NULL is allowed.
 *
 * Handles. All types are opaque. What a function makes is freed with the `_free` function of its type, exactly once, when no other call
 * with it is under way; `_free` takes NULL. Handles can be freed in any order. Using a handle after its `_free` is undefined; after
 * its `_close` it is MQ_ERR_CLOSED.
 *
 * Texts and bytes. Going in they are a pointer and a length in bytes, and are copied. MQ_CSTR as a length stands for
 * strlen of a NUL-terminated text; MQ_TEXT("literal") is a literal with its length. Text is UTF-8; anything else is
 * MQ_ERR_ARGUMENT. Coming out they are borrowed from their owner; texts are followed by a NUL that is not counted.
 *
 * Time is in milliseconds. No call waits for ever unless told so.
 *
 * Threads. Clients, producers, consumers, queues and brokers may be used from any thread, by several at once. Settings and
 * messages are for one thread at a time. What is immutable (errors, receipts, views) may be read from any thread. No thread of the
 * library calls into the program, but for the two callbacks that it may ask for (mq_queue_set_wakeup, mq_log_set_callback).
 * Blocking calls are refused there with MQ_ERR_STATE.
 *
 * Asynchronous calls (`_async`) return at once. If they return NULL, exactly one MQ_EVENT_DONE with the given tag follows
 * on the given queue, whatever happens: success, failure, timeout, cancel, close. If they return an error, none follows.
 * A `_cancel` function gives up calls by queue and tag; their event still comes, with MQ_ERR_CANCELLED unless they were just done.
 *
 * fork(2). The library starts threads with the first client or broker, not when it is loaded. In a forked child every call with
 * a handle of the parent is MQ_ERR_FORKED and `_free` does nothing; new handles work.
 */

#ifndef MQ_H
#define MQ_H

#include <stddef.h>
#include <stdint.h>
/** As a length: the text is NUL-terminated, take its strlen. */
#define MQ_CSTR SIZE_MAX

/** A string literal and its length: two arguments in one. */
#define MQ_TEXT(literal) (literal), (sizeof(literal) - 1)

/**
 * Version of the binary interface that this header describes. The high 16 bits are the major version, that of the SONAME
 * (`libmq.so.<major>`); the low 16 bits grow with every addition.
 */
#define MQ_ABI_VERSION 4

/**
 * Success. No `mq_error` ever has this code; `mq_error_code(NULL)` gives it.
 */
#define MQ_OK 0

/**
 * A bug in the library: a panic that stopped at its boundary, or a broken assumption. Please report it.
 */
#define MQ_ERR_INTERNAL 1

/**
 * A setting has an unknown name or a value that cannot be used.
 */
#define MQ_ERR_CONFIG 2

/**
 * An argument of the call is wrong: NULL, not UTF-8, an illegal topic, group or message.
 */
#define MQ_ERR_ARGUMENT 3

/**
 * No answer within the timeout. The request may still have been carried out.
 */
#define MQ_ERR_TIMEOUT 4

/**
 * The handle was closed, or what it was made from was.
 */
#define MQ_ERR_CLOSED 5

/**
 * A connection could not be made or was cut.
 */
#define MQ_ERR_NETWORK 6

/**
 * The topic has no route, or the thing asked for does not exist.
 */
#define MQ_ERR_NOT_FOUND 7

/**
 * The broker refuses: no permission.
 */
#define MQ_ERR_DENIED 8

/**
 * The broker is busy; try again later.
 */
#define MQ_ERR_THROTTLED 9

/**
 * The message is larger than the limit.
 */
#define MQ_ERR_TOO_LARGE 10

/**
 * The handle was made in the parent of this process; make a new one after fork(2).
 */
#define MQ_ERR_FORKED 11

/**
 * Any other answer of a broker; `mq_error_broker_code` says which.
 */
#define MQ_ERR_BROKER 12

/**
 * The call was cancelled.
 */
#define MQ_ERR_CANCELLED 13

/**
 * The call is not possible in this state: wrong order, or a blocking call on a thread of the library (in a callback).
 */
#define MQ_ERR_STATE 14

/**
 * Not supported, by this library or by the broker.
 */
#define MQ_ERR_UNSUPPORTED 15

/**
 * A file or a port of the embedded broker could not be used.
 */
#define MQ_ERR_IO 16

/**
 * A bound of the library is reached: too many sends are under way. Poll events, then try again.
 */
#define MQ_ERR_QUEUE_FULL 17

/**
 * Stored as the broker's settings promise.
 */
#define MQ_SEND_OK 0

/**
 * Stored, but not yet on disk when the broker's own timeout ran out.
 */
#define MQ_SEND_FLUSH_DISK_TIMEOUT 1

/**
 * Stored, but not yet on the replica when the broker's own timeout ran out.
 */
#define MQ_SEND_FLUSH_SLAVE_TIMEOUT 2

/**
 * Stored, but no replica is there.
 */
#define MQ_SEND_SLAVE_NOT_AVAILABLE 3

/**
 * An asynchronous call is done, well or badly. Exactly one for each call that was accepted.
 */
#define MQ_EVENT_DONE 1

/**
 * A consumer has messages for the application, which must be answered.
 */
#define MQ_EVENT_MESSAGE 2

/**
 * A log line. See `mq_log_set_queue`.
 */
#define MQ_EVENT_LOG 3

/**
 * Something is wrong around a push consumer, although it goes on. The log has it too.
 */
#define MQ_EVENT_WARNING 4

/**
 * The queues of a topic that is watched have changed. See `mq_pull_consumer_watch_queues`.
 */
#define MQ_EVENT_QUEUE_CHANGE 5

/**
 * The messages are consumed.
 */
#define MQ_CONSUME_SUCCESS 0

/**
 * The messages shall be delivered again later.
 */
#define MQ_CONSUME_LATER 1

/**
 * Orderly consumers: the messages come again, before all others of their queue, when the queue has rested. Others take it as
 * `MQ_CONSUME_LATER`.
 */
#define MQ_CONSUME_SUSPEND 2

/**
 * `mq_pull_consumer_seek`: to this offset.
 */
#define MQ_SEEK_OFFSET 0

/**
 * `mq_pull_consumer_seek`: to the oldest message that the queue still has.
 */
#define MQ_SEEK_BEGIN 1

/**
 * `mq_pull_consumer_seek`: to what arrives from now on.
 */
#define MQ_SEEK_END 2

/**
 * `mq_pull_consumer_seek`: to the first message that was stored at this time or later.
 */
#define MQ_SEEK_TIME 3

/**
 * No log lines.
 */
#define MQ_LOG_OFF 0

/**
 * Something failed that should not have.
 */
#define MQ_LOG_ERROR 1

/**
 * Something is wrong but is being dealt with.
 */
#define MQ_LOG_WARN 2

/**
 * What an operator wants to know: connections, rebalances, starts and ends.
 */
#define MQ_LOG_INFO 3

/**
 * What a developer wants to know.
 */
#define MQ_LOG_DEBUG 4

/**
 * Every request.
 */
#define MQ_LOG_TRACE 5

/**
 * A NameServer and a broker inside this process. May be used from any thread, by several at once.
 *
 * All calls block. They fail with `MQ_ERR_STATE` on threads of the library and `MQ_ERR_FORKED` in a forked child.
 */
typedef struct mq_broker mq_broker;

/**
 * A client of one cluster: connections, routes, threads. One per process and cluster, as a rule.
 *
 * May be used from any thread, by several at once. Producers and consumers are made from it; closing it closes them.
 */
typedef struct mq_client mq_client;

/**
 * Settings of a client, a producer, a consumer or an embedded broker, as pairs of strings.
 *
 * Names are those of the settings page, for instance `namesrv` or `send_timeout`; the names of the Java client
 * (`namesrvAddr`, `sendMsgTimeout`) are accepted too. Not for use by two threads at once. It is copied by
 * the functions that take it: it can be changed, used again or freed after the call.
 */
typedef struct mq_config mq_config;

/**
 * The dead letters of one consumer group, from the oldest on: messages that it failed to consume too often. May be used
 * from any thread, by several at once.
 *
 * Reading takes nothing away; brokers keep dead letters as long as other messages. The time limits of all calls are the
 * client's own settings. Errors of those that ask brokers: `MQ_ERR_NETWORK`, `MQ_ERR_TIMEOUT`, `MQ_ERR_BROKER`, `MQ_ERR_CLOSED`,
 * `MQ_ERR_STATE` (on a thread of the library), `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`; `MQ_ERR_DENIED` when the topic of the dead letters
 * may not be read, as brokers up to 4.9.1 make it.
 */
typedef struct mq_dead_letters mq_dead_letters;

/**
 * Why a call failed.
 *
 * Functions that can fail return `mq_error *`: NULL on success, otherwise an object that the caller frees with
 * `mq_error_free`. Out parameters are written on success alone. The accessors take NULL as "no error" and may be used
 * from any thread.
 */
typedef struct mq_error mq_error;

/**
 * One event. The caller of `mq_queue_poll` owns it and everything borrowed from it.
 *
 * May be used from any thread, and read by several at once. An accessor that does not fit the event's kind gives NULL or 0.
 */
typedef struct mq_event mq_event;

/**
 * A message to be sent: topic, body, tag, keys, properties.
 *
 * Not for use by two threads at once. Sending copies what it needs (the body is shared, not copied), so a message can
 * be sent again, changed or freed as soon as the call has returned, also after an asynchronous one.
 */
typedef struct mq_message mq_message;

/**
 * A list of message queues: those that a topic has on its brokers, or some of them. Not to be confused with
 * `mq_queue`, on which events arrive.
 *
 * A queue is named by its topic, its broker and its number there; it goes in as these three. Lists that the
 * library gives are immutable and may be read from any thread; one that is being made is for one thread at a time.
 */
typedef struct mq_message_queues mq_message_queues;

/**
 * A message that arrived. Immutable: may be read from any thread.
 *
 * The views of an event are borrowed from it; `mq_message_view_clone` makes one that stays. Accessors of texts:
 * `len` (may be NULL) takes the length in bytes, a NUL follows, and the text is valid until the view (or the event that owns it) is
 * freed; a text that the message does not have is NULL. For a NULL view texts are NULL and numbers -1.
 */
typedef struct mq_message_view mq_message_view;

/**
 * Sends messages of one producer group. May be used from any thread, by several at once.
 *
 * In all calls `timeout_ms` is the time for the whole send, retries included, in milliseconds; negative or 0 takes the
 * producer's setting `send_timeout`.
 */
typedef struct mq_producer mq_producer;

/**
 * A consumer that is polled. May be used from any thread, by several at once; of `mq_pull_consumer_poll` one may run at a time.
 *
 * It consumes either the topics that it subscribes to, sharing their queues with the other members of its group, or
 * the queues that it was assigned by hand. With the setting `auto_commit` (on unless set otherwise) offsets are committed
 * from time to time and at close: what a poll gave out counts as consumed from the next poll on.
 *
 * Errors of all calls, beside their own: `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`; of those that block or need an answer
 * also `MQ_ERR_NETWORK`, `MQ_ERR_TIMEOUT`, `MQ_ERR_BROKER` and `MQ_ERR_STATE` (on a thread of the library, or before the start).
 * Their forms `_async` give an `MQ_EVENT_DONE` with `tag` on `queue` that has the error or the result; `MQ_ERR_QUEUE_FULL` from the
 * call itself says that too many of them are not done.
 */
typedef struct mq_pull_consumer mq_pull_consumer;

/**
 * A member of a consumer group. May be used from any thread, by several at once.
 *
 * Messages come as `MQ_EVENT_MESSAGE` on its queue. No more of these events than the setting `consume_thread_max` are handed out
 * and unanswered at any time, of an orderly consumer (`consume_mode`) one for each message queue; answering is what keeps
 * it going. What is wrong around it comes as `MQ_EVENT_WARNING`.
 */
typedef struct mq_push_consumer mq_push_consumer;

/**
 * A queue of events: completions of asynchronous calls, messages to consume, log lines.
 *
 * May be used from any thread, by several at once. One queue can serve many clients, producers and consumers.
 */
typedef struct mq_queue mq_queue;

/**
 * Where a sent message (or list of messages) is. Immutable: may be read from any thread.
 *
 * Accessors of texts: `len` (may be NULL) takes the length in bytes, a NUL follows, and the text is valid until the
 * receipt is freed. For a NULL receipt they give NULL, numbers are -1.
 */
typedef struct mq_receipt mq_receipt;

/**
 * Called when a queue goes from empty to non-empty. See `mq_queue_set_wakeup`.
 */
typedef void (*mq_wakeup_callback)(void *user_data);

/**
 * Called with one log line: `level` is one of `MQ_LOG_*`; `target` and `message` are NUL-terminated UTF-8, valid during the call.
 */
typedef void (*mq_log_callback)(int32_t level,
                                const char *target,
                                size_t target_len,
                                const char *message,
                                size_t message_len,
                                void *user_data);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The interface version of the library that is loaded, to be compared with `MQ_ABI_VERSION`: the major parts must be
 * equal and the library's minor part must not be smaller.
 */
uint32_t mq_abi_version(void);

/**
 * The library's version, for instance `0.1.0`. The text is static.
 */
const char *mq_version(void);

/**
 * The error's code, one of `MQ_ERR_*`; `MQ_OK` for NULL.
 */
int32_t mq_error_code(const struct mq_error *error);

/**
 * The code's name, for instance `TIMEOUT`; `OK` for NULL. The text is static.
 */
const char *mq_error_name(const struct mq_error *error);

/**
 * What went wrong, with which value, and what to do about it; for people. Empty for NULL.
 *
 * `len` (may be NULL) takes the length in bytes; a NUL follows. Valid until the error is freed.
 */
const char *mq_error_message(const struct mq_error *error, size_t *len);

/**
 * The broker's own answer code (RocketMQ's ResponseCode), or -1 when no broker answered.
 */
int32_t mq_error_broker_code(const struct mq_error *error);

/**
 * 1 when the same call may succeed when tried again, otherwise 0.
 */
int32_t mq_error_retryable(const struct mq_error *error);

/**
 * 1 when the broker asked to slow down, otherwise 0.
 */
int32_t mq_error_throttled(const struct mq_error *error);

/**
 * 1 when the handle is of no more use (closed, forked, a bug), otherwise 0.
 */
int32_t mq_error_fatal(const struct mq_error *error);

/**
 * Frees an error. NULL is allowed. Not for the borrowed errors of `mq_event_error`.
 */
void mq_error_free(struct mq_error *error);

/**
 * The name of a code, for instance `TIMEOUT` for 4; `UNKNOWN` for a number that is no code. The text is static.
 */
const char *mq_error_code_name(int32_t code);

/**
 * Makes empty settings: everything has its default. Free them with `mq_config_free`.
 */
struct mq_config *mq_config_new(void);

/**
 * Sets `key` to `value`; a later value replaces an earlier one. The key is checked at once, the value too.
 *
 * Errors: `MQ_ERR_CONFIG` for an unknown key (the text names the nearest one) or a bad value, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_config_set(struct mq_config *config,
                               const char *key,
                               size_t key_len,
                               const char *value,
                               size_t value_len);

/**
 * The value that was set for `key` (or for an alias of it), or NULL when none was.
 *
 * `len` (may be NULL) takes the length in bytes; a NUL follows. Valid until the settings are changed or freed.
 */
const char *mq_config_get(const struct mq_config *config,
                          const char *key,
                          size_t key_len,
                          size_t *len);

/**
 * Frees settings. NULL is allowed.
 */
void mq_config_free(struct mq_config *config);

/**
 * Makes a message. Topic and body are copied.
 *
 * This and the functions that change a message fail with `MQ_ERR_ARGUMENT` for NULL and for text that is not UTF-8. What RocketMQ
 * does not allow (an illegal topic, an empty body, a key with a space, a reserved property …) is found by
 * `mq_message_check` and by every send.
 */
struct mq_error *mq_message_new(const char *topic,
                                size_t topic_len,
                                const uint8_t *body,
                                size_t body_len,
                                struct mq_message **message);

/**
 * Sets the tag, by which consumers filter. The check refuses one that no subscription can name: with `||` in it, or spaces
 * around it. A single `|` is a character like others.
 */
struct mq_error *mq_message_set_tag(struct mq_message *message,
                                    const char *tag,
                                    size_t tag_len);

/**
 * Adds a key, by which the message can be looked up.
 */
struct mq_error *mq_message_add_key(struct mq_message *message, const char *key, size_t key_len);

/**
 * Sets a property of the application's own; a later value replaces an earlier one.
 */
struct mq_error *mq_message_set_property(struct mq_message *message,
                                         const char *name,
                                         size_t name_len,
                                         const char *value,
                                         size_t value_len);

/**
 * Sets the message group (sharding key): messages of one group go to one queue and keep their order.
 */
struct mq_error *mq_message_set_group(struct mq_message *message, const char *group, size_t group_len);

/**
 * Delays delivery by one of the broker's levels, 1 to 18 (1 s, 5 s, 10 s, 30 s, 1 min … 2 h by default); 0 is no delay.
 */
struct mq_error *mq_message_set_delay_level(struct mq_message *message,
                                            int32_t level);

/**
 * Sets whether the broker answers only when the message is flushed and replicated as its own settings ask for (not 0, as it
 * is at first), or as soon as it is in memory (0).
 */
struct mq_error *mq_message_set_wait_store(struct mq_message *message,
                                           int32_t wait);

/**
 * Sets a number that travels along unread, 0 at first.
 */
struct mq_error *mq_message_set_flag(struct mq_message *message, int32_t flag);

/**
 * Checks everything that needs no settings and no broker: topic, body, tag, keys, properties, delay. Every send does it too.
 *
 * Errors: `MQ_ERR_ARGUMENT`, `MQ_ERR_TOO_LARGE`; the text says what is not acceptable.
 */
struct mq_error *mq_message_check(const struct mq_message *message);

/**
 * Frees a message. NULL is allowed.
 */
void mq_message_free(struct mq_message *message);

/**
 * The message id given by the client. Of a list: the ids of its messages, joined by commas.
 */
const char *mq_receipt_message_id(const struct mq_receipt *receipt, size_t *len);

/**
 * The broker's id, which tells the store's address and the offset in its log. Of a list: joined by commas.
 */
const char *mq_receipt_offset_message_id(const struct mq_receipt *receipt, size_t *len);

/**
 * The topic.
 */
const char *mq_receipt_topic(const struct mq_receipt *receipt, size_t *len);

/**
 * The name of the broker that holds the message.
 */
const char *mq_receipt_broker_name(const struct mq_receipt *receipt, size_t *len);

/**
 * The queue within topic and broker.
 */
int32_t mq_receipt_queue_id(const struct mq_receipt *receipt);

/**
 * The offset in the queue; of a list: that of its first message.
 */
int64_t mq_receipt_queue_offset(const struct mq_receipt *receipt);

/**
 * How safely the message is stored, one of `MQ_SEND_*`. Every status means that the message is stored.
 */
int32_t mq_receipt_status(const struct mq_receipt *receipt);

/**
 * The transaction id, or NULL when there is none.
 */
const char *mq_receipt_transaction_id(const struct mq_receipt *receipt, size_t *len);

/**
 * The broker's region, or NULL when it has none.
 */
const char *mq_receipt_region_id(const struct mq_receipt *receipt, size_t *len);

/**
 * Frees a receipt. NULL is allowed. Not for the borrowed receipts of `mq_event_receipt`.
 */
void mq_receipt_free(struct mq_receipt *receipt);

/**
 * The topic. A retried message has the topic that it was sent to, not the group's retry topic.
 */
const char *mq_message_view_topic(const struct mq_message_view *view, size_t *len);

/**
 * The topic that a retried message or a dead letter was first sent to; NULL for other messages.
 */
const char *mq_message_view_origin_topic(const struct mq_message_view *view, size_t *len);

/**
 * The body, decompressed. `len` must not be NULL. NULL with length 0 for an empty body. No NUL follows.
 */
const uint8_t *mq_message_view_body(const struct mq_message_view *view, size_t *len);

/**
 * The tag, or NULL.
 */
const char *mq_message_view_tag(const struct mq_message_view *view, size_t *len);

/**
 * How many keys the message has.
 */
size_t mq_message_view_key_count(const struct mq_message_view *view);

/**
 * The key number `index`, from 0; NULL beyond the last one.
 */
const char *mq_message_view_key(const struct mq_message_view *view, size_t index, size_t *len);

/**
 * The message group (sharding key), or NULL.
 */
const char *mq_message_view_group(const struct mq_message_view *view, size_t *len);

/**
 * The value of a property, RocketMQ's own ones included, or NULL.
 */
const char *mq_message_view_property(const struct mq_message_view *view,
                                     const char *name,
                                     size_t name_len,
                                     size_t *len);

/**
 * How many properties the message has, RocketMQ's own ones included.
 */
size_t mq_message_view_property_count(const struct mq_message_view *view);

/**
 * The name of property number `index`, from 0, in the order of the message; NULL beyond the last one.
 */
const char *mq_message_view_property_name(const struct mq_message_view *view, size_t index, size_t *len);

/**
 * The value of property number `index`, from 0, in the order of the message; NULL beyond the last one.
 */
const char *mq_message_view_property_value(const struct mq_message_view *view, size_t index, size_t *len);

/**
 * The message id given by the sender.
 */
const char *mq_message_view_message_id(const struct mq_message_view *view, size_t *len);

/**
 * The broker's id, which tells the store's address and the offset in its log.
 */
const char *mq_message_view_offset_message_id(const struct mq_message_view *view, size_t *len);

/**
 * The name of the broker that it came from.
 */
const char *mq_message_view_broker_name(const struct mq_message_view *view, size_t *len);

/**
 * The queue within topic and broker.
 */
int32_t mq_message_view_queue_id(const struct mq_message_view *view);

/**
 * The offset in the queue.
 */
int64_t mq_message_view_queue_offset(const struct mq_message_view *view);

/**
 * When it was sent, by the sender's clock: milliseconds since 1970-01-01 UTC.
 */
int64_t mq_message_view_born_timestamp(const struct mq_message_view *view);

/**
 * Who sent it, `host:port` as the broker saw it.
 */
const char *mq_message_view_born_host(const struct mq_message_view *view, size_t *len);

/**
 * When it was stored, by the broker's clock: milliseconds since 1970-01-01 UTC.
 */
int64_t mq_message_view_store_timestamp(const struct mq_message_view *view);

/**
 * The `host:port` of the broker that stored it.
 */
const char *mq_message_view_store_host(const struct mq_message_view *view, size_t *len);

/**
 * The number that the sender gave it with `mq_message_set_flag`, 0 as a rule.
 */
int32_t mq_message_view_flag(const struct mq_message_view *view);

/**
 * How often it was given back before: 0 at first.
 */
int32_t mq_message_view_reconsume_times(const struct mq_message_view *view);

/**
 * The number of this delivery: 1 at first.
 */
int32_t mq_message_view_delivery_attempt(const struct mq_message_view *view);

/**
 * A view of the same message that outlives the event; no bytes are copied. Free it with `mq_message_view_free`. NULL for NULL.
 */
struct mq_message_view *mq_message_view_clone(const struct mq_message_view *view);

/**
 * Frees a view made by `mq_message_view_clone`. NULL is allowed. Not for the borrowed views of `mq_event_message`.
 */
void mq_message_view_free(struct mq_message_view *view);

/**
 * Everything about a message in one block, borrowed from the view: for languages in which each call into C costs. `len`
 * takes its length. NULL with length 0 for NULL.
 *
 * Numbers are in the machine's own byte order; the block and they are aligned as a struct would be:
 * @code
 *  offset  type         what
 *       0  uint32_t     size of this header, where the texts begin: 104 or, in later versions, more
 *       4  int32_t      queue id
 *       8  int64_t      queue offset
 *      16  int64_t      born timestamp
 *      24  int64_t      store timestamp
 *      32  int32_t      reconsume times
 *      36  int32_t      flag
 *      40  uint64_t     address of the body, which is valid as long as the view; 0 for an empty one
 *      48  uint64_t     length of the body
 *      56  int32_t[10]  lengths of the texts, -1 for those that the message does not have: topic, tag, keys (joined by one
 *                       space), message group, message id, offset message id, broker name, born host, store host, properties
 *                       (name, byte 1, value, byte 2, repeated; RocketMQ's own ones included)
 *      96               nothing yet
 *     104  char[]       the texts, one after the other, without NULs between them
 * @endcode
 */
const uint8_t *mq_message_view_packed(const struct mq_message_view *view,
                                      size_t *len);

/**
 * Makes an empty list. Free it with `mq_message_queues_free`.
 */
struct mq_message_queues *mq_message_queues_new(void);

/**
 * Adds a queue. Errors: `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_message_queues_add(struct mq_message_queues *queues,
                                       const char *topic,
                                       size_t topic_len,
                                       const char *broker_name,
                                       size_t broker_name_len,
                                       int32_t queue_id);

/**
 * How many queues are in the list; 0 for NULL.
 */
size_t mq_message_queues_count(const struct mq_message_queues *queues);

/**
 * The topic of queue number `index`, from 0; NULL beyond the last one. `len` (may be NULL) takes the length in bytes; a
 * NUL follows. Valid until the list is changed or freed.
 */
const char *mq_message_queues_topic(const struct mq_message_queues *queues,
                                    size_t index,
                                    size_t *len);

/**
 * The name of the broker of queue number `index`. As `mq_message_queues_topic`.
 */
const char *mq_message_queues_broker_name(const struct mq_message_queues *queues, size_t index, size_t *len);

/**
 * The number of queue number `index` within its topic and broker; -1 beyond the last one.
 */
int32_t mq_message_queues_id(const struct mq_message_queues *queues, size_t index);

/**
 * Frees a list. NULL is allowed. Not for the borrowed lists of events.
 */
void mq_message_queues_free(struct mq_message_queues *queues);

/**
 * Makes a queue. It starts no thread. Free it with `mq_queue_free`.
 */
struct mq_queue *mq_queue_new(void);

/**
 * Takes up to `max` events, oldest first, into `events` and their number into `count`. The caller owns each of them
 * (`mq_event_free`).
 *
 * Waits up to `timeout_ms` milliseconds for the first one: 0 does not wait, a negative value waits until an event
 * comes, `mq_queue_wake` is called or the queue is closed. No event in time is no error: `count` is then 0.
 *
 * The number comes through `count` and not as the result, so that an empty queue can be told from a closed one and the result
 * is an error here as everywhere. Taking many at a time is what makes it fast: one lock and one call for all of them. Several
 * threads may poll; each event goes to one of them.
 *
 * Errors: `MQ_ERR_CLOSED` when the queue is closed and empty, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`, `MQ_ERR_STATE` for a
 * call that would wait on a thread of the library.
 */
struct mq_error *mq_queue_poll(struct mq_queue *queue,
                               struct mq_event **events,
                               size_t max,
                               int64_t timeout_ms,
                               size_t *count);

/**
 * Lets one waiting `mq_queue_poll` (or else the next one that would wait) return at once with what there is, if only 0 events.
 * The descriptor of `mq_queue_fd` is readable until the next `mq_queue_poll`.
 */
struct mq_error *mq_queue_wake(struct mq_queue *queue);

/**
 * How many events are waiting. 0 for NULL.
 */
size_t mq_queue_length(const struct mq_queue *queue);

/**
 * Gives a file descriptor that is readable while events are waiting, for poll(2), epoll(7) or an event loop.
 *
 * Made at the first call, the same at every later one. Do not read, write or close it: it becomes unreadable when
 * `mq_queue_poll` has taken the last event. It is closed by `mq_queue_free`. Errors: `MQ_ERR_IO`, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`.
 */
struct mq_error *mq_queue_fd(struct mq_queue *queue,
                             int32_t *fd);

/**
 * Sets the one callback that wakes an event loop; NULL takes it away.
 *
 * It is called with `user_data` each time the queue goes from empty to non-empty, and once at once if it is not empty
 * now, on whatever thread adds the event. It must return quickly, must not block, throw or longjmp; it may
 * call `mq_queue_poll` with timeout 0. When `mq_queue_set_wakeup` (or `mq_queue_free`) has returned, the callback that was
 * set before is not running and will never run again; a callback that needs a lock which the caller holds is therefore a deadlock.
 * Errors: `MQ_ERR_STATE` when called from within the callback, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`.
 */
struct mq_error *mq_queue_set_wakeup(struct mq_queue *queue,
                                     mq_wakeup_callback callback,
                                     void *user_data);

/**
 * Closes a queue: events that come later are dropped (messages are delivered again), calls that name it get
 * `MQ_ERR_CLOSED`, waiting polls return. What is waiting can still be polled. Closing twice is no error.
 */
struct mq_error *mq_queue_close(struct mq_queue *queue);

/**
 * Closes and frees a queue with the events that wait in it. No thread may be in another call with it. NULL is allowed.
 */
void mq_queue_free(struct mq_queue *queue);

/**
 * What the event is, one of `MQ_EVENT_*`; 0 for NULL. Ignore kinds that you do not know.
 */
int32_t mq_event_kind(const struct mq_event *event);

/**
 * `MQ_EVENT_DONE`: the tag given with the call. `MQ_EVENT_MESSAGE`, `MQ_EVENT_WARNING`: the tag given when the consumer was
 * made. `MQ_EVENT_QUEUE_CHANGE`: the `watch` given with `mq_pull_consumer_watch_queues`.
 */
uint64_t mq_event_tag(const struct mq_event *event);

/**
 * `MQ_EVENT_DONE`: why the call failed, or NULL when it succeeded. Borrowed from the event.
 */
const struct mq_error *mq_event_error(const struct mq_event *event);

/**
 * `MQ_EVENT_DONE` of a send that succeeded: the receipt. NULL otherwise. Borrowed from the event.
 */
const struct mq_receipt *mq_event_receipt(const struct mq_event *event);

/**
 * `MQ_EVENT_DONE` of a call that asked for queues and succeeded: the queues. `MQ_EVENT_QUEUE_CHANGE`: all queues of the topic that
 * can be consumed. NULL otherwise. Borrowed from the event.
 */
const struct mq_message_queues *mq_event_queues(const struct mq_event *event);

/**
 * `MQ_EVENT_QUEUE_CHANGE`: those queues of the topic that the consumer has. NULL otherwise. Borrowed from the event.
 */
const struct mq_message_queues *mq_event_assigned(const struct mq_event *event);

/**
 * `MQ_EVENT_QUEUE_CHANGE`: the topic. `len` (may be NULL) takes its length in bytes; a NUL follows.
 */
const char *mq_event_topic(const struct mq_event *event, size_t *len);

/**
 * `MQ_EVENT_DONE` of a call that asked for an offset: the offset, or -1 when nothing is committed.
 */
int64_t mq_event_offset(const struct mq_event *event);

/**
 * `MQ_EVENT_MESSAGE`: how many messages it has, at least 1 (at most the consumer's `consume_message_batch_max_size`).
 * `MQ_EVENT_DONE` of a poll: how many messages it gave out, perhaps 0.
 */
size_t mq_event_message_count(const struct mq_event *event);

/**
 * `MQ_EVENT_MESSAGE`, `MQ_EVENT_DONE` of a poll: message number `index`, from 0; NULL beyond the last one. Borrowed from the event.
 */
const struct mq_message_view *mq_event_message(const struct mq_event *event,
                                               size_t index);

/**
 * `MQ_EVENT_MESSAGE`: answers for all messages of the event, once, from any thread. The event stays readable.
 *
 * `result` is one of `MQ_CONSUME_*`. With `MQ_CONSUME_LATER`, `detail` is a delay level: 0 lets the broker choose (longer
 * with every attempt), 1 to 18 is a level, -1 sends the messages to the dead-letter queue. With `MQ_CONSUME_SUSPEND` it is how
 * long the queue rests, 10 to 30000 milliseconds; 0 is the setting `suspend_current_queue_time`. Otherwise it is ignored.
 * An event freed without an answer counts as `MQ_CONSUME_LATER`.
 *
 * Errors: `MQ_ERR_STATE` when it was answered before or its token was taken, `MQ_ERR_ARGUMENT`, `MQ_ERR_FORKED`. An answer
 * after the consumer was closed is no error and has no effect: the messages are delivered again.
 */
struct mq_error *mq_event_reply(struct mq_event *event,
                                int32_t result,
                                int32_t detail);

/**
 * `MQ_EVENT_MESSAGE`: takes the duty to answer away from the event and gives the token (never 0) that
 * `mq_push_consumer_reply` wants; from then on the event can be freed at any time. 0 when it was answered or taken before.
 */
uint64_t mq_event_take_token(struct mq_event *event);

/**
 * `MQ_EVENT_WARNING`: the kind of trouble, for programs: `DUPLICATE_SUBSCRIPTION` (a topic was subscribed to twice with different
 * expressions; the last counts), `INCONSISTENT_SUBSCRIPTION` (members of the group want different messages, so some are lost
 * for the group), `INCONSISTENT_GROUP` (members differ in model or start), `MESSAGE_DROPPED` (a broadcasting consumer's
 * message was not consumed and does not come again), `QUEUE_LOCK_LOST` (another member has an orderly queue now). There
 * may be more in later versions. `len` as everywhere.
 */
const char *mq_event_warning_name(const struct mq_event *event,
                                  size_t *len);

/**
 * `MQ_EVENT_WARNING`: what was found and what to do about it, for people. `len` as everywhere.
 */
const char *mq_event_warning_message(const struct mq_event *event, size_t *len);

/**
 * `MQ_EVENT_LOG`: one of `MQ_LOG_*`.
 */
int32_t mq_event_log_level(const struct mq_event *event);

/**
 * `MQ_EVENT_LOG`: the part of the library that speaks, for instance `mq_client::producer`. `len` as everywhere.
 */
const char *mq_event_log_target(const struct mq_event *event,
                                size_t *len);

/**
 * `MQ_EVENT_LOG`: the line. `len` (may be NULL) takes its length in bytes; a NUL follows.
 */
const char *mq_event_log_message(const struct mq_event *event, size_t *len);

/**
 * Frees an event and everything borrowed from it; messages that were not answered are delivered again. NULL is allowed.
 */
void mq_event_free(struct mq_event *event);

/**
 * Makes a client from its settings (`namesrv` must be set). It connects when it is first needed, not here.
 *
 * Errors: `MQ_ERR_CONFIG` for missing or bad settings and settings that are not a client's, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_client_new(const struct mq_config *config,
                               struct mq_client **client);

/**
 * Closes a client and all that was made from it, in order: consumers commit and leave their groups, sends under
 * way are completed or fail. Every asynchronous call that was accepted gets its event. Closing twice is no error.
 *
 * Blocks up to `timeout_ms` milliseconds (negative or 0: 5 seconds); what is not done by then is cut.
 * Errors: `MQ_ERR_TIMEOUT` when it had to be cut (the client is closed all the same), `MQ_ERR_STATE` on a thread of the
 * library, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_client_close(struct mq_client *client,
                                 int64_t timeout_ms);

/**
 * As `mq_client_close`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
 */
struct mq_error *mq_client_close_async(struct mq_client *client,
                                       int64_t timeout_ms,
                                       struct mq_queue *queue,
                                       uint64_t tag);

/**
 * Frees a client, after closing it as `mq_client_close` does if that was not done. NULL is allowed.
 *
 * Producers and consumers made from it stay valid handles that answer `MQ_ERR_CLOSED`; free them too, in any order. In a
 * forked child nothing happens.
 */
void mq_client_free(struct mq_client *client);

/**
 * Makes a producer. `config` may be NULL: every setting has a default. It connects when it first sends.
 *
 * Errors: `MQ_ERR_CONFIG`, `MQ_ERR_CLOSED` when the client is closed, `MQ_ERR_STATE`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_producer_new(struct mq_client *client,
                                 const struct mq_config *config,
                                 struct mq_producer **producer);

/**
 * Sends one message and waits for the broker's answer. `receipt` may be NULL; otherwise free it with `mq_receipt_free`.
 *
 * Errors: `MQ_ERR_TIMEOUT`, `MQ_ERR_NETWORK`, `MQ_ERR_NOT_FOUND` (no route to the topic), `MQ_ERR_THROTTLED`,
 * `MQ_ERR_TOO_LARGE`, `MQ_ERR_DENIED`, `MQ_ERR_BROKER`, `MQ_ERR_CLOSED`, `MQ_ERR_STATE`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_producer_send(struct mq_producer *producer,
                                  const struct mq_message *message,
                                  int64_t timeout_ms,
                                  struct mq_receipt **receipt);

/**
 * Sends one message without waiting: the answer is an `MQ_EVENT_DONE` with `tag` on `queue`.
 *
 * Errors come with the event, but for those of the call itself, after which no event follows: `MQ_ERR_QUEUE_FULL` when
 * the setting `async_send_max` is reached (poll events and try again), `MQ_ERR_TOO_LARGE`, `MQ_ERR_CLOSED`,
 * `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_producer_send_async(struct mq_producer *producer,
                                        const struct mq_message *message,
                                        int64_t timeout_ms,
                                        struct mq_queue *queue,
                                        uint64_t tag);

/**
 * Sends one message and asks for no answer: returns when it is handed to the connection. It may get lost.
 *
 * Blocks for routes and connections, up to the setting `send_timeout`. Errors as `mq_producer_send`.
 */
struct mq_error *mq_producer_send_oneway(struct mq_producer *producer, const struct mq_message *message);

/**
 * As `mq_producer_send_oneway`, without blocking: an `MQ_EVENT_DONE` with `tag` on `queue` tells that it was handed over.
 */
struct mq_error *mq_producer_send_oneway_async(struct mq_producer *producer,
                                               const struct mq_message *message,
                                               struct mq_queue *queue,
                                               uint64_t tag);

/**
 * Sends `count` messages as one: all of them are stored, one after the other in one queue, or none.
 *
 * They must have the same topic and no delay level. Otherwise as `mq_producer_send`.
 */
struct mq_error *mq_producer_send_batch(struct mq_producer *producer,
                                        const struct mq_message *const *messages,
                                        size_t count,
                                        int64_t timeout_ms,
                                        struct mq_receipt **receipt);

/**
 * As `mq_producer_send_batch`, without waiting: the answer is one `MQ_EVENT_DONE` with `tag` on `queue`.
 */
struct mq_error *mq_producer_send_batch_async(struct mq_producer *producer,
                                              const struct mq_message *const *messages,
                                              size_t count,
                                              int64_t timeout_ms,
                                              struct mq_queue *queue,
                                              uint64_t tag);

/**
 * As `mq_producer_send`, to this very queue of the message's topic; it is not tried again on another.
 *
 * Together with `mq_producer_queues` a program chooses queues by its own rule. (Messages of one group go to one queue by
 * themselves: `mq_message_set_group`.)
 */
struct mq_error *mq_producer_send_to_queue(struct mq_producer *producer,
                                           const struct mq_message *message,
                                           const char *broker_name,
                                           size_t broker_name_len,
                                           int32_t queue_id,
                                           int64_t timeout_ms,
                                           struct mq_receipt **receipt);

/**
 * As `mq_producer_send_to_queue`, without waiting: the answer is an `MQ_EVENT_DONE` with `tag` on `queue`.
 */
struct mq_error *mq_producer_send_to_queue_async(struct mq_producer *producer,
                                                 const struct mq_message *message,
                                                 const char *broker_name,
                                                 size_t broker_name_len,
                                                 int32_t queue_id,
                                                 int64_t timeout_ms,
                                                 struct mq_queue *queue,
                                                 uint64_t tag);

/**
 * Gives the queues of a topic that can be sent to, in the order of broker names and queue ids. Free them with
 * `mq_message_queues_free`. Blocks only for a topic that was not used yet.
 *
 * Errors: `MQ_ERR_NOT_FOUND` when there is no such topic, `MQ_ERR_NETWORK`, `MQ_ERR_TIMEOUT`, `MQ_ERR_CLOSED`, `MQ_ERR_STATE`,
 * `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_producer_queues(struct mq_producer *producer,
                                    const char *topic,
                                    size_t topic_len,
                                    struct mq_message_queues **queues);

/**
 * As `mq_producer_queues`, without waiting: the answer is an `MQ_EVENT_DONE` with `tag` on `queue`; see `mq_event_queues`.
 */
struct mq_error *mq_producer_queues_async(struct mq_producer *producer,
                                          const char *topic,
                                          size_t topic_len,
                                          struct mq_queue *queue,
                                          uint64_t tag);

/**
 * Tells how to divide `count` messages into lists that `mq_producer_send_batch` takes, their order kept; sends nothing.
 *
 * `lengths` has room for `count` numbers; `lists` takes how many lists there are. The first list is the first
 * `lengths[0]` messages, the second the `lengths[1]` messages after them, and so on. A list ends where it would be larger
 * than the setting `max_message_size`, and where the next message has another topic, group or wait flag.
 * Errors: `MQ_ERR_TOO_LARGE` when one message alone is over the limit, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_producer_split_batch(struct mq_producer *producer,
                                         const struct mq_message *const *messages,
                                         size_t count,
                                         size_t *lengths,
                                         size_t *lists);

/**
 * Cancels the asynchronous calls of this producer that were made with `queue` and `tag` and are not done yet: their event
 * is then an `MQ_ERR_CANCELLED`. The broker may have stored a message all the same. Unknown tags are no error; closing is
 * not cancelled.
 */
struct mq_error *mq_producer_cancel(struct mq_producer *producer,
                                    struct mq_queue *queue,
                                    uint64_t tag);

/**
 * Closes a producer: waits for the sends under way, up to `timeout_ms` milliseconds (negative or 0: 5 seconds), then
 * fails the rest with `MQ_ERR_CLOSED`. Closing twice is no error.
 *
 * Errors: `MQ_ERR_TIMEOUT` when sends had to be cut, `MQ_ERR_STATE`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_producer_close(struct mq_producer *producer,
                                   int64_t timeout_ms);

/**
 * As `mq_producer_close`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
 */
struct mq_error *mq_producer_close_async(struct mq_producer *producer,
                                         int64_t timeout_ms,
                                         struct mq_queue *queue,
                                         uint64_t tag);

/**
 * Frees a producer, after closing it if that was not done. NULL is allowed. In a forked child nothing happens.
 */
void mq_producer_free(struct mq_producer *producer);

/**
 * Makes a consumer from its settings (`group` must be set); its messages will come on `queue` with `tag`.
 *
 * Next: `mq_push_consumer_subscribe`, then `mq_push_consumer_start`.
 * Errors: `MQ_ERR_CONFIG`, `MQ_ERR_CLOSED` when the client or the queue is closed, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_push_consumer_new(struct mq_client *client,
                                      const struct mq_config *config,
                                      struct mq_queue *queue,
                                      uint64_t tag,
                                      struct mq_push_consumer **consumer);

/**
 * Subscribes to a topic, or changes its expression: tags as `a || b`; `*` or an empty one is every message.
 *
 * Before the start it is only noted, without blocking; after it the consumer has its share of the topic's queues when this
 * returns. All members of the group should subscribe to the same. A changed expression holds for what was fetched, too, but not
 * for what was handed out or failed before; what the old one passed over may be left out.
 * Errors: `MQ_ERR_ARGUMENT` for an illegal topic or expression and for the group's own retry topic; after the start also
 * `MQ_ERR_NETWORK` and `MQ_ERR_TIMEOUT` (nothing has changed then), `MQ_ERR_STATE` on a thread of the library; `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`.
 */
struct mq_error *mq_push_consumer_subscribe(struct mq_push_consumer *consumer,
                                            const char *topic,
                                            size_t topic_len,
                                            const char *expression,
                                            size_t expression_len);

/**
 * As `mq_push_consumer_subscribe`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
 *
 * `MQ_ERR_QUEUE_FULL` from the call itself says that too many asynchronous calls are not done.
 */
struct mq_error *mq_push_consumer_subscribe_async(struct mq_push_consumer *consumer,
                                                  const char *topic,
                                                  size_t topic_len,
                                                  const char *expression,
                                                  size_t expression_len,
                                                  struct mq_queue *queue,
                                                  uint64_t tag);

/**
 * Takes a topic off and gives its queues up: what is consumed is committed, the rest is there for whoever subscribes again.
 *
 * What was handed out already still wants its answer. Without any topic left the consumer stays in its group, whose retry topic
 * it consumes. A topic that is not subscribed to is no error. Errors: `MQ_ERR_ARGUMENT` for the group's own retry topic,
 * `MQ_ERR_STATE` on a thread of the library, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`.
 */
struct mq_error *mq_push_consumer_unsubscribe(struct mq_push_consumer *consumer,
                                              const char *topic,
                                              size_t topic_len);

/**
 * As `mq_push_consumer_unsubscribe`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
 *
 * `MQ_ERR_QUEUE_FULL` from the call itself says that too many asynchronous calls are not done.
 */
struct mq_error *mq_push_consumer_unsubscribe_async(struct mq_push_consumer *consumer,
                                                    const char *topic,
                                                    size_t topic_len,
                                                    struct mq_queue *queue,
                                                    uint64_t tag);

/**
 * Starts consuming: joins the group, shares the queues out, fetches. Blocks until the group is joined, up to `timeout_ms`
 * milliseconds (negative or 0: 10 seconds).
 *
 * Errors: `MQ_ERR_STATE` when it was started before or has no subscription, `MQ_ERR_NETWORK`, `MQ_ERR_TIMEOUT`,
 * `MQ_ERR_NOT_FOUND`, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`. After an error it can be started again.
 */
struct mq_error *mq_push_consumer_start(struct mq_push_consumer *consumer,
                                        int64_t timeout_ms);

/**
 * As `mq_push_consumer_start`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
 */
struct mq_error *mq_push_consumer_start_async(struct mq_push_consumer *consumer,
                                              int64_t timeout_ms,
                                              struct mq_queue *queue,
                                              uint64_t tag);

/**
 * Answers for the messages of an event whose token was taken with `mq_event_take_token`; from any thread, once.
 *
 * `result` and `detail` as in `mq_event_reply`. Errors: `MQ_ERR_STATE` for a token that is unknown or was answered,
 * `MQ_ERR_ARGUMENT`, `MQ_ERR_FORKED`. After the close an answer is no error and has no effect.
 */
struct mq_error *mq_push_consumer_reply(struct mq_push_consumer *consumer,
                                        uint64_t token,
                                        int32_t result,
                                        int32_t detail);

/**
 * Fetches no more until `mq_push_consumer_resume`; what was fetched already still comes, and the consumer stays in its group.
 */
struct mq_error *mq_push_consumer_suspend(struct mq_push_consumer *consumer);

/**
 * Fetches again.
 */
struct mq_error *mq_push_consumer_resume(struct mq_push_consumer *consumer);

/**
 * Gives the queues that the consumer has at the moment, in order, those of its group's retry topic among them; none before the start and after the close. Free them with
 * `mq_message_queues_free`. Does not block.
 */
struct mq_error *mq_push_consumer_assignment(const struct mq_push_consumer *consumer,
                                             struct mq_message_queues **queues);

/**
 * Cancels an asynchronous call, but for a close, that was made with `queue` and `tag` and is not done yet: its event is then an
 * `MQ_ERR_CANCELLED`. A start can be repeated; a change of subscriptions may have its effect all the same. Unknown tags are no error.
 */
struct mq_error *mq_push_consumer_cancel(struct mq_push_consumer *consumer,
                                         struct mq_queue *queue,
                                         uint64_t tag);

/**
 * Closes a consumer: fetches no more, takes messages back that wait on the queue and were not polled, waits for the answers that
 * are owed for those that were (from other threads; in a program of one thread answer first, or use
 * `mq_push_consumer_close_async`), commits its offsets and leaves the group. Closing twice is no error.
 *
 * Blocks up to `timeout_ms` milliseconds (negative or 0: 5 seconds); messages unanswered by then are delivered again.
 * Errors: `MQ_ERR_TIMEOUT` when it had to be cut (it is closed all the same), `MQ_ERR_STATE`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_push_consumer_close(struct mq_push_consumer *consumer,
                                        int64_t timeout_ms);

/**
 * As `mq_push_consumer_close`, without blocking: the end is an `MQ_EVENT_DONE` with `tag` on `queue`.
 */
struct mq_error *mq_push_consumer_close_async(struct mq_push_consumer *consumer,
                                              int64_t timeout_ms,
                                              struct mq_queue *queue,
                                              uint64_t tag);

/**
 * Frees a consumer, after closing it if that was not done. NULL is allowed. In a forked child nothing happens.
 */
void mq_push_consumer_free(struct mq_push_consumer *consumer);

/**
 * Makes a consumer from its settings (`group` must be set). It connects when it is started.
 *
 * Next: `mq_pull_consumer_subscribe` or `mq_pull_consumer_assign`, and `mq_pull_consumer_start`, in any order.
 * Errors: `MQ_ERR_CONFIG`, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`, `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_pull_consumer_new(struct mq_client *client,
                                      const struct mq_config *config,
                                      struct mq_pull_consumer **consumer);

/**
 * Subscribes to a topic, or changes its expression: tags as `a || b`; `*` or an empty one is every message.
 *
 * Before the start it is only noted; after it, the consumer has its share of the topic's queues when this returns.
 * Errors: `MQ_ERR_STATE` when queues were assigned by hand.
 */
struct mq_error *mq_pull_consumer_subscribe(struct mq_pull_consumer *consumer,
                                            const char *topic,
                                            size_t topic_len,
                                            const char *expression,
                                            size_t expression_len);

/**
 * Takes a topic off and gives its queues up. Without any topic left, queues may be assigned by hand.
 */
struct mq_error *mq_pull_consumer_unsubscribe(struct mq_pull_consumer *consumer,
                                              const char *topic,
                                              size_t topic_len);

/**
 * Consumes these queues and no others, whoever else is in the group; an empty list ends that. Before the start it is only noted.
 *
 * Queues that stay keep their place. A new one begins at the group's offset, or where the setting `consume_from_where` says.
 * Errors: `MQ_ERR_STATE` when there are subscriptions, `MQ_ERR_ARGUMENT` when a topic has no such queue, `MQ_ERR_NOT_FOUND`.
 */
struct mq_error *mq_pull_consumer_assign(struct mq_pull_consumer *consumer,
                                         const struct mq_message_queues *queues);

/**
 * Lets the queues of a topic that are assigned from now on give out only messages whose tags are in `expression`. Does not block.
 */
struct mq_error *mq_pull_consumer_filter_assigned(struct mq_pull_consumer *consumer,
                                                  const char *topic,
                                                  size_t topic_len,
                                                  const char *expression,
                                                  size_t expression_len);

/**
 * Joins the group and, with subscriptions, takes the share of their queues. Blocks up to `timeout_ms` milliseconds (negative or
 * 0: 10 seconds).
 *
 * Errors: `MQ_ERR_STATE` when it was started before or the client has another consumer of the group. After an error it can be
 * started again.
 */
struct mq_error *mq_pull_consumer_start(struct mq_pull_consumer *consumer,
                                        int64_t timeout_ms);

/**
 * Gives the next messages, at most as many as the setting `poll_batch_size`, in the order of each queue; none if none arrived in time.
 *
 * They come as an event, the same that the asynchronous form puts on a queue (its tag is 0): see `mq_event_message_count` and
 * `mq_event_message`; free it with `mq_event_free`. Waits up to `timeout_ms` milliseconds: 0 does not wait, a negative value is
 * the setting `poll_timeout`.
 * Errors: `MQ_ERR_STATE` when another poll is running or there are neither subscriptions nor assigned queues; `MQ_ERR_TOO_LARGE`,
 * `MQ_ERR_BROKER` when a message cannot be decompressed (the next poll goes on after it).
 */
struct mq_error *mq_pull_consumer_poll(struct mq_pull_consumer *consumer,
                                       int64_t timeout_ms,
                                       struct mq_event **event);

/**
 * Goes on elsewhere in a queue: what is polled next of it comes from there.
 *
 * `whence` is one of `MQ_SEEK_*`; `value` is the offset for `MQ_SEEK_OFFSET`, milliseconds since 1970-01-01 UTC for `MQ_SEEK_TIME`, and
 * ignored otherwise. Errors: `MQ_ERR_STATE` when the queue is not assigned, `MQ_ERR_ARGUMENT` when it has no such offset.
 */
struct mq_error *mq_pull_consumer_seek(struct mq_pull_consumer *consumer,
                                       const char *topic,
                                       size_t topic_len,
                                       const char *broker_name,
                                       size_t broker_name_len,
                                       int32_t queue_id,
                                       int32_t whence,
                                       int64_t value);

/**
 * Gives the offset of the first message that was stored at this time or later (milliseconds since 1970-01-01 UTC); the end of the
 * queue if there is none. The queue need not be assigned.
 */
struct mq_error *mq_pull_consumer_offset_for_timestamp(struct mq_pull_consumer *consumer,
                                                       const char *topic,
                                                       size_t topic_len,
                                                       const char *broker_name,
                                                       size_t broker_name_len,
                                                       int32_t queue_id,
                                                       int64_t millis,
                                                       int64_t *offset);

/**
 * Commits for all queues what polls have given out, the latest poll included.
 */
struct mq_error *mq_pull_consumer_commit(struct mq_pull_consumer *consumer);

/**
 * Commits these offsets: `offsets[i]` is that of the next message to be consumed of queue number `i` of the list, which has `count` queues.
 *
 * With `auto_commit` a later commit replaces them by what polls have given out. Errors: `MQ_ERR_STATE` when a queue is not
 * assigned, `MQ_ERR_ARGUMENT` when an offset is negative; nothing is committed then.
 */
struct mq_error *mq_pull_consumer_commit_offsets(struct mq_pull_consumer *consumer,
                                                 const struct mq_message_queues *queues,
                                                 const int64_t *offsets,
                                                 size_t count);

/**
 * Gives the offset that is committed for the group, or -1 if there is none. The queue need not be assigned.
 */
struct mq_error *mq_pull_consumer_committed(struct mq_pull_consumer *consumer,
                                            const char *topic,
                                            size_t topic_len,
                                            const char *broker_name,
                                            size_t broker_name_len,
                                            int32_t queue_id,
                                            int64_t *offset);

/**
 * Gives the offset of the next message of the queue that a poll gives out. Errors: `MQ_ERR_STATE` when the queue is not assigned.
 */
struct mq_error *mq_pull_consumer_position(struct mq_pull_consumer *consumer,
                                           const char *topic,
                                           size_t topic_len,
                                           const char *broker_name,
                                           size_t broker_name_len,
                                           int32_t queue_id,
                                           int64_t *offset);

/**
 * Gives all queues of a topic that can be consumed. Free them with `mq_message_queues_free`. Errors: `MQ_ERR_NOT_FOUND`.
 */
struct mq_error *mq_pull_consumer_queues(struct mq_pull_consumer *consumer,
                                         const char *topic,
                                         size_t topic_len,
                                         struct mq_message_queues **queues);

/**
 * Lets an `MQ_EVENT_QUEUE_CHANGE` with the tag `watch` come on `events` each time the queues of the topic, or those of them that are
 * assigned to this consumer, have changed. Errors: `MQ_ERR_NOT_FOUND`.
 */
struct mq_error *mq_pull_consumer_watch_queues(struct mq_pull_consumer *consumer,
                                               const char *topic,
                                               size_t topic_len,
                                               struct mq_queue *events,
                                               uint64_t watch);

/**
 * Lets polls give out nothing of these queues until `mq_pull_consumer_resume`; what is cached is kept. Does not block.
 *
 * Errors: `MQ_ERR_STATE` when one of them is not assigned; none is paused then.
 */
struct mq_error *mq_pull_consumer_pause(struct mq_pull_consumer *consumer,
                                        const struct mq_message_queues *queues);

/**
 * Lets polls give out messages of these queues again. As `mq_pull_consumer_pause`.
 */
struct mq_error *mq_pull_consumer_resume(struct mq_pull_consumer *consumer,
                                         const struct mq_message_queues *queues);

/**
 * Gives the queues that the consumer has at the moment, in order; none before the start and after the close. Free them with
 * `mq_message_queues_free`. Does not block.
 */
struct mq_error *mq_pull_consumer_assignment(const struct mq_pull_consumer *consumer,
                                             struct mq_message_queues **queues);

/**
 * Cancels the asynchronous calls of this consumer that were made with `queue` and `tag` and are not done yet: their event is then
 * an `MQ_ERR_CANCELLED`. Unknown tags are no error; closing is not cancelled.
 */
struct mq_error *mq_pull_consumer_cancel(struct mq_pull_consumer *consumer,
                                         struct mq_queue *queue,
                                         uint64_t tag);

/**
 * Closes a consumer: pulls no more, commits what polls have given out if `auto_commit` is set, and leaves the group. A poll that is
 * running fails with `MQ_ERR_CLOSED`. Closing twice is no error.
 *
 * Blocks up to `timeout_ms` milliseconds (negative or 0: 5 seconds). Errors: `MQ_ERR_TIMEOUT` when it had to be cut (it is closed
 * all the same).
 */
struct mq_error *mq_pull_consumer_close(struct mq_pull_consumer *consumer,
                                        int64_t timeout_ms);

/**
 * Frees a consumer, after closing it if that was not done. NULL is allowed. In a forked child nothing happens.
 */
void mq_pull_consumer_free(struct mq_pull_consumer *consumer);

/**
 * As `mq_pull_consumer_subscribe`, without waiting.
 */
struct mq_error *mq_pull_consumer_subscribe_async(struct mq_pull_consumer *consumer,
                                                  const char *topic,
                                                  size_t topic_len,
                                                  const char *expression,
                                                  size_t expression_len,
                                                  struct mq_queue *queue,
                                                  uint64_t tag);

/**
 * As `mq_pull_consumer_unsubscribe`, without waiting.
 */
struct mq_error *mq_pull_consumer_unsubscribe_async(struct mq_pull_consumer *consumer,
                                                    const char *topic,
                                                    size_t topic_len,
                                                    struct mq_queue *queue,
                                                    uint64_t tag);

/**
 * As `mq_pull_consumer_assign`, without waiting.
 */
struct mq_error *mq_pull_consumer_assign_async(struct mq_pull_consumer *consumer,
                                               const struct mq_message_queues *queues,
                                               struct mq_queue *queue,
                                               uint64_t tag);

/**
 * As `mq_pull_consumer_start`, without waiting.
 */
struct mq_error *mq_pull_consumer_start_async(struct mq_pull_consumer *consumer,
                                              int64_t timeout_ms,
                                              struct mq_queue *queue,
                                              uint64_t tag);

/**
 * As `mq_pull_consumer_poll`, without waiting: one `MQ_EVENT_DONE` has all the messages, and none when the time is over.
 *
 * A poll that is cancelled loses no message; but when its event was on the queue before, that has given them out.
 */
struct mq_error *mq_pull_consumer_poll_async(struct mq_pull_consumer *consumer,
                                             int64_t timeout_ms,
                                             struct mq_queue *queue,
                                             uint64_t tag);

/**
 * As `mq_pull_consumer_seek`, without waiting.
 */
struct mq_error *mq_pull_consumer_seek_async(struct mq_pull_consumer *consumer,
                                             const char *topic,
                                             size_t topic_len,
                                             const char *broker_name,
                                             size_t broker_name_len,
                                             int32_t queue_id,
                                             int32_t whence,
                                             int64_t value,
                                             struct mq_queue *queue,
                                             uint64_t tag);

/**
 * As `mq_pull_consumer_offset_for_timestamp`, without waiting; see `mq_event_offset`.
 */
struct mq_error *mq_pull_consumer_offset_for_timestamp_async(struct mq_pull_consumer *consumer,
                                                             const char *topic,
                                                             size_t topic_len,
                                                             const char *broker_name,
                                                             size_t broker_name_len,
                                                             int32_t queue_id,
                                                             int64_t millis,
                                                             struct mq_queue *queue,
                                                             uint64_t tag);

/**
 * As `mq_pull_consumer_commit`, without waiting.
 */
struct mq_error *mq_pull_consumer_commit_async(struct mq_pull_consumer *consumer,
                                               struct mq_queue *queue,
                                               uint64_t tag);

/**
 * As `mq_pull_consumer_commit_offsets`, without waiting.
 */
struct mq_error *mq_pull_consumer_commit_offsets_async(struct mq_pull_consumer *consumer,
                                                       const struct mq_message_queues *queues,
                                                       const int64_t *offsets,
                                                       size_t count,
                                                       struct mq_queue *queue,
                                                       uint64_t tag);

/**
 * As `mq_pull_consumer_committed`, without waiting; see `mq_event_offset`.
 */
struct mq_error *mq_pull_consumer_committed_async(struct mq_pull_consumer *consumer,
                                                  const char *topic,
                                                  size_t topic_len,
                                                  const char *broker_name,
                                                  size_t broker_name_len,
                                                  int32_t queue_id,
                                                  struct mq_queue *queue,
                                                  uint64_t tag);

/**
 * As `mq_pull_consumer_position`, without waiting; see `mq_event_offset`.
 */
struct mq_error *mq_pull_consumer_position_async(struct mq_pull_consumer *consumer,
                                                 const char *topic,
                                                 size_t topic_len,
                                                 const char *broker_name,
                                                 size_t broker_name_len,
                                                 int32_t queue_id,
                                                 struct mq_queue *queue,
                                                 uint64_t tag);

/**
 * As `mq_pull_consumer_queues`, without waiting; see `mq_event_queues`.
 */
struct mq_error *mq_pull_consumer_queues_async(struct mq_pull_consumer *consumer,
                                               const char *topic,
                                               size_t topic_len,
                                               struct mq_queue *queue,
                                               uint64_t tag);

/**
 * As `mq_pull_consumer_watch_queues`, without waiting.
 */
struct mq_error *mq_pull_consumer_watch_queues_async(struct mq_pull_consumer *consumer,
                                                     const char *topic,
                                                     size_t topic_len,
                                                     struct mq_queue *events,
                                                     uint64_t watch,
                                                     struct mq_queue *queue,
                                                     uint64_t tag);

/**
 * As `mq_pull_consumer_close`, without waiting.
 */
struct mq_error *mq_pull_consumer_close_async(struct mq_pull_consumer *consumer,
                                              int64_t timeout_ms,
                                              struct mq_queue *queue,
                                              uint64_t tag);

/**
 * Gives access to the dead letters of a consumer group. No broker is asked yet. Free it with `mq_dead_letters_free`; there is
 * nothing to close. Errors: `MQ_ERR_ARGUMENT`, `MQ_ERR_CLOSED`, `MQ_ERR_FORKED`.
 */
struct mq_error *mq_dead_letters_new(struct mq_client *client,
                                     const char *group,
                                     size_t group_len,
                                     struct mq_dead_letters **letters);

/**
 * Gives up to `max` dead letters that follow those read before; none if there are no more at the moment.
 *
 * They come as an event, as those of `mq_pull_consumer_poll`: see `mq_event_message_count` and `mq_event_message`; free it
 * with `mq_event_free`. `mq_message_view_origin_topic` tells where each was first sent to.
 */
struct mq_error *mq_dead_letters_read(struct mq_dead_letters *letters,
                                      size_t max,
                                      struct mq_event **event);

/**
 * As `mq_dead_letters_read`, without waiting: one `MQ_EVENT_DONE` with `tag` on `queue` has all the letters.
 */
struct mq_error *mq_dead_letters_read_async(struct mq_dead_letters *letters,
                                            size_t max,
                                            struct mq_queue *queue,
                                            uint64_t tag);

/**
 * Begins again with the oldest; waits for a read that is under way.
 */
struct mq_error *mq_dead_letters_rewind(struct mq_dead_letters *letters);

/**
 * As `mq_dead_letters_rewind`, without waiting: an `MQ_EVENT_DONE` with `tag` on `queue`.
 */
struct mq_error *mq_dead_letters_rewind_async(struct mq_dead_letters *letters,
                                              struct mq_queue *queue,
                                              uint64_t tag);

/**
 * Sends a dead letter to the topic that it was first sent to, as a new message with a new id: same body, tag, keys, message
 * group and properties of the application. All groups that subscribe to the topic get it. The letter itself stays.
 *
 * `receipt` may be NULL; otherwise free it with `mq_receipt_free`. Errors also as `mq_producer_send`; `MQ_ERR_ARGUMENT` when
 * the message is no dead letter.
 */
struct mq_error *mq_dead_letters_resend(struct mq_dead_letters *letters,
                                        const struct mq_message_view *view,
                                        struct mq_receipt **receipt);

/**
 * As `mq_dead_letters_resend`, without waiting: the receipt comes with an `MQ_EVENT_DONE` with `tag` on `queue`. The view can be
 * freed after the call.
 */
struct mq_error *mq_dead_letters_resend_async(struct mq_dead_letters *letters,
                                              const struct mq_message_view *view,
                                              struct mq_queue *queue,
                                              uint64_t tag);

/**
 * Cancels the asynchronous calls that were made with `queue` and `tag` and are not done yet: their event is then an
 * `MQ_ERR_CANCELLED`. A read that is cancelled may have passed over letters, which `mq_dead_letters_rewind` brings back.
 */
struct mq_error *mq_dead_letters_cancel(struct mq_dead_letters *letters,
                                        struct mq_queue *queue,
                                        uint64_t tag);

/**
 * Frees the access to dead letters. NULL is allowed. In a forked child nothing happens.
 */
void mq_dead_letters_free(struct mq_dead_letters *letters);

/**
 * Hands the library's log lines up to `level` to `callback`; NULL or `MQ_LOG_OFF` stops that. The library logs nothing by
 * default. There is one receiver per process, callback or queue: the last one set.
 *
 * The callback is called on whatever thread logs, by several at once. It must return quickly and must not block, throw or longjmp. When
 * the function has returned, the receiver that was set before is not running and will never be called again.
 * Errors: `MQ_ERR_STATE` when called from within the callback, `MQ_ERR_ARGUMENT` for an unknown level.
 */
struct mq_error *mq_log_set_callback(mq_log_callback callback,
                                     void *user_data,
                                     int32_t level);

/**
 * Puts the library's log lines up to `level` on `queue` as `MQ_EVENT_LOG`; NULL or `MQ_LOG_OFF` stops that.
 *
 * No more than 1000 lines wait on a queue; what comes then is dropped, and counted in the next line.
 */
struct mq_error *mq_log_set_queue(struct mq_queue *queue, int32_t level);

/**
 * Starts a broker and waits until it accepts: on 127.0.0.1, on free ports, with a temporary data directory.
 *
 * `config` may be NULL. Settings: `data_dir` (a directory to keep data in; without it a temporary one, removed when the
 * broker is stopped or freed), `listen_port` and `namesrv_port` (0, the default, is any free port), and Apache's own
 * `broker.conf` keys (`flushDiskType`, `autoCreateTopicEnable`, `defaultTopicQueueNums` …).
 *
 * Errors: `MQ_ERR_CONFIG`, `MQ_ERR_IO` (directory or port), `MQ_ERR_ARGUMENT`.
 */
struct mq_error *mq_broker_start(const struct mq_config *config,
                                 struct mq_broker **broker);

/**
 * The `host:port` of its NameServer, which a client wants as `namesrv`. `len` (may be NULL) takes the length; a NUL
 * follows. Valid until the broker is freed, though after `mq_broker_restart` perhaps not the current one.
 */
const char *mq_broker_address(const struct mq_broker *broker,
                              size_t *len);

/**
 * The `host:port` of the broker itself. As `mq_broker_address`.
 */
const char *mq_broker_listen_address(const struct mq_broker *broker, size_t *len);

/**
 * The directory that holds its data. As `mq_broker_address`.
 */
const char *mq_broker_data_dir(const struct mq_broker *broker, size_t *len);

/**
 * Creates a topic with `queues` queues (1 or more), or changes their number.
 */
struct mq_error *mq_broker_create_topic(struct mq_broker *broker,
                                        const char *name,
                                        size_t name_len,
                                        int32_t queues);

/**
 * Stops a broker cleanly, up to `timeout_ms` milliseconds (negative or 0: 10 seconds). A temporary directory stays until
 * the broker is freed. Stopping twice is no error. Errors: `MQ_ERR_TIMEOUT`, `MQ_ERR_IO`.
 */
struct mq_error *mq_broker_stop(struct mq_broker *broker,
                                int64_t timeout_ms);

/**
 * Ends a broker as `kill -9` would: connections are cut, nothing is flushed, the mark of an unclean stop stays.
 */
struct mq_error *mq_broker_kill(struct mq_broker *broker);

/**
 * Starts a stopped or killed broker again, on the same data and, unless others took them, the same ports. One that runs
 * is stopped first. Errors as `mq_broker_start`.
 */
struct mq_error *mq_broker_restart(struct mq_broker *broker);

/**
 * Frees a broker, after stopping it if that was not done; a temporary directory is removed. NULL is allowed. In a forked
 * child nothing happens.
 */
void mq_broker_free(struct mq_broker *broker);

/**
 * The next `times` requests of this name are not carried out; their answer has the code `response`. Those that are
 * answered with `FLUSH_DISK_TIMEOUT`, `SLAVE_NOT_AVAILABLE` or `FLUSH_SLAVE_TIMEOUT` are carried out, as these codes say.
 *
 * What holds for all faults: requests and answers are named as in RocketMQ (`SEND_MESSAGE`, `SYSTEM_BUSY`) or by their
 * numbers; `SEND_MESSAGE` stands for all requests that send, `PULL_MESSAGE` for both that pull; requests to the
 * NameServer count too. Several faults of one request apply one after the other. Faults stay over a stop, a kill and
 * a restart. None of these calls blocks. Errors: `MQ_ERR_ARGUMENT` for a name that is not known, `MQ_ERR_FORKED`.
 */
struct mq_error *mq_broker_fail_next(struct mq_broker *broker,
                                     const char *request,
                                     size_t request_len,
                                     const char *response,
                                     size_t response_len,
                                     uint32_t times);

/**
 * The next `times` requests of this name are handled `delay_ms` milliseconds later; others go on meanwhile.
 */
struct mq_error *mq_broker_delay_next(struct mq_broker *broker,
                                      const char *request,
                                      size_t request_len,
                                      int64_t delay_ms,
                                      uint32_t times);

/**
 * The next `times` requests of this name are not carried out; their connections are closed.
 */
struct mq_error *mq_broker_drop_next(struct mq_broker *broker,
                                     const char *request,
                                     size_t request_len,
                                     uint32_t times);

/**
 * The next `times` requests of this name are carried out, but not answered.
 */
struct mq_error *mq_broker_lose_answer_next(struct mq_broker *broker,
                                            const char *request,
                                            size_t request_len,
                                            uint32_t times);

/**
 * Lets the broker close new connections at once (`refuse` not 0) or accept them again (0). Open ones stay, and its
 * NameServer goes on accepting.
 */
struct mq_error *mq_broker_refuse_connections(struct mq_broker *broker,
                                              int32_t refuse);

/**
 * Takes all faults back.
 */
struct mq_error *mq_broker_clear_faults(struct mq_broker *broker);

/**
 * Moves the broker's clock forward by `time_ms` milliseconds (0 or more): delayed messages and retries that become due
 * are delivered at once; locks, clients that do not answer and old files expire. Clients that are there stay.
 */
struct mq_error *mq_broker_advance_clock(struct mq_broker *broker,
                                         int64_t time_ms);

/**
 * Sets the broker's clock: milliseconds since 1970-01-01 UTC. It goes on from there.
 */
struct mq_error *mq_broker_set_clock(struct mq_broker *broker, int64_t millis);

/**
 * The broker's time: milliseconds since 1970-01-01 UTC.
 */
struct mq_error *mq_broker_clock(const struct mq_broker *broker, int64_t *millis);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MQ_H */
