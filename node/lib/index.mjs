// The same names for `import`; both module systems share one instance of the library.
import libmq from './index.js'

export const {
  Client,
  Producer,
  PushConsumer,
  MessageView,
  ConsumeResult,
  SendStatus,
  MqError,
  TimeoutError,
  ClosedError,
  NotFoundError,
  DeniedError,
  ThrottledError,
  TooLargeError,
  ForkedError,
  ArgumentError,
  ConfigError,
  setLogHook,
  testing,
  version,
} = libmq
