/* mq.h without comments, macros and preprocessor lines, for PHP's FFI::cdef and the like. Generated; do not edit. */
typedef struct mq_broker mq_broker;
typedef struct mq_client mq_client;
typedef struct mq_config mq_config;
typedef struct mq_dead_letters mq_dead_letters;
typedef struct mq_error mq_error;
typedef struct mq_event mq_event;
typedef struct mq_message mq_message;
typedef struct mq_message_queues mq_message_queues;
typedef struct mq_message_view mq_message_view;
typedef struct mq_producer mq_producer;
typedef struct mq_pull_consumer mq_pull_consumer;
typedef struct mq_push_consumer mq_push_consumer;
typedef struct mq_queue mq_queue;
typedef struct mq_receipt mq_receipt;
typedef void (*mq_wakeup_callback)(void *user_data);
typedef void (*mq_log_callback)(int32_t level,
                                const char *target,
                                size_t target_len,
                                const char *message,
                                size_t message_len,
                                void *user_data);
uint32_t mq_abi_version(void);
const char *mq_version(void);
int32_t mq_error_code(const struct mq_error *error);
const char *mq_error_name(const struct mq_error *error);
const char *mq_error_message(const struct mq_error *error, size_t *len);
int32_t mq_error_broker_code(const struct mq_error *error);
int32_t mq_error_retryable(const struct mq_error *error);
int32_t mq_error_throttled(const struct mq_error *error);
int32_t mq_error_fatal(const struct mq_error *error);
void mq_error_free(struct mq_error *error);
const char *mq_error_code_name(int32_t code);
struct mq_config *mq_config_new(void);
struct mq_error *mq_config_set(struct mq_config *config,
                               const char *key,
                               size_t key_len,
                               const char *value,
                               size_t value_len);
const char *mq_config_get(const struct mq_config *config,
                          const char *key,
                          size_t key_len,
                          size_t *len);
void mq_config_free(struct mq_config *config);
struct mq_error *mq_message_new(const char *topic,
                                size_t topic_len,
                                const uint8_t *body,
                                size_t body_len,
                                struct mq_message **message);
struct mq_error *mq_message_set_tag(struct mq_message *message,
                                    const char *tag,
                                    size_t tag_len);
struct mq_error *mq_message_add_key(struct mq_message *message, const char *key, size_t key_len);
struct mq_error *mq_message_set_property(struct mq_message *message,
                                         const char *name,
                                         size_t name_len,
                                         const char *value,
                                         size_t value_len);
struct mq_error *mq_message_set_group(struct mq_message *message, const char *group, size_t group_len);
struct mq_error *mq_message_set_delay_level(struct mq_message *message,
                                            int32_t level);
struct mq_error *mq_message_set_wait_store(struct mq_message *message,
                                           int32_t wait);
struct mq_error *mq_message_set_flag(struct mq_message *message, int32_t flag);
struct mq_error *mq_message_check(const struct mq_message *message);
void mq_message_free(struct mq_message *message);
const char *mq_receipt_message_id(const struct mq_receipt *receipt, size_t *len);
const char *mq_receipt_offset_message_id(const struct mq_receipt *receipt, size_t *len);
const char *mq_receipt_topic(const struct mq_receipt *receipt, size_t *len);
const char *mq_receipt_broker_name(const struct mq_receipt *receipt, size_t *len);
int32_t mq_receipt_queue_id(const struct mq_receipt *receipt);
int64_t mq_receipt_queue_offset(const struct mq_receipt *receipt);
int32_t mq_receipt_status(const struct mq_receipt *receipt);
const char *mq_receipt_transaction_id(const struct mq_receipt *receipt, size_t *len);
const char *mq_receipt_region_id(const struct mq_receipt *receipt, size_t *len);
void mq_receipt_free(struct mq_receipt *receipt);
const char *mq_message_view_topic(const struct mq_message_view *view, size_t *len);
const char *mq_message_view_origin_topic(const struct mq_message_view *view, size_t *len);
const uint8_t *mq_message_view_body(const struct mq_message_view *view, size_t *len);
const char *mq_message_view_tag(const struct mq_message_view *view, size_t *len);
size_t mq_message_view_key_count(const struct mq_message_view *view);
const char *mq_message_view_key(const struct mq_message_view *view, size_t index, size_t *len);
const char *mq_message_view_group(const struct mq_message_view *view, size_t *len);
const char *mq_message_view_property(const struct mq_message_view *view,
                                     const char *name,
                                     size_t name_len,
                                     size_t *len);
