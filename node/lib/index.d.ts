/// <reference types="node" />
// The public API of @libmq/client.

/** The version of the package. */
export const version: string

/** A value that a setting of the core can have; durations are milliseconds, or texts such as `'3s'`. */
export type Setting = string | number | boolean | readonly string[] | readonly number[]

/**
 * Settings of the core by name. All names of the settings page are accepted, in snake case, in camel case and as the Java
 * client calls them; an unknown one is a `ConfigError` that names the nearest.
 */
export interface Settings {
  [name: string]: Setting | undefined
}

/** How a call may end early. */
export interface CallOptions {
  /**
   * Gives up when it aborts: the promise is rejected with the signal's reason. What was on its way may still be carried
   * out by the broker.
   */
  signal?: AbortSignal | undefined
  /** Time limit in milliseconds. Default: the setting of the kind of call, 3000 for a send. */
  timeout?: number | undefined
}

/** How a call may be given up. */
export type Cancel = Pick<CallOptions, 'signal'>

/** How long closing may take. */
export interface CloseOptions {
  /** Milliseconds after which what still runs is cut off. Default: 5000. */
  timeout?: number | undefined
}

/** Settings of a client. */
export interface ClientOptions {
  /** Addresses of the NameServers, `host:port`; several in a list or joined by `;`. */
  namesrv: string | readonly string[]
  /** Prefix of all topics and groups. */
  namespace?: string | undefined
  /** Part of the client id that admin tools show. Default: unique for the process and client. */
  instanceName?: string | undefined
  /** Time limit in milliseconds of a short request to a server. Default: 3000. */
  requestTimeout?: number | undefined
  /** Time limit in milliseconds for connecting. Default: 3000. */
  connectTimeout?: number | undefined
  /** All other settings. */
  settings?: Settings | undefined
}

/** Settings of a producer. */
export interface ProducerOptions {
  /** Name of the producer group. */
  group?: string | undefined
  /** Time limit in milliseconds of one send with all its retries. Default: 3000. */
  sendTimeout?: number | undefined
  /** How often a failed send is tried again. Default: 2. */
  retryTimesWhenSendFailed?: number | undefined
  /** Bodies of at least this many bytes are compressed. Default: 4096. */
  compressBodyOver?: number | undefined
  /** Largest body in bytes. Default: 4 MiB. */
  maxMessageSize?: number | undefined
  /** Messages that may be on their way at a time; more wait. Default: 10000. */
  maxInFlight?: number | undefined
  /** All other settings. */
  settings?: Settings | undefined
}

/** What a listener may answer: `Later`, `Suspend` and rejections mean another delivery, everything else is success. */
export type ListenerResult = unknown

/** Something that is wrong around a consumer, although it goes on. */
export interface ConsumerWarning {
  /** The kind of trouble, such as `INCONSISTENT_SUBSCRIPTION`. */
  name: string
  /** What was found and what to do about it. */
  message: string
}

