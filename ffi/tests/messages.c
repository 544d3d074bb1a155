/* Making and checking messages, without a broker. */
#include "test.h"

void test_messages(void) {
    mq_message *message = NULL;
    FAILS(mq_message_new("orders", 6, NULL, 5, &message), MQ_ERR_ARGUMENT);
    FAILS(mq_message_new(MQ_TEXT("\xff"), (const uint8_t *)"x", 1, &message), MQ_ERR_ARGUMENT);
    FAILS(mq_message_new(MQ_TEXT("orders"), (const uint8_t *)"x", 1, NULL), MQ_ERR_ARGUMENT);
    CHECK(message == NULL);

    OK(mq_message_new(MQ_TEXT("orders"), NULL, 0, &message));
    FAILS(mq_message_check(message), MQ_ERR_ARGUMENT);
    mq_message_free(message);

    message = message_to("no spaces", "x");
    FAILS(mq_message_check(message), MQ_ERR_ARGUMENT);
    mq_message_free(message);

    message = message_to("orders", "42 apples");
    OK(mq_message_set_tag(message, MQ_TEXT("paid")));
    OK(mq_message_add_key(message, MQ_TEXT("42")));
    OK(mq_message_add_key(message, MQ_TEXT("43")));
    OK(mq_message_set_property(message, MQ_TEXT("region"), MQ_TEXT("us")));
    OK(mq_message_set_property(message, MQ_TEXT("region"), MQ_TEXT("eu")));
    OK(mq_message_set_group(message, MQ_TEXT("customer 7")));
    OK(mq_message_set_delay_level(message, 3));
    OK(mq_message_set_delay_level(message, 0));
    OK(mq_message_check(message));
    FAILS(mq_message_set_delay_level(message, -1), MQ_ERR_ARGUMENT);
    FAILS(mq_message_set_tag(message, MQ_TEXT("\xff")), MQ_ERR_ARGUMENT);
    FAILS(mq_message_add_key(message, NULL, 1), MQ_ERR_ARGUMENT);
    OK(mq_message_check(message));
    OK(mq_message_add_key(message, MQ_TEXT("a b")));
    FAILS(mq_message_check(message), MQ_ERR_ARGUMENT);
    mq_message_free(message);

    message = message_to("orders", "x");
    OK(mq_message_set_tag(message, MQ_TEXT("a|b")));
    OK(mq_message_check(message));
    OK(mq_message_set_tag(message, MQ_TEXT("a||b")));
    FAILS(mq_message_check(message), MQ_ERR_ARGUMENT);
    OK(mq_message_set_tag(message, MQ_TEXT(" a")));
    FAILS(mq_message_check(message), MQ_ERR_ARGUMENT);
    mq_message_free(message);

    message = message_to("orders", "x");
    OK(mq_message_set_property(message, MQ_TEXT("KEYS"), MQ_TEXT("1")));
    FAILS(mq_message_check(message), MQ_ERR_ARGUMENT);
    mq_message_free(message);
}