size_t mq_message_view_property_count(const struct mq_message_view *view);
const char *mq_message_view_property_name(const struct mq_message_view *view, size_t index, size_t *len);
const char *mq_message_view_property_value(const struct mq_message_view *view, size_t index, size_t *len);
const char *mq_message_view_message_id(const struct mq_message_view *view, size_t *len);
const char *mq_message_view_offset_message_id(const struct mq_message_view *view, size_t *len);
const char *mq_message_view_broker_name(const struct mq_message_view *view, size_t *len);
int32_t mq_message_view_queue_id(const struct mq_message_view *view);
int64_t mq_message_view_queue_offset(const struct mq_message_view *view);
int64_t mq_message_view_born_timestamp(const struct mq_message_view *view);
const char *mq_message_view_born_host(const struct mq_message_view *view, size_t *len);
int64_t mq_message_view_store_timestamp(const struct mq_message_view *view);
const char *mq_message_view_store_host(const struct mq_message_view *view, size_t *len);
int32_t mq_message_view_flag(const struct mq_message_view *view);
int32_t mq_message_view_reconsume_times(const struct mq_message_view *view);
int32_t mq_message_view_delivery_attempt(const struct mq_message_view *view);
struct mq_message_view *mq_message_view_clone(const struct mq_message_view *view);
void mq_message_view_free(struct mq_message_view *view);
const uint8_t *mq_message_view_packed(const struct mq_message_view *view,
                                      size_t *len);
struct mq_message_queues *mq_message_queues_new(void);
struct mq_error *mq_message_queues_add(struct mq_message_queues *queues,
                                       const char *topic,
                                       size_t topic_len,
                                       const char *broker_name,
                                       size_t broker_name_len,
                                       int32_t queue_id);
size_t mq_message_queues_count(const struct mq_message_queues *queues);
const char *mq_message_queues_topic(const struct mq_message_queues *queues,
                                    size_t index,
                                    size_t *len);
const char *mq_message_queues_broker_name(const struct mq_message_queues *queues, size_t index, size_t *len);
int32_t mq_message_queues_id(const struct mq_message_queues *queues, size_t index);
void mq_message_queues_free(struct mq_message_queues *queues);
struct mq_queue *mq_queue_new(void);
struct mq_error *mq_queue_poll(struct mq_queue *queue,
                               struct mq_event **events,
                               size_t max,
                               int64_t timeout_ms,
                               size_t *count);
struct mq_error *mq_queue_wake(struct mq_queue *queue);
size_t mq_queue_length(const struct mq_queue *queue);
struct mq_error *mq_queue_fd(struct mq_queue *queue,
                             int32_t *fd);
struct mq_error *mq_queue_set_wakeup(struct mq_queue *queue,
                                     mq_wakeup_callback callback,
                                     void *user_data);
struct mq_error *mq_queue_close(struct mq_queue *queue);
void mq_queue_free(struct mq_queue *queue);
int32_t mq_event_kind(const struct mq_event *event);
uint64_t mq_event_tag(const struct mq_event *event);
const struct mq_error *mq_event_error(const struct mq_event *event);
const struct mq_receipt *mq_event_receipt(const struct mq_event *event);
const struct mq_message_queues *mq_event_queues(const struct mq_event *event);
const struct mq_message_queues *mq_event_assigned(const struct mq_event *event);
const char *mq_event_topic(const struct mq_event *event, size_t *len);
int64_t mq_event_offset(const struct mq_event *event);
size_t mq_event_message_count(const struct mq_event *event);
const struct mq_message_view *mq_event_message(const struct mq_event *event,
                                               size_t index);
struct mq_error *mq_event_reply(struct mq_event *event,
                                int32_t result,
                                int32_t detail);
uint64_t mq_event_take_token(struct mq_event *event);
const char *mq_event_warning_name(const struct mq_event *event,
                                  size_t *len);
