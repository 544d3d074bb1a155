<?php

/** The errors that programs tend to catch apart from other MqExceptions. */

declare(strict_types=1);

namespace LibMq;

/** A setting is unknown or has a bad value. */
final class ConfigException extends MqException
{
}

/** A topic, group or message is not acceptable. */
final class ArgumentException extends MqException
{
}

/** No answer in time. What was sent may have arrived all the same. */
final class TimeoutException extends MqException
{
}

/** The client, producer, consumer or broker is closed. */
final class ClosedException extends MqException
{
}

/** No such topic, or no broker that serves it. */
final class NotFoundException extends MqException
{
}

/** The broker refuses: no permission. */
final class DeniedException extends MqException
{
}

/** The broker is busy: send slower. */
final class ThrottledException extends MqException
{
}

/** A body, or a list of messages, is over the limit. */
final class TooLargeException extends MqException
{
}

/** The object was made before the process forked: make a new client in the child. */
final class ForkedException extends MqException
{
}
