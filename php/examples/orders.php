<?php

/**
 * Sends three orders, bills those that are paid, and audits all.
 *
 *   php orders.php 127.0.0.1:9876      (without an address: against a broker inside this process)
 */

declare(strict_types=1);

require getenv('AUTOLOAD') ?: __DIR__ . '/vendor/autoload.php';

use LibMq\Client;
use LibMq\Message;
use LibMq\MessageView;
use LibMq\Testing\Broker;

$broker = isset($argv[1]) ? null : new Broker();
$client = new Client($argv[1] ?? $broker->address());

$producer = $client->producer(group: 'orders');
foreach ([['41', 'new', '7 pears'], ['42', 'paid', '42 apples'], ['43', 'refunded', '1 plum']] as [$id, $tag, $text]) {
    $receipt = $producer->send(new Message('orders', $text, tag: $tag, keys: [$id]));
    echo "sent $text: {$receipt->status->name}\n";
}

$consumer = $client->pushConsumer(group: 'billing', subscriptions: ['orders' => 'paid'], settings: ['consume_from_where' => 'first']);
$consumer->run(function (MessageView $message) use ($consumer): void {
    echo "billed order {$message->keys[0]}: {$message->body}\n"; // charge the customer here
    $consumer->stop();
});

// Another group reads all orders at its own pace, from the first one on, and says how far it came.
$audit = $client->pullConsumer(group: 'audit', settings: ['consume_from_where' => 'first', 'auto_commit' => false]);
$audit->subscribe('orders');
$read = 0;
foreach ($audit->messages() as $message) {
    echo "audited order {$message->keys[0]} of queue {$message->queueId}\n";
    if (++$read === 3) {
        break;
    }
}
$audit->commit();