/** Settings and listener of a push consumer. Exactly one of `onMessage` and `onMessages` is needed. */
export interface PushConsumerOptions {
  /** Name of the consumer group. */
  group: string
  /** What is consumed: topic to tag expression, such as `'*'` or `'paid || refunded'`. */
  subscriptions: Readonly<Record<string, string>>
  /**
   * Called with each message. The message counts as consumed when the function returns or its promise is fulfilled, unless
   * with `ConsumeResult.Later`. It is called again for later messages while promises are pending, up to `consumeThreadMax`.
   */
  onMessage?: ((message: MessageView) => ListenerResult | Promise<ListenerResult>) | undefined
  /** Called with lists of up to `consumeMessageBatchMaxSize` messages; the answer holds for all of them. */
  onMessages?: ((messages: MessageView[]) => ListenerResult | Promise<ListenerResult>) | undefined
  /** Told what the listener threw; without it that is a warning of the process (`process.emitWarning`). */
  onError?: ((error: unknown, message: MessageView) => void) | undefined
  /**
   * Told of trouble that does not stop the consumer, such as members of the group that subscribe differently; without it that
   * is a warning of the process.
   */
  onWarning?: ((warning: ConsumerWarning) => void) | undefined
  /** `'ORDERLY'`: one call of the listener at a time for each queue, whose order is kept. Default: `'CONCURRENT'`. */
  consumeMode?: 'CONCURRENT' | 'ORDERLY' | undefined
  /** `'BROADCASTING'`: each member gets every message, and keeps its offsets in `offsetDir`. Default: `'CLUSTERING'`. */
  messageModel?: 'CLUSTERING' | 'BROADCASTING' | undefined
  /** Directory of a broadcasting member's offsets. */
  offsetDir?: string | undefined
  /** Where a new group begins: `'LAST'` (default), `'FIRST'` or `'TIMESTAMP'` (see the setting `consumeTimestamp`). */
  consumeFromWhere?: 'LAST' | 'FIRST' | 'TIMESTAMP' | undefined
  /** Calls of the listener that may be under way at a time. Default: 64. */
  consumeThreadMax?: number | undefined
  /** Largest number of messages given to `onMessages`. Default: 1. */
  consumeMessageBatchMaxSize?: number | undefined
  /** Deliveries before a message goes to the dead letters. Default: 16. */
  maxReconsumeTimes?: number | undefined
  /** All other settings. */
  settings?: Settings | undefined
}

/** Settings of a pull consumer. */
export interface PullConsumerOptions {
  /** Name of the consumer group, to which offsets belong. */
  group: string
  /** What is consumed, shared with the other members of the group; without it queues are taken with `assign`. */
  subscriptions?: Readonly<Record<string, string>> | undefined
  /** Where a new group begins, as for push consumers. */
  consumeFromWhere?: 'LAST' | 'FIRST' | 'TIMESTAMP' | undefined
  /** Whether positions are committed by themselves: what a poll gave counts as consumed from the next poll on. Default: true. */
  autoCommit?: boolean | undefined
  /** Time between commits in milliseconds. Default: 5000. */
  autoCommitInterval?: number | undefined
  /** All other settings. */
  settings?: Settings | undefined
}

/** One queue of a topic. */
export interface MessageQueue {
  readonly topic: string
  readonly brokerName: string
  readonly queueId: number
}

/** What a watcher is told when the queues of a topic change. */
export interface QueueChange {
  topic: string
  /** All that the topic has now. */
  queues: MessageQueue[]
  /** Those that the consumer has of them. */
  assigned: MessageQueue[]
}

/** A message to be sent. */
export interface Message {
  /** Up to 127 characters: letters, digits, `%`, `|`, `_` and `-`. */
  topic: string
  /** A string goes out as UTF-8. The bytes are copied when the message is handed over. */
  body: string | Uint8Array
  /** The tag, by which consumers filter. */
  tag?: string | undefined
  /** Keys, by which the message can be looked up; without white space. */
  keys?: string | readonly string[] | undefined
  /** Properties of the application's own. */
  properties?: Readonly<Record<string, string>> | undefined
  /** Messages of one group (sharding key) go to one queue and keep their order. */
  messageGroup?: string | undefined
  /** Delays delivery by one of the broker's levels, 1 (1 s) to 18 (2 h). */
  delayLevel?: number | undefined
  /** Whether the broker answers only when disk and replicas have the message, as it is set up. Default: true. */
  waitStore?: boolean | undefined
}

/**
 * A message that arrived. A view: fields are read when asked. The body is part of a buffer that is shared with the messages
 * that arrived together (about 256 KiB); copy it to keep it for long.
 */
