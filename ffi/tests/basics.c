/* Version, errors, settings, and NULL wherever a pointer goes. */
#include "test.h"

static void versions(void) {
    CHECK(mq_abi_version() == MQ_ABI_VERSION);
    CHECK(mq_version() != NULL && strchr(mq_version(), '.') != NULL);
}

static void errors(void) {
    mq_config *config = mq_config_new();
    mq_error *error = mq_config_set(config, MQ_TEXT("sendMsgTimeot"), MQ_TEXT("1"));
    size_t len = 0;
    CHECK(mq_error_code(error) == MQ_ERR_CONFIG);
    CHECK(same(mq_error_name(error), "CONFIG"));
    CHECK(strstr(mq_error_message(error, &len), "did you mean 'sendMsgTimeout'?") != NULL);
    CHECK(len == strlen(mq_error_message(error, NULL)));
    CHECK(mq_error_broker_code(error) == -1);
    CHECK(!mq_error_retryable(error) && !mq_error_throttled(error) && !mq_error_fatal(error));
    mq_error_free(error);
    mq_config_free(config);

    CHECK(mq_error_code(NULL) == MQ_OK);
    CHECK(same(mq_error_name(NULL), "OK"));
    CHECK(same(mq_error_message(NULL, &len), "") && len == 0);
    CHECK(mq_error_broker_code(NULL) == -1);
    CHECK(!mq_error_retryable(NULL) && !mq_error_throttled(NULL) && !mq_error_fatal(NULL));
    CHECK(same(mq_error_code_name(MQ_ERR_QUEUE_FULL), "QUEUE_FULL"));
    CHECK(same(mq_error_code_name(1000), "UNKNOWN"));
}

static void config(void) {
    mq_config *config = mq_config_new();
    mq_client *client = NULL;
    mq_broker *broker = NULL;
    size_t len = 0;
    CHECK(mq_config_get(config, MQ_TEXT("namesrv"), &len) == NULL && len == 0);
    /* Not NUL-terminated: the length counts. */
    OK(mq_config_set(config, "namesrvAddr###", 11, "127.0.0.1:9876###", 14));
    CHECK(same(mq_config_get(config, MQ_TEXT("namesrv"), &len), "127.0.0.1:9876") && len == 14);
    OK(mq_config_set(config, "namesrv", MQ_CSTR, "127.0.0.1:9877", MQ_CSTR));
    CHECK(same(mq_config_get(config, MQ_TEXT("namesrvAddr"), NULL), "127.0.0.1:9877"));
    FAILS(mq_config_set(config, MQ_TEXT("namesrv"), MQ_TEXT("no port")), MQ_ERR_CONFIG);
    FAILS(mq_config_set(config, MQ_TEXT("send_timeout"), MQ_TEXT("soon")), MQ_ERR_CONFIG);
    FAILS(mq_config_set(config, MQ_TEXT("flushDiskType"), MQ_TEXT("NEVER")), MQ_ERR_CONFIG);
    FAILS(mq_config_set(config, MQ_TEXT(""), MQ_TEXT("")), MQ_ERR_CONFIG);
    FAILS(mq_config_set(config, MQ_TEXT("name\xff"), MQ_TEXT("x")), MQ_ERR_ARGUMENT);
    FAILS(mq_config_set(config, MQ_TEXT("namesrv"), MQ_TEXT("\xc3")), MQ_ERR_ARGUMENT);
    FAILS(mq_config_set(config, MQ_TEXT("namesrv"), "x", SIZE_MAX / 2 + 1), MQ_ERR_ARGUMENT);
    CHECK(same(mq_config_get(config, MQ_TEXT("namesrv"), NULL), "127.0.0.1:9877"));
    OK(mq_config_set(config, MQ_TEXT("group"), MQ_TEXT("orders")));
    FAILS(mq_client_new(config, &client), MQ_ERR_CONFIG);
    FAILS(mq_broker_start(config, &broker), MQ_ERR_CONFIG);
    CHECK(client == NULL && broker == NULL);
    mq_config_free(config);
}