const char *mq_event_warning_message(const struct mq_event *event, size_t *len);
int32_t mq_event_log_level(const struct mq_event *event);
const char *mq_event_log_target(const struct mq_event *event,
                                size_t *len);
const char *mq_event_log_message(const struct mq_event *event, size_t *len);
void mq_event_free(struct mq_event *event);
struct mq_error *mq_client_new(const struct mq_config *config,
                               struct mq_client **client);
struct mq_error *mq_client_close(struct mq_client *client,
                                 int64_t timeout_ms);
struct mq_error *mq_client_close_async(struct mq_client *client,
                                       int64_t timeout_ms,
                                       struct mq_queue *queue,
                                       uint64_t tag);
void mq_client_free(struct mq_client *client);
struct mq_error *mq_producer_new(struct mq_client *client,
                                 const struct mq_config *config,
                                 struct mq_producer **producer);
struct mq_error *mq_producer_send(struct mq_producer *producer,
                                  const struct mq_message *message,
                                  int64_t timeout_ms,
                                  struct mq_receipt **receipt);
struct mq_error *mq_producer_send_async(struct mq_producer *producer,
                                        const struct mq_message *message,
                                        int64_t timeout_ms,
                                        struct mq_queue *queue,
                                        uint64_t tag);
struct mq_error *mq_producer_send_oneway(struct mq_producer *producer, const struct mq_message *message);
struct mq_error *mq_producer_send_oneway_async(struct mq_producer *producer,
                                               const struct mq_message *message,
                                               struct mq_queue *queue,
                                               uint64_t tag);
struct mq_error *mq_producer_send_batch(struct mq_producer *producer,
                                        const struct mq_message *const *messages,
                                        size_t count,
                                        int64_t timeout_ms,
                                        struct mq_receipt **receipt);
struct mq_error *mq_producer_send_batch_async(struct mq_producer *producer,
                                              const struct mq_message *const *messages,
                                              size_t count,
                                              int64_t timeout_ms,
                                              struct mq_queue *queue,
                                              uint64_t tag);
struct mq_error *mq_producer_send_to_queue(struct mq_producer *producer,
                                           const struct mq_message *message,
                                           const char *broker_name,
                                           size_t broker_name_len,
                                           int32_t queue_id,
                                           int64_t timeout_ms,
                                           struct mq_receipt **receipt);
struct mq_error *mq_producer_send_to_queue_async(struct mq_producer *producer,
                                                 const struct mq_message *message,
                                                 const char *broker_name,
                                                 size_t broker_name_len,
                                                 int32_t queue_id,
                                                 int64_t timeout_ms,
                                                 struct mq_queue *queue,
                                                 uint64_t tag);
struct mq_error *mq_producer_queues(struct mq_producer *producer,
                                    const char *topic,
                                    size_t topic_len,
                                    struct mq_message_queues **queues);
struct mq_error *mq_producer_queues_async(struct mq_producer *producer,
                                          const char *topic,
                                          size_t topic_len,
                                          struct mq_queue *queue,
                                          uint64_t tag);
struct mq_error *mq_producer_split_batch(struct mq_producer *producer,
                                         const struct mq_message *const *messages,
                                         size_t count,
                                         size_t *lengths,
                                         size_t *lists);
struct mq_error *mq_producer_cancel(struct mq_producer *producer,
                                    struct mq_queue *queue,
                                    uint64_t tag);
struct mq_error *mq_producer_close(struct mq_producer *producer,
                                   int64_t timeout_ms);
struct mq_error *mq_producer_close_async(struct mq_producer *producer,
                                         int64_t timeout_ms,
                                         struct mq_queue *queue,
                                         uint64_t tag);
void mq_producer_free(struct mq_producer *producer);
struct mq_error *mq_push_consumer_new(struct mq_client *client,
                                      const struct mq_config *config,
                                      struct mq_queue *queue,
                                      uint64_t tag,
                                      struct mq_push_consumer **consumer);
struct mq_error *mq_push_consumer_subscribe(struct mq_push_consumer *consumer,
                                            const char *topic,
                                            size_t topic_len,
                                            const char *expression,
                                            size_t expression_len);
struct mq_error *mq_push_consumer_subscribe_async(struct mq_push_consumer *consumer,
                                                  const char *topic,
                                                  size_t topic_len,
                                                  const char *expression,
                                                  size_t expression_len,
                                                  struct mq_queue *queue,
                                                  uint64_t tag);
