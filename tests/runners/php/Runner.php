<?php

/** Runner: what each request of the harness does. */

declare(strict_types=1);

use LibMq\Client;
use LibMq\Log;
use LibMq\Message;
use LibMq\MqException;
use LibMq\PendingSend;
use LibMq\Producer;
use LibMq\PushConsumer;
use LibMq\SendReceipt;
use LibMq\Testing\Broker;

/** One thread: it waits for requests and for what the clients have to tell, whichever comes first. */
final class Runner
{
    private const FEATURES = [
        'client.open', 'client.close', 'producer.open', 'producer.close', 'send', 'send_list', 'send_file', 'send_load',
        'consumer.open', 'consumer.close', 'broker.start', 'broker.create_topic', 'broker.kill', 'broker.restart', 'broker.stop',
        'log.hook', 'fork',
    ];

    /** @var array<string, Client> */
    private array $clients = [];
    /** @var array<string, Producer> */
    private array $producers = [];
    /** @var array<string, PushConsumer> */
    private array $consumers = [];
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
            case 'send_file':
                return $this->sendFile($request);
            case 'send_load':
                return $this->sendLoad($request);
            case 'consumer.open':
                $this->openConsumer($request, $settings);
                return [];
            case 'consumer.close':
                $this->consumers[$request['consumer']]->close();
                return [];
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
        switch ($request['mode']) {
            case 'sync':
                return ['receipt' => self::receipt($producer->send($message, $timeout))];
            case 'async':
                return ['receipt' => self::receipt($producer->sendAsync($message, $timeout)->await())];
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
        $consumer = $this->clients[$request['client']]->pushConsumer($request['group'], (array) $request['subscriptions'], $settings);
        $this->consumers[$name] = $consumer;
        $this->behaviours[$name] = $behaviour;
        $consumer->start($behaviour->listen(...));
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
        );
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