static void null_handles(void) {
    mq_config *config = mq_config_new();
    mq_queue *queue = mq_queue_new();
    mq_event *event = NULL;
    size_t count = 99;
    int32_t fd = -1;
    FAILS(mq_config_set(NULL, MQ_TEXT("group"), MQ_TEXT("x")), MQ_ERR_ARGUMENT);
    FAILS(mq_config_set(config, NULL, 3, MQ_TEXT("x")), MQ_ERR_ARGUMENT);
    FAILS(mq_config_set(config, NULL, MQ_CSTR, MQ_TEXT("x")), MQ_ERR_ARGUMENT);
    CHECK(mq_config_get(NULL, MQ_TEXT("group"), NULL) == NULL);
    FAILS(mq_message_new(NULL, 1, NULL, 0, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_message_set_tag(NULL, MQ_TEXT("x")), MQ_ERR_ARGUMENT);
    FAILS(mq_message_add_key(NULL, MQ_TEXT("x")), MQ_ERR_ARGUMENT);
    FAILS(mq_message_set_property(NULL, MQ_TEXT("x"), MQ_TEXT("x")), MQ_ERR_ARGUMENT);
    FAILS(mq_message_set_group(NULL, MQ_TEXT("x")), MQ_ERR_ARGUMENT);
    FAILS(mq_message_set_delay_level(NULL, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_message_check(NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_queue_poll(NULL, &event, 1, 0, &count), MQ_ERR_ARGUMENT);
    FAILS(mq_queue_poll(queue, NULL, 1, 0, &count), MQ_ERR_ARGUMENT);
    FAILS(mq_queue_poll(queue, &event, 1, 0, NULL), MQ_ERR_ARGUMENT);
    CHECK(count == 99);
    OK(mq_queue_poll(queue, NULL, 0, 0, &count));
    CHECK(count == 0);
    FAILS(mq_queue_wake(NULL), MQ_ERR_ARGUMENT);
    CHECK(mq_queue_length(NULL) == 0);
    FAILS(mq_queue_fd(NULL, &fd), MQ_ERR_ARGUMENT);
    FAILS(mq_queue_fd(queue, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_queue_set_wakeup(NULL, NULL, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_queue_close(NULL), MQ_ERR_ARGUMENT);
    CHECK(mq_event_kind(NULL) == 0 && mq_event_tag(NULL) == 0);
    CHECK(mq_event_error(NULL) == NULL && mq_event_receipt(NULL) == NULL);
    CHECK(mq_event_message_count(NULL) == 0 && mq_event_message(NULL, 0) == NULL);
    FAILS(mq_event_reply(NULL, MQ_CONSUME_SUCCESS, 0), MQ_ERR_ARGUMENT);
    CHECK(mq_event_take_token(NULL) == 0);
    CHECK(mq_event_log_level(NULL) == 0);
    CHECK(mq_event_log_target(NULL, NULL) == NULL && mq_event_log_message(NULL, NULL) == NULL);
    FAILS(mq_client_new(NULL, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_client_new(config, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_client_close(NULL, 0), MQ_ERR_ARGUMENT);
    FAILS(mq_client_close_async(NULL, 0, queue, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_new(NULL, NULL, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_send(NULL, NULL, 0, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_send_async(NULL, NULL, 0, queue, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_send_oneway(NULL, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_send_oneway_async(NULL, NULL, queue, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_send_batch(NULL, NULL, 0, 0, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_send_batch_async(NULL, NULL, 0, 0, queue, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_cancel(NULL, queue, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_close(NULL, 0), MQ_ERR_ARGUMENT);
    FAILS(mq_producer_close_async(NULL, 0, queue, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_new(NULL, config, queue, 1, NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_subscribe(NULL, MQ_TEXT("x"), MQ_TEXT("*")), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_start(NULL, 0), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_start_async(NULL, 0, queue, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_reply(NULL, 1, 0, 0), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_suspend(NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_resume(NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_close(NULL, 0), MQ_ERR_ARGUMENT);
    FAILS(mq_push_consumer_close_async(NULL, 0, queue, 1), MQ_ERR_ARGUMENT);
    FAILS(mq_log_set_callback(NULL, NULL, 99), MQ_ERR_ARGUMENT);
    FAILS(mq_log_set_queue(NULL, -1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_start(NULL, NULL), MQ_ERR_ARGUMENT);
    CHECK(mq_broker_address(NULL, NULL) == NULL && mq_broker_listen_address(NULL, NULL) == NULL);
    CHECK(mq_broker_data_dir(NULL, NULL) == NULL);
    FAILS(mq_broker_create_topic(NULL, MQ_TEXT("x"), 1), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_stop(NULL, 0), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_kill(NULL), MQ_ERR_ARGUMENT);
    FAILS(mq_broker_restart(NULL), MQ_ERR_ARGUMENT);
    mq_queue_free(queue);
    mq_config_free(config);

    mq_error_free(NULL);
    mq_config_free(NULL);
    mq_message_free(NULL);
    mq_receipt_free(NULL);
    mq_message_view_free(NULL);
    mq_queue_free(NULL);
    mq_event_free(NULL);
    mq_client_free(NULL);
    mq_producer_free(NULL);
    mq_push_consumer_free(NULL);
    mq_broker_free(NULL);
}

static void null_receipts_and_views(void) {
    size_t len = 99;
    CHECK(mq_receipt_message_id(NULL, &len) == NULL && len == 0);
    CHECK(mq_receipt_offset_message_id(NULL, NULL) == NULL && mq_receipt_topic(NULL, NULL) == NULL);
    CHECK(mq_receipt_broker_name(NULL, NULL) == NULL && mq_receipt_transaction_id(NULL, NULL) == NULL);
    CHECK(mq_receipt_region_id(NULL, NULL) == NULL);
    CHECK(mq_receipt_queue_id(NULL) == -1 && mq_receipt_queue_offset(NULL) == -1);
    CHECK(mq_receipt_status(NULL) == -1);
    CHECK(mq_message_view_topic(NULL, NULL) == NULL && mq_message_view_tag(NULL, NULL) == NULL);
    len = 99;
    CHECK(mq_message_view_body(NULL, &len) == NULL && len == 0);
    CHECK(mq_message_view_key_count(NULL) == 0 && mq_message_view_key(NULL, 0, NULL) == NULL);
    CHECK(mq_message_view_group(NULL, NULL) == NULL);
    CHECK(mq_message_view_property(NULL, MQ_TEXT("KEYS"), NULL) == NULL);
    CHECK(mq_message_view_property_count(NULL) == 0);
    CHECK(mq_message_view_property_name(NULL, 0, NULL) == NULL);
    CHECK(mq_message_view_property_value(NULL, 0, NULL) == NULL);
    CHECK(mq_message_view_message_id(NULL, NULL) == NULL);
    CHECK(mq_message_view_offset_message_id(NULL, NULL) == NULL);
    CHECK(mq_message_view_broker_name(NULL, NULL) == NULL);
    CHECK(mq_message_view_born_host(NULL, NULL) == NULL && mq_message_view_store_host(NULL, NULL) == NULL);
    CHECK(mq_message_view_queue_id(NULL) == -1 && mq_message_view_queue_offset(NULL) == -1);
    CHECK(mq_message_view_born_timestamp(NULL) == -1 && mq_message_view_store_timestamp(NULL) == -1);
    CHECK(mq_message_view_reconsume_times(NULL) == -1 && mq_message_view_delivery_attempt(NULL) == -1);
    CHECK(mq_message_view_clone(NULL) == NULL);
}

void test_basics(void) {
    versions();
    errors();
    config();
    null_handles();
    null_receipts_and_views();
}