struct mq_error *mq_push_consumer_unsubscribe(struct mq_push_consumer *consumer,
                                              const char *topic,
                                              size_t topic_len);
struct mq_error *mq_push_consumer_unsubscribe_async(struct mq_push_consumer *consumer,
                                                    const char *topic,
                                                    size_t topic_len,
                                                    struct mq_queue *queue,
                                                    uint64_t tag);
struct mq_error *mq_push_consumer_start(struct mq_push_consumer *consumer,
                                        int64_t timeout_ms);
struct mq_error *mq_push_consumer_start_async(struct mq_push_consumer *consumer,
                                              int64_t timeout_ms,
                                              struct mq_queue *queue,
                                              uint64_t tag);
struct mq_error *mq_push_consumer_reply(struct mq_push_consumer *consumer,
                                        uint64_t token,
                                        int32_t result,
                                        int32_t detail);
struct mq_error *mq_push_consumer_suspend(struct mq_push_consumer *consumer);
struct mq_error *mq_push_consumer_resume(struct mq_push_consumer *consumer);
struct mq_error *mq_push_consumer_assignment(const struct mq_push_consumer *consumer,
                                             struct mq_message_queues **queues);
struct mq_error *mq_push_consumer_cancel(struct mq_push_consumer *consumer,
                                         struct mq_queue *queue,
                                         uint64_t tag);
struct mq_error *mq_push_consumer_close(struct mq_push_consumer *consumer,
                                        int64_t timeout_ms);
struct mq_error *mq_push_consumer_close_async(struct mq_push_consumer *consumer,
                                              int64_t timeout_ms,
                                              struct mq_queue *queue,
                                              uint64_t tag);
void mq_push_consumer_free(struct mq_push_consumer *consumer);
struct mq_error *mq_pull_consumer_new(struct mq_client *client,
                                      const struct mq_config *config,
                                      struct mq_pull_consumer **consumer);
struct mq_error *mq_pull_consumer_subscribe(struct mq_pull_consumer *consumer,
                                            const char *topic,
                                            size_t topic_len,
                                            const char *expression,
                                            size_t expression_len);
struct mq_error *mq_pull_consumer_unsubscribe(struct mq_pull_consumer *consumer,
                                              const char *topic,
                                              size_t topic_len);
struct mq_error *mq_pull_consumer_assign(struct mq_pull_consumer *consumer,
                                         const struct mq_message_queues *queues);
struct mq_error *mq_pull_consumer_filter_assigned(struct mq_pull_consumer *consumer,
                                                  const char *topic,
                                                  size_t topic_len,
                                                  const char *expression,
                                                  size_t expression_len);
struct mq_error *mq_pull_consumer_start(struct mq_pull_consumer *consumer,
                                        int64_t timeout_ms);
struct mq_error *mq_pull_consumer_poll(struct mq_pull_consumer *consumer,
                                       int64_t timeout_ms,
                                       struct mq_event **event);
struct mq_error *mq_pull_consumer_seek(struct mq_pull_consumer *consumer,
                                       const char *topic,
                                       size_t topic_len,
                                       const char *broker_name,
                                       size_t broker_name_len,
                                       int32_t queue_id,
                                       int32_t whence,
                                       int64_t value);
struct mq_error *mq_pull_consumer_offset_for_timestamp(struct mq_pull_consumer *consumer,
                                                       const char *topic,
                                                       size_t topic_len,
                                                       const char *broker_name,
                                                       size_t broker_name_len,
                                                       int32_t queue_id,
                                                       int64_t millis,
                                                       int64_t *offset);
struct mq_error *mq_pull_consumer_commit(struct mq_pull_consumer *consumer);
struct mq_error *mq_pull_consumer_commit_offsets(struct mq_pull_consumer *consumer,
                                                 const struct mq_message_queues *queues,
                                                 const int64_t *offsets,
                                                 size_t count);
struct mq_error *mq_pull_consumer_committed(struct mq_pull_consumer *consumer,
                                            const char *topic,
                                            size_t topic_len,
                                            const char *broker_name,
                                            size_t broker_name_len,
                                            int32_t queue_id,
                                            int64_t *offset);