export class MessageView {
  private constructor()
  /** The topic that it was sent to. */
  readonly topic: string
  /** The body, decompressed; no copy. */
  readonly body: Buffer
  readonly tag: string | undefined
  readonly keys: string[]
  /** All properties, RocketMQ's own included. */
  readonly properties: Record<string, string>
  readonly messageGroup: string | undefined
  /** The id given by the sender. */
  readonly messageId: string
  /** The broker's id: store address and offset in its log. */
  readonly offsetMessageId: string
  readonly brokerName: string
  /** Where it was: topic, broker and number together. */
  readonly queue: MessageQueue
  readonly queueId: number
  /** Offset in the queue. A number: offsets stay below 2^53. */
  readonly queueOffset: number
  /** When it was sent, in milliseconds since 1970, by the sender's clock. */
  readonly bornTimestamp: number
  /** Who sent it, `host:port` as the broker saw it. */
  readonly bornHost: string
  /** When it was stored, in milliseconds since 1970, by the broker's clock. */
  readonly storeTimestamp: number
  /** The `host:port` of the broker that stored it. */
  readonly storeHost: string
  /** How often it was given back before; 0 at first. */
  readonly reconsumeTimes: number
  /** The number of this delivery; 1 at first. */
  readonly deliveryAttempt: number
  /** All fields as a plain object. */
  toJSON(): Record<string, unknown>
}

/** How safely a message is stored. Each status means that it is stored. */
export const SendStatus: {
  readonly Ok: 'Ok'
  readonly FlushDiskTimeout: 'FlushDiskTimeout'
  readonly FlushSlaveTimeout: 'FlushSlaveTimeout'
  readonly SlaveNotAvailable: 'SlaveNotAvailable'
}
export type SendStatus = (typeof SendStatus)[keyof typeof SendStatus]

/** Where a sent message is. */
export interface SendReceipt {
  /** The id given by the client; of a list: the ids joined by commas. */
  messageId: string
  /** The broker's id; of a list: joined by commas. */
  offsetMessageId: string
  topic: string
  brokerName: string
  queueId: number
  /** Offset in the queue; of a list: that of its first message. A number: offsets stay below 2^53. */
  queueOffset: number
  status: SendStatus
  transactionId: string | undefined
}

/** What a listener answers. */
export class ConsumeResult {
  private constructor()
  /** The message is consumed. */
  static readonly Success: ConsumeResult
  /** The message shall be delivered again; the broker waits longer with every attempt. */
  static readonly Later: ConsumeResult
  /** As `Later`, after the given delay level, 1 (1 s) to 18 (2 h); -1 sends the message to the dead letters. */
  static later(delayLevel: number): ConsumeResult
  /** Of an orderly consumer: the message comes again, before all others of its queue, when the queue has rested. */
  static readonly Suspend: ConsumeResult
  /** As `Suspend` with a rest of 10 to 30,000 milliseconds; otherwise the setting `suspendCurrentQueueTime` counts. */
  static suspend(duration: number): ConsumeResult
  readonly name: 'Success' | 'Later' | 'Suspend'
}

/**
 * A client of one cluster: connections, routes, threads. One per process and cluster, as a rule. An open client keeps the
 * process alive, see `unref`. A worker thread makes its own.
 */
export class Client {
  private constructor()
  /**
   * Makes a client; `Client.connect('host:9876')` for short. It rejects for bad settings; connections are made when they
   * are first needed.
   */
  static connect(options: ClientOptions | string | readonly string[]): Promise<Client>
  /** Makes a producer. It throws for bad settings. */
  producer(options?: ProducerOptions): Producer
  /** Makes a push consumer and starts it; resolves when it has joined its group. Default timeout: 10 s. */
  pushConsumer(options: PushConsumerOptions, call?: CallOptions): Promise<PushConsumer>
  /** Makes a pull consumer and starts it; resolves when it has joined its group. Default timeout: 10 s. */
  pullConsumer(options: PullConsumerOptions, call?: CallOptions): Promise<PullConsumer>
  /** Makes a reader of the messages that a group has given up, which can send them again. */
  deadLetters(group: string): DeadLetters
  /**
   * Closes consumers and producers, then the client: consumers commit and leave their groups, sends under way are completed.
   * A `TimeoutError` tells that something had to be cut off; closed it is all the same. Closing twice is no error. A
   * listener must not await it.
   */
  close(options?: CloseOptions): Promise<void>
  /** Lets the process end while this client is open; calls under way still keep it alive. */
  unref(): this
  /** Takes `unref` back. */
  ref(): this
  [Symbol.asyncDispose](): Promise<void>
}

