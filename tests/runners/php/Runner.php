<?php

/** Runner: what each request of the harness does. */

declare(strict_types=1);

use LibMq\Client;
use LibMq\DeadLetter;
use LibMq\Log;
use LibMq\Message;
use LibMq\MessageQueue;
use LibMq\MessageView;
use LibMq\MqException;
use LibMq\PendingSend;
use LibMq\Producer;
use LibMq\PullConsumer;
use LibMq\PushConsumer;
use LibMq\SendReceipt;
use LibMq\Testing\Broker;
use LibMq\Testing\Faults;

/** One thread: it waits for requests and for what the clients have to tell, whichever comes first. */
final class Runner
{
    private const FEATURES = [
        'client.open', 'client.close', 'producer.open', 'producer.close', 'send', 'send_list', 'send_file', 'send_load',
        'producer.queues', 'send_split', 'consumer.open', 'consumer.subscribe', 'consumer.unsubscribe', 'consumer.suspend', 'consumer.resume',
        'consumer.close', 'pull', 'dead_letters', 'broker.fault', 'broker.advance_clock', 'broker.start', 'broker.create_topic', 'broker.kill', 'broker.restart', 'broker.stop',
        'log.hook', 'fork',
    ];

    /** @var array<string, Client> */
    private array $clients = [];
    /** @var array<string, Producer> */
    private array $producers = [];
    /** @var array<string, PushConsumer> */
    private array $consumers = [];
    /** @var array<string, PullConsumer> */
    private array $pullers = [];
    /** @var array<string, Behaviour> */
    private array $behaviours = [];
    /** @var array<string, Broker> */
    private array $brokers = [];
    private string $input = '';
    private bool $ended = false;

    public function __construct()
    {
        stream_set_blocking(STDIN, false);
    }

    /**
     * Serves until stdin ends or $until says so; a listener that hangs calls this from within.
     *
     * @param callable(): bool $until
     */
    public function serve(callable $until): void
    {
        while (!$this->ended && !$until()) {
            $this->wait();
            foreach ($this->clients as $client) {
                $client->poll(0.0);
            }
            foreach ($this->behaviours as $behaviour) {
                $behaviour->report();
            }
            Log::poll();
            $this->readInput();
        }
    }

    /** Waits until a request or an event of a client is there; not for ever, since counts and log lines are due from time to time. */
    private function wait(): void
    {
        if (str_contains($this->input, "\n")) {
            return;
        }
        $read = [STDIN];
        foreach ($this->clients as $client) {
            if (!$client->isClosed()) {
                $read[] = $client->stream();
            }
        }
        $none = [];
        stream_select($read, $none, $none, 0, 100_000);
    }

    private function readInput(): void
    {
        $chunk = fread(STDIN, 1 << 20);
        if (is_string($chunk)) {
            $this->input .= $chunk;
        }
        while (($end = strpos($this->input, "\n")) !== false) {
            $line = substr($this->input, 0, $end);
            $this->input = substr($this->input, $end + 1);
            $this->answer(json_decode($line, true, flags: JSON_THROW_ON_ERROR));
        }
        if (feof(STDIN)) {
            $this->ended = true;
        }
    }