struct mq_error *mq_pull_consumer_position(struct mq_pull_consumer *consumer,
                                           const char *topic,
                                           size_t topic_len,
                                           const char *broker_name,
                                           size_t broker_name_len,
                                           int32_t queue_id,
                                           int64_t *offset);
struct mq_error *mq_pull_consumer_queues(struct mq_pull_consumer *consumer,
                                         const char *topic,
                                         size_t topic_len,
                                         struct mq_message_queues **queues);
struct mq_error *mq_pull_consumer_watch_queues(struct mq_pull_consumer *consumer,
                                               const char *topic,
                                               size_t topic_len,
                                               struct mq_queue *events,
                                               uint64_t watch);
struct mq_error *mq_pull_consumer_pause(struct mq_pull_consumer *consumer,
                                        const struct mq_message_queues *queues);
struct mq_error *mq_pull_consumer_resume(struct mq_pull_consumer *consumer,
                                         const struct mq_message_queues *queues);
struct mq_error *mq_pull_consumer_assignment(const struct mq_pull_consumer *consumer,
                                             struct mq_message_queues **queues);
struct mq_error *mq_pull_consumer_cancel(struct mq_pull_consumer *consumer,
                                         struct mq_queue *queue,
                                         uint64_t tag);
struct mq_error *mq_pull_consumer_close(struct mq_pull_consumer *consumer,
                                        int64_t timeout_ms);
void mq_pull_consumer_free(struct mq_pull_consumer *consumer);
struct mq_error *mq_pull_consumer_subscribe_async(struct mq_pull_consumer *consumer,
                                                  const char *topic,
                                                  size_t topic_len,
                                                  const char *expression,
                                                  size_t expression_len,
                                                  struct mq_queue *queue,
                                                  uint64_t tag);
struct mq_error *mq_pull_consumer_unsubscribe_async(struct mq_pull_consumer *consumer,
                                                    const char *topic,
                                                    size_t topic_len,
                                                    struct mq_queue *queue,
                                                    uint64_t tag);
struct mq_error *mq_pull_consumer_assign_async(struct mq_pull_consumer *consumer,
                                               const struct mq_message_queues *queues,
                                               struct mq_queue *queue,
                                               uint64_t tag);
struct mq_error *mq_pull_consumer_start_async(struct mq_pull_consumer *consumer,
                                              int64_t timeout_ms,
                                              struct mq_queue *queue,
                                              uint64_t tag);
struct mq_error *mq_pull_consumer_poll_async(struct mq_pull_consumer *consumer,
                                             int64_t timeout_ms,
                                             struct mq_queue *queue,
                                             uint64_t tag);
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
struct mq_error *mq_pull_consumer_offset_for_timestamp_async(struct mq_pull_consumer *consumer,
                                                             const char *topic,
                                                             size_t topic_len,
                                                             const char *broker_name,
                                                             size_t broker_name_len,
                                                             int32_t queue_id,
                                                             int64_t millis,
                                                             struct mq_queue *queue,
                                                             uint64_t tag);
struct mq_error *mq_pull_consumer_commit_async(struct mq_pull_consumer *consumer,
                                               struct mq_queue *queue,
                                               uint64_t tag);
struct mq_error *mq_pull_consumer_commit_offsets_async(struct mq_pull_consumer *consumer,
                                                       const struct mq_message_queues *queues,
                                                       const int64_t *offsets,
                                                       size_t count,
                                                       struct mq_queue *queue,
                                                       uint64_t tag);
struct mq_error *mq_pull_consumer_committed_async(struct mq_pull_consumer *consumer,
                                                  const char *topic,
                                                  size_t topic_len,
                                                  const char *broker_name,
                                                  size_t broker_name_len,
                                                  int32_t queue_id,
                                                  struct mq_queue *queue,
                                                  uint64_t tag);
struct mq_error *mq_pull_consumer_position_async(struct mq_pull_consumer *consumer,
                                                 const char *topic,
                                                 size_t topic_len,
                                                 const char *broker_name,
                                                 size_t broker_name_len,
                                                 int32_t queue_id,
                                                 struct mq_queue *queue,
                                                 uint64_t tag);