/** Sends messages. Made by `Client.producer`. */
export class Producer {
  private constructor()
  /**
   * Sends a message; resolves when the broker has stored it. With `queue`, one of `queues(topic)`, it goes there and is not
   * tried again on another.
   */
  send(message: Message, options?: CallOptions & { queue?: MessageQueue | undefined }): Promise<SendReceipt>
  /** Sends a message that may get lost; resolves when it is handed to the connection. */
  sendOneway(message: Message, options?: Cancel): Promise<void>
  /** Sends messages of one topic as one: all of them are stored, one after the other in one queue, or none. */
  sendBatch(messages: Iterable<Message>, options?: CallOptions): Promise<SendReceipt>
  /** Divides messages into lists that `sendBatch` takes, small enough for one request each, their order kept. Sends nothing. */
  split(messages: Iterable<Message>): Message[][]
  /** The queues of a topic that can be sent to; known without asking once the topic was sent to. */
  queues(topic: string, options?: Cancel): Promise<MessageQueue[]>
  /** Waits for the sends under way and closes. Closing twice is no error. */
  close(options?: CloseOptions): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** Consumes messages with a listener. Made by `Client.pushConsumer`. */
export class PushConsumer {
  private constructor()
  /** The queues that it has now. */
  readonly assignment: MessageQueue[]
  /**
   * Subscribes to a topic, or changes its expression: `'*'` or tags, `'a || b'`. Resolves when the consumer has its share of the
   * queues. All members of the group should subscribe to the same. What was fetched for an older expression alone does not come any
   * more, unless it failed before; what that one passed over may be left out. An abort ends the waiting, not the change.
   */
  subscribe(topic: string, expression?: string, options?: Cancel): Promise<void>
  /**
   * Gives a topic and its queues up: what is consumed is committed. Listener calls under way go on. A topic that is not subscribed
   * to is no error; without any the consumer stays in its group and gets what failed before.
   */
  unsubscribe(topic: string, options?: Cancel): Promise<void>
  /** Fetches no more until `resume`, and stays in its group. What was asked for already still comes. */
  suspend(): void
  /** Fetches again. */
  resume(): void
  /**
   * Waits for the listener calls under way, commits and leaves the group; what is unanswered by then is delivered again.
   * Afterwards the listener is not called any more. Closing twice is no error. A listener must not await it: each would wait
   * for the other until the time is over.
   */
  close(options?: CloseOptions): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Gives messages when it is asked; made by `Client.pullConsumer`.
 *
 * ```js
 * for await (const message of consumer) console.log(message.body)
 * ```
 */
export class PullConsumer implements AsyncIterable<MessageView> {
  private constructor()
  /** Subscribes to a topic: `'*'` or tags, `'a || b'`. The queues are shared with the other members of the group. */
  subscribe(topic: string, expression?: string, options?: Cancel): Promise<void>
  /** Gives a topic and its queues up. */
  unsubscribe(topic: string, options?: Cancel): Promise<void>
  /** Takes these queues, in place of those assigned before, whatever other members of the group do. */
  assign(queues: Iterable<MessageQueue>, options?: Cancel): Promise<void>
  /** The queues that it has now. */
  readonly assignment: MessageQueue[]
  /** The queues of a topic that can be read. */
  queues(topic: string, options?: Cancel): Promise<MessageQueue[]>
  /**
   * Waits for messages and resolves with those that are there, with none when the time is over. Default timeout: the setting
   * `pollTimeout`. One poll at a time. No message is lost when it is aborted.
   */
  poll(options?: CallOptions): Promise<MessageView[]>
  /**
   * Polls, and gives one message after the other until the consumer is closed; rejects when `signal` aborts. Whoever leaves
   * the loop goes on with the next message later. `commit()` counts all messages of the poll that a message came with; to
   * count it alone, commit its offset + 1.
   */
  messages(options?: Cancel): AsyncGenerator<MessageView, void>
  [Symbol.asyncIterator](): AsyncGenerator<MessageView, void>
  /**
   * Goes on at another place of a queue that it has (otherwise: `STATE`): an offset, its begin, its end, or the first message
   * stored at a time or later. What was fetched of the queue is dropped.
   */
  seek(queue: MessageQueue, to: number | 'begin' | 'end' | Date, options?: Cancel): Promise<void>
  /** The offset of the first message stored at a time or later. */
  offsetForTime(queue: MessageQueue, time: number | Date, options?: Cancel): Promise<number>
  /** Fetches no more from these queues, and gives out none of their messages, until `resume`. */
  pause(queues: Iterable<MessageQueue>): void
  /** Fetches from these queues again. */
  resume(queues: Iterable<MessageQueue>): void
  /** Commits what was given out of all queues, or these offsets: of the messages to begin with next time. */
  commit(offsets?: Iterable<readonly [MessageQueue, number]>, options?: Cancel): Promise<void>
  /** The offset that the group has committed for a queue. */
  committed(queue: MessageQueue, options?: Cancel): Promise<number | undefined>
  /** The offset of the next message of a queue that a poll would give. */
  position(queue: MessageQueue, options?: Cancel): Promise<number>
  /** Has `callback` called when the queues of a topic, or the consumer's share of them, change. */
  onQueueChange(topic: string, callback: (change: QueueChange) => void, options?: Cancel): Promise<void>
  /** Commits, if it commits by itself, and leaves the group. Closing twice is no error. */
  close(options?: CloseOptions): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Reads the dead letters of a group and sends them again; made by `Client.deadLetters`. They stay where they are until they are
 * too old for the broker.
 */
export class DeadLetters {
  private constructor()
  /** Up to `max` (default 32) dead letters that follow those read before, oldest first; none when there are no more. */
  read(options?: Cancel & { max?: number | undefined }): Promise<MessageView[]>
  /** Begins again with the oldest one. */
  rewind(options?: Cancel): Promise<void>
  /** Sends a message of the last `read` to the topic that it was first sent to, as a new message. */
  resend(message: MessageView, options?: Cancel): Promise<SendReceipt>
}

/** The names of what can go wrong. */
export type ErrorCode =
  | 'INTERNAL' | 'CONFIG' | 'ARGUMENT' | 'TIMEOUT' | 'CLOSED' | 'NETWORK' | 'NOT_FOUND' | 'DENIED' | 'THROTTLED'
  | 'TOO_LARGE' | 'FORKED' | 'BROKER' | 'CANCELLED' | 'STATE' | 'UNSUPPORTED' | 'IO' | 'QUEUE_FULL'

/** What every call of this library throws or rejects with, aborted signals excepted. */
export class MqError extends Error {
  readonly code: ErrorCode
  /** The broker's own answer code (RocketMQ's ResponseCode), or null when no broker answered. */
  readonly brokerCode: number | null
  /** Whether the same call may succeed when it is made again. */
  readonly retryable: boolean
  /** Whether the broker asks to slow down. */
  readonly throttled: boolean
  /** Whether no later call on the same object can succeed. */
  readonly fatal: boolean
}
/** No answer in time; the request may have been carried out. */
export class TimeoutError extends MqError {}
/** The object, or the client that it was made from, is closed. */
export class ClosedError extends MqError {}
/** There is no such topic, group or message. */
export class NotFoundError extends MqError {}
/** The broker does not permit it. */
export class DeniedError extends MqError {}
/** The broker is busy. */
export class ThrottledError extends MqError {}
/** The message is larger than the limit. */
export class TooLargeError extends MqError {}
/** The object was made before a fork of the process. */
export class ForkedError extends MqError {}
/** A topic, group, message or option is not acceptable. */
export class ArgumentError extends MqError {}
/** A setting is unknown or has a bad value. */
export class ConfigError extends MqError {}

export type LogLevel = 'ERROR' | 'WARN' | 'INFO' | 'DEBUG' | 'TRACE'

/** One line of the core's log. */
export interface LogRecord {
  level: LogLevel
  /** The part of the library that speaks. */
  target: string
  message: string
}

/**
 * Gives the core's log lines up to `level` (default `'INFO'`) to `hook`; null stops that. The core logs nothing by default.
 * There is one hook per process: the last one set, on the thread that set it.
 */
export function setLogHook(hook: ((record: LogRecord) => void) | null, level?: LogLevel | Lowercase<LogLevel>): void

export namespace testing {
  /** Settings of the embedded broker: Apache's `broker.conf` keys may be given beside these. */
  interface BrokerOptions extends Settings {
    /** Where data is kept; without it a temporary directory that is removed at the end. */
    dataDir?: string | undefined
    /** Port of the broker. Default: a free one. */
    listenPort?: number | undefined
    /** Port of the NameServer. Default: a free one. */
    namesrvPort?: number | undefined
  }