    /** @param array<string, mixed> $value */
    public static function write(array $value): void
    {
        fwrite(STDOUT, json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES) . "\n");
        fflush(STDOUT);
    }

    /** @param array<string, mixed> $request */
    private function answer(array $request): void
    {
        try {
            $ok = $this->do($request);
            self::write(['id' => $request['id'], 'ok' => (object) $ok]);
        } catch (Throwable $error) {
            self::write(['id' => $request['id'], 'error' => self::describe($error)]);
        }
    }

    /** @return array<string, mixed> */
    private static function describe(Throwable $error): array
    {
        return [
            'code' => $error instanceof MqException ? $error->name : 'INTERNAL',
            'message' => $error instanceof MqException ? $error->getMessage() : (string) $error,
            'retryable' => $error instanceof MqException && $error->retryable,
            'throttled' => $error instanceof MqException && $error->throttled,
            'broker_code' => $error instanceof MqException ? $error->brokerCode : null,
            'class' => $error::class,
        ];
    }

    /**
     * @param array<string, mixed> $request
     *
     * @return array<string, mixed>
     */
    private function do(array $request): array
    {
        $settings = (array) ($request['settings'] ?? []);
        switch ($request['op']) {
            case 'hello':
                return ['language' => 'php', 'version' => Client::version(), 'features' => self::FEATURES];
            case 'client.open':
                $this->clients[$request['client']] = new Client($request['namesrv'], $settings);
                return [];
            case 'client.close':
                $this->clients[$request['client']]->close();
                return [];
            case 'producer.open':
                $this->producers[$request['producer']] = $this->clients[$request['client']]->producer($request['group'], $settings);
                return [];
            case 'producer.close':
                $this->producers[$request['producer']]->close();
                return [];
            case 'send':
                return $this->send($request);
            case 'send_list':
                $messages = array_map(self::message(...), $request['messages']);
                $producer = $this->producers[$request['producer']];
                $receipt = $request['mode'] === 'sync' ? $producer->sendBatch($messages) : $producer->sendBatchAsync($messages)->await();
                return ['receipt' => self::receipt($receipt)];
            case 'producer.queues':
                return ['queues' => array_map(self::queue(...), $this->producers[$request['producer']]->queues($request['topic']))];
            case 'send_split':
                $producer = $this->producers[$request['producer']];
                $lists = $producer->splitBatch(array_map(self::message(...), $request['messages']));
                return ['receipts' => array_map(static fn (array $list) => self::receipt($producer->sendBatch($list)), $lists)];
            case 'send_file':
                return $this->sendFile($request);
            case 'send_load':
                return $this->sendLoad($request);
            case 'consumer.open':
                $this->openConsumer($request, $settings);
                return [];
            case 'consumer.subscribe':
                $this->consumers[$request['consumer']]->subscribe($request['topic'], $request['expression']);
                return [];
            case 'consumer.unsubscribe':
                $this->consumers[$request['consumer']]->unsubscribe($request['topic']);
                return [];
            case 'consumer.suspend':
                $this->consumers[$request['consumer']]->suspend();
                return [];
            case 'consumer.resume':
                $this->consumers[$request['consumer']]->resume();
                return [];
            case 'consumer.close':
                $this->consumers[$request['consumer']]->close();
                return [];
            case 'pull.open':
                $this->openPuller($request, $settings);
                return [];
            case 'dead_letters.read':
                $letters = $this->clients[$request['client']]->deadLetters($request['group'])->read($request['max']);
                return ['messages' => array_map(static fn (DeadLetter $letter) => self::view($letter->message), $letters)];
            case 'dead_letters.resend':
                $dead = $this->clients[$request['client']]->deadLetters($request['group']);
                $receipts = array_map(static fn (DeadLetter $letter) => self::receipt($dead->resend($letter)), $dead->read($request['max']));
                return ['receipts' => $receipts];
            case 'broker.start':
                $this->brokers[$request['broker']] = new Broker($request['data'] ?? null, $settings);
                return self::broker($this->brokers[$request['broker']]);
            case 'broker.create_topic':
                $this->brokers[$request['broker']]->createTopic($request['topic'], $request['queues']);
                return [];
            case 'broker.kill':
                $this->brokers[$request['broker']]->kill();
                return [];
            case 'broker.restart':
                $this->brokers[$request['broker']]->restart();
                return self::broker($this->brokers[$request['broker']]);
            case 'broker.stop':
                $this->brokers[$request['broker']]->stop();
                return [];
            case 'broker.fault':
                $this->fault($this->brokers[$request['broker']]->faults(), $request);
                return [];
            case 'broker.refuse_connections':
                $this->brokers[$request['broker']]->faults()->refuseConnections($request['refuse']);
                return [];
            case 'broker.clear_faults':
                $this->brokers[$request['broker']]->faults()->clear();
                return [];
            case 'broker.advance_clock':
                $clock = $this->brokers[$request['broker']]->clock();
                $clock->advance($request['by'] / 1000);
                return ['now' => (int) ($clock->now() * 1000)];
            case 'log.hook':
                Log::setHandler(
                    static fn (string $level, string $message) => self::write(
                        ['event' => 'log', 'level' => $level === 'warning' ? 'WARN' : strtoupper($level), 'message' => $message],
                    ),
                    str_replace('warn', 'warning', strtolower($request['level'])),
                );
                return [];
            case 'fork':
                return ['child' => $this->fork($request)];
            case 'exit':
                $this->ended = true;
                return [];
            default:
                if (str_starts_with($request['op'], 'pull.')) {
                    return $this->pull($this->pullers[$request['consumer']], substr($request['op'], 5), $request);
                }
                throw new RuntimeException("this runner has no op '{$request['op']}'");
        }
    }

    /**
     * @param array<string, mixed> $request
     *
     * @return array<string, mixed>
     */
    private function send(array $request): array
    {
        $producer = $this->producers[$request['producer']];
        $message = self::message($request['message']);
        $timeout = isset($request['timeout']) ? $request['timeout'] / 1000 : null;
        $queue = isset($request['queue']) ? self::asQueue($request['queue']) : null;
        switch ($request['mode']) {
            case 'sync':
                $receipt = $queue === null ? $producer->send($message, $timeout) : $producer->sendToQueue($message, $queue, $timeout);
                return ['receipt' => self::receipt($receipt)];
            case 'async':
                $pending = $queue === null ? $producer->sendAsync($message, $timeout) : $producer->sendToQueueAsync($message, $queue, $timeout);
                return ['receipt' => self::receipt($pending->await())];
            default:
                $producer->sendOneway($message);
                return [];
        }
    }

    /**
     * @param array<string, mixed> $request
     *
     * @return array<string, mixed>
     */
    private function sendFile(array $request): array
    {
        $file = fopen($request['path'], 'r') ?: throw new RuntimeException("cannot read {$request['path']}");
        $next = static function () use ($file, $request): ?Message {
            $line = fgets($file);
            return $line === false ? null : self::message(json_decode($line, true, flags: JSON_THROW_ON_ERROR), $request['topic']);
        };
        $result = self::sendAll($this->producers[$request['producer']], $next, $request['window']);
        fclose($file);
        return $result;
    }

    /**
     * @param array<string, mixed> $request
     *
     * @return array<string, mixed>
     */
    private function sendLoad(array $request): array
    {
        $producer = $this->producers[$request['producer']];
        $message = new Message($request['topic'], str_repeat("\0", $request['size']));
        $left = $request['count'];
        $start = hrtime(true);
        $cpu = self::cpuSeconds();
        if ($request['mode'] === 'sync') {
            $result = ['sent' => 0, 'failed' => 0];
            for (; $left > 0; --$left) {
                try {
                    $producer->send($message);
                    ++$result['sent'];
                } catch (MqException) {
                    ++$result['failed'];
                }
            }
        } else {
            $next = static function () use (&$left, $message): ?Message {
                return $left-- > 0 ? $message : null;
            };
            $result = self::sendAll($producer, $next, $request['window']);
        }
        return $result + ['seconds' => (hrtime(true) - $start) / 1e9, 'cpu_seconds' => self::cpuSeconds() - $cpu];
    }

    /**
     * Sends all that $next gives, with at most $window in flight.
     *
     * @param callable(): ?Message $next
     *
     * @return array{sent: int, failed: int}
     */
    private static function sendAll(Producer $producer, callable $next, int $window): array
    {
        $result = ['sent' => 0, 'failed' => 0];
        $count = static function (PendingSend $pending) use (&$result): void {
            try {
                $pending->await();
                ++$result['sent'];
            } catch (MqException) {
                ++$result['failed'];
            }
        };
        /** @var SplQueue<PendingSend> $flying */
        $flying = new SplQueue();
        while (($message = $next()) !== null) {
            if (count($flying) >= $window) {
                $count($flying->dequeue());
            }
            try {
                $flying->enqueue($producer->sendAsync($message));
            } catch (MqException) {
                ++$result['failed'];
            }
        }
        foreach ($flying as $pending) {
            $count($pending);
        }
        return $result;
    }

    private static function cpuSeconds(): float
    {
        $usage = getrusage() ?: [];
        return $usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec'] + ($usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec']) / 1e6;
    }

    /**
     * @param array<string, mixed>  $request
     * @param array<string, string> $settings
     */
    private function openConsumer(array $request, array $settings): void
    {
        $name = $request['consumer'];
        $closed = fn (): bool => $this->ended || !isset($this->consumers[$name]) || $this->consumers[$name]->isClosed();
        $behaviour = new Behaviour($name, (array) $request['behaviour'], fn () => $this->serve($closed));
        $consumer = $this->clients[$request['client']]->pushConsumer(
            $request['group'],
            (array) $request['subscriptions'],
            $settings,
            onWarning: static fn (string $code, string $message) => self::write(
                ['event' => 'warning', 'consumer' => $name, 'message' => "$code: $message"],
            ),
        );
        $this->consumers[$name] = $consumer;
        $this->behaviours[$name] = $behaviour;
        $consumer->startBatches($behaviour->listen(...));
    }

    /**
     * @param array<string, mixed>  $request
     * @param array<string, string> $settings
     */
    private function openPuller(array $request, array $settings): void
    {
        $name = $request['consumer'];
        $consumer = $this->pullers[$name] = $this->clients[$request['client']]->pullConsumer($request['group'], $settings);
        foreach ((array) ($request['subscriptions'] ?? []) as $topic => $expression) {
            $consumer->subscribe((string) $topic, $expression);
            $consumer->onQueueChange((string) $topic, static fn (array $all, array $assigned) => self::write(
                ['event' => 'queues', 'consumer' => $name, 'queues' => array_map(self::queue(...), $assigned)],
            ));
        }
    }

    /**
     * @param array<string, mixed> $request
     *
     * @return array<string, mixed>
     */
    private function pull(PullConsumer $consumer, string $op, array $request): array
    {
        $queue = isset($request['queue']) ? self::asQueue($request['queue']) : null;
        $queues = array_map(self::asQueue(...), $request['queues'] ?? []);
        return match ($op) {
            'assign' => (array) $consumer->assign($queues),
            'queues' => ['queues' => array_map(self::queue(...), $consumer->queues($request['topic']))],
            'assignment' => ['queues' => array_map(self::queue(...), $consumer->assignment())],
            'poll' => ['messages' => array_map(self::view(...), $consumer->poll($request['timeout'] / 1000))],
            'seek' => (array) (isset($request['to']['time'])
                ? $consumer->seekToTime($queue, $request['to']['time'] / 1000)
                : $consumer->seek($queue, $request['to'])),
            'offset_for_time' => ['offset' => $consumer->offsetForTime($queue, $request['timestamp'] / 1000)],
            'pause' => (array) $consumer->pause($queues),
            'resume' => (array) $consumer->resume($queues),
            'commit' => (array) $consumer->commit(isset($request['offsets'])
                ? array_map(static fn (array $one) => [self::asQueue($one['queue']), $one['offset']], $request['offsets'])
                : null),
            'committed' => ['offset' => $consumer->committed($queue)],
            'position' => ['offset' => $consumer->position($queue)],
            'close' => (array) $consumer->close(),
        };
    }

    /** @param array<string, mixed> $request */
    private function fault(Faults $faults, array $request): void
    {
        ['request' => $name, 'times' => $times] = $request;
        match ($request['kind']) {
            'fail' => $faults->failNext($name, $request['code'], $times),
            'delay' => $faults->delayNext($name, $request['delay'] / 1000, $times),
            'drop' => $faults->dropNext($name, $times),
            'lose_answer' => $faults->loseAnswerNext($name, $times),
        };
    }

    /**
     * @param array<string, mixed> $request
     *
     * @return array<string, mixed>
     */
    private function fork(array $request): array
    {
        [$ours, $theirs] = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0) ?: throw new RuntimeException('no socket pair');
        $child = pcntl_fork();
        if ($child === 0) {
            try {
                $answer = ['ok' => $this->send($request + ['mode' => 'sync'])];
            } catch (Throwable $error) {
                $answer = ['error' => self::describe($error)];
            }
            fwrite($theirs, json_encode($answer, JSON_THROW_ON_ERROR));
            fclose($theirs);
            // Also the usual end of a child must not touch what belongs to the parent.
            exit(0);
        }
        fclose($theirs);
        $answer = stream_get_contents($ours);
        pcntl_waitpid($child, $status);
        if (!pcntl_wifexited($status) || pcntl_wexitstatus($status) !== 0) {
            throw new RuntimeException("the child ended badly: status $status");
        }
        return json_decode((string) $answer, true, flags: JSON_THROW_ON_ERROR);
    }

    /** @param array<string, mixed> $json */
    private static function message(array $json, ?string $topic = null): Message
    {
        return new Message(
            $topic ?? $json['topic'],
            (string) base64_decode($json['body'], true),
            $json['tag'] ?? null,
            $json['keys'] ?? [],
            array_map(strval(...), $json['properties'] ?? []),
            $json['message_group'] ?? null,
            $json['delay_level'] ?? 0,
            $json['wait_store'] ?? true,
        );
    }

    /** @param array{topic: string, broker_name: string, queue_id: int} $json */
    private static function asQueue(array $json): MessageQueue
    {
        return new MessageQueue($json['topic'], $json['broker_name'], $json['queue_id']);
    }

    /** @return array<string, mixed> */
    private static function queue(MessageQueue $queue): array
    {
        return ['topic' => $queue->topic, 'broker_name' => $queue->brokerName, 'queue_id' => $queue->queueId];
    }

    /** @return array<string, mixed> */
    public static function view(MessageView $message): array
    {
        return [
            'topic' => $message->topic,
            'body' => base64_encode($message->body),
            'tag' => $message->tag,
            'keys' => $message->keys,
            'properties' => (object) $message->properties,
            'message_group' => $message->messageGroup,
            'message_id' => $message->messageId,
            'offset_message_id' => $message->offsetMessageId,
            'queue_id' => $message->queueId,
            'queue_offset' => $message->queueOffset,
            'broker_name' => $message->brokerName,
            'born_timestamp' => $message->bornTimestamp,
            'store_timestamp' => $message->storeTimestamp,
            'delivery_attempt' => $message->deliveryAttempt,
        ];
    }

    /** @return array<string, mixed> */
    private static function receipt(SendReceipt $receipt): array
    {
        return [
            'message_id' => $receipt->messageId,
            'offset_message_id' => $receipt->offsetMessageId,
            'queue_id' => $receipt->queueId,
            'queue_offset' => $receipt->queueOffset,
            'status' => $receipt->status->name,
        ];
    }

    /** @return array<string, mixed> */
    private static function broker(Broker $broker): array
    {
        return ['address' => $broker->address(), 'broker_address' => $broker->brokerAddress(), 'data' => $broker->dataDirectory()];
    }
}