struct mq_error *mq_pull_consumer_queues_async(struct mq_pull_consumer *consumer,
                                               const char *topic,
                                               size_t topic_len,
                                               struct mq_queue *queue,
                                               uint64_t tag);
struct mq_error *mq_pull_consumer_watch_queues_async(struct mq_pull_consumer *consumer,
                                                     const char *topic,
                                                     size_t topic_len,
                                                     struct mq_queue *events,
                                                     uint64_t watch,
                                                     struct mq_queue *queue,
                                                     uint64_t tag);
struct mq_error *mq_pull_consumer_close_async(struct mq_pull_consumer *consumer,
                                              int64_t timeout_ms,
                                              struct mq_queue *queue,
                                              uint64_t tag);
struct mq_error *mq_dead_letters_new(struct mq_client *client,
                                     const char *group,
                                     size_t group_len,
                                     struct mq_dead_letters **letters);
struct mq_error *mq_dead_letters_read(struct mq_dead_letters *letters,
                                      size_t max,
                                      struct mq_event **event);
struct mq_error *mq_dead_letters_read_async(struct mq_dead_letters *letters,
                                            size_t max,
                                            struct mq_queue *queue,
                                            uint64_t tag);
struct mq_error *mq_dead_letters_rewind(struct mq_dead_letters *letters);
struct mq_error *mq_dead_letters_rewind_async(struct mq_dead_letters *letters,
                                              struct mq_queue *queue,
                                              uint64_t tag);
struct mq_error *mq_dead_letters_resend(struct mq_dead_letters *letters,
                                        const struct mq_message_view *view,
                                        struct mq_receipt **receipt);
struct mq_error *mq_dead_letters_resend_async(struct mq_dead_letters *letters,
                                              const struct mq_message_view *view,
                                              struct mq_queue *queue,
                                              uint64_t tag);
struct mq_error *mq_dead_letters_cancel(struct mq_dead_letters *letters,
                                        struct mq_queue *queue,
                                        uint64_t tag);
void mq_dead_letters_free(struct mq_dead_letters *letters);
struct mq_error *mq_log_set_callback(mq_log_callback callback,
                                     void *user_data,
                                     int32_t level);
struct mq_error *mq_log_set_queue(struct mq_queue *queue, int32_t level);
struct mq_error *mq_broker_start(const struct mq_config *config,
                                 struct mq_broker **broker);
const char *mq_broker_address(const struct mq_broker *broker,
                              size_t *len);
const char *mq_broker_listen_address(const struct mq_broker *broker, size_t *len);
const char *mq_broker_data_dir(const struct mq_broker *broker, size_t *len);
struct mq_error *mq_broker_create_topic(struct mq_broker *broker,
                                        const char *name,
                                        size_t name_len,
                                        int32_t queues);
struct mq_error *mq_broker_stop(struct mq_broker *broker,
                                int64_t timeout_ms);
struct mq_error *mq_broker_kill(struct mq_broker *broker);
struct mq_error *mq_broker_restart(struct mq_broker *broker);
void mq_broker_free(struct mq_broker *broker);
struct mq_error *mq_broker_fail_next(struct mq_broker *broker,
                                     const char *request,
                                     size_t request_len,
                                     const char *response,
                                     size_t response_len,
                                     uint32_t times);
struct mq_error *mq_broker_delay_next(struct mq_broker *broker,
                                      const char *request,
                                      size_t request_len,
                                      int64_t delay_ms,
                                      uint32_t times);
struct mq_error *mq_broker_drop_next(struct mq_broker *broker,
                                     const char *request,
                                     size_t request_len,
                                     uint32_t times);
struct mq_error *mq_broker_lose_answer_next(struct mq_broker *broker,
                                            const char *request,
                                            size_t request_len,
                                            uint32_t times);
struct mq_error *mq_broker_refuse_connections(struct mq_broker *broker,
                                              int32_t refuse);
struct mq_error *mq_broker_clear_faults(struct mq_broker *broker);
struct mq_error *mq_broker_advance_clock(struct mq_broker *broker,
                                         int64_t time_ms);
struct mq_error *mq_broker_set_clock(struct mq_broker *broker, int64_t millis);
struct mq_error *mq_broker_clock(const struct mq_broker *broker, int64_t *millis);