  /** A NameServer and a broker inside this process, on 127.0.0.1. It does not keep the process alive. */
  class Broker {
    private constructor()
    /** Starts a broker; resolves when it accepts. */
    static start(options?: BrokerOptions): Promise<Broker>
    /** The `host:port` of its NameServer, for `namesrv` of a client. */
    readonly address: string
    /** The `host:port` of the broker itself. */
    readonly brokerAddress: string
    readonly dataDir: string
    /** What goes wrong with its next requests; kept over a restart. */
    readonly faults: Faults
    /** Its time, which tests move; kept over a restart. */
    readonly clock: Clock
    /** Creates a topic, with 4 queues by default, or changes their number. */
    createTopic(name: string, options?: { queues?: number | undefined }): Promise<void>
    /** Stops it; its data stays, also a temporary directory. Stopping twice is no error. */
    stop(): Promise<void>
    /** Ends it as `kill -9` would: connections are cut, nothing is flushed. */
    kill(): Promise<void>
    /** Starts it again on the same data and, if they are free, the same ports. */
    restart(): Promise<void>
    /** Stops it for good and removes a temporary directory; the end of the process does the same. */
    close(): Promise<void>
    [Symbol.asyncDispose](): Promise<void>
  }

  /**
   * Trouble for a broker's next requests. Requests and answers have their names in RocketMQ, or their numbers; `SEND_MESSAGE`
   * stands for all that send, `PULL_MESSAGE` for all that pull. Faults of one request apply one after the other. A name that is
   * not known is an `ArgumentError`.
   */
  interface Faults {
    /** Refuses requests with the answer `code`, such as `SYSTEM_BUSY`, without carrying them out. Default: one request. */
    failNext(request: string | number, options: { code: string | number; times?: number | undefined }): void
    /** Handles requests after `delay` milliseconds; others go on meanwhile. */
    delayNext(request: string | number, options: { delay: number; times?: number | undefined }): void
    /** Closes the connections of requests, without carrying them out. */
    dropNext(request: string | number, options?: { times?: number | undefined }): void
    /** Carries requests out, but does not answer them. */
    loseAnswerNext(request: string | number, options?: { times?: number | undefined }): void
    /** Closes new connections to the broker at once (`true`, the default), or no more; its NameServer goes on accepting. */
    refuseConnections(refuse?: boolean): void
    /** Takes all faults back. */
    clear(): void
  }

  /** The time of a broker; it runs on from where it was put. */
  interface Clock {
    /** Milliseconds since 1970 (UTC). */
    now(): number
    /**
     * Moves the clock forward, by milliseconds or parts such as `{ hours: 2 }`. Delayed messages and retries that become due
     * are delivered at once; locks and old files expire; clients that answer stay.
     */
    advance(time: number | { milliseconds?: number; seconds?: number; minutes?: number; hours?: number; days?: number }): void
    /** Puts the clock to a time. */
    set(time: number | Date): void
  }
}
