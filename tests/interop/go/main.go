// The Go peer: Apache's rocketmq-client-go, driven by JSON lines on stdin, answering with JSON lines on stdout.
// The protocol is described in ../peers.py; the Java peer (../java) speaks the same, and has `admin`, `offsets` and `query` besides.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

// Bodies up to this size are reported as text, larger ones by their hash alone.
const textLimit = 256

// command is one line of input; which members matter depends on Op.
type command struct {
	ID             int               `json:"id"`
	Op             string            `json:"op"`
	Name           string            `json:"name"`
	Namesrv        string            `json:"namesrv"`
	Group          string            `json:"group"`
	Topic          string            `json:"topic"`
	CompressOver   *int              `json:"compress_over"`
	TimeoutMs      int               `json:"timeout_ms"`
	Mode           string            `json:"mode"`
	Count          int               `json:"count"`
	First          int               `json:"first"`
	Batch          int               `json:"batch"`
	Queue          *int              `json:"queue"`
	Tags           string            `json:"tags"`
	Keys           string            `json:"keys"`
	Prefix         string            `json:"prefix"`
	Size           int               `json:"size"`
	DelayLevel     int               `json:"delay_level"`
	Properties     map[string]string `json:"properties"`
	From           string            `json:"from"`
	Model          string            `json:"model"`
	Expression     string            `json:"expression"`
	ExpressionType string            `json:"expression_type"`
	Orderly        bool              `json:"orderly"`
	FailTimes      int32             `json:"fail_times"`
	RetryLevel     int               `json:"retry_level"`
	MaxReconsume   *int32            `json:"max_reconsume"`
	Timestamp      string            `json:"timestamp"`
	WorkMs         int               `json:"work_ms"`
}

type fields map[string]any

var out = struct {
	sync.Mutex
	*json.Encoder
}{Encoder: json.NewEncoder(os.Stdout)}

func emit(line fields) {
	out.Lock()
	defer out.Unlock()
	if err := out.Encode(line); err != nil {
		os.Exit(1) // the driver is gone
	}
}

type peer struct {
	producers map[string]rocketmq.Producer
	consumers map[string]rocketmq.PushConsumer
}

func main() {
	rlog.SetLogLevel(level())
	emit(fields{"event": "ready", "program": "rocketmq-client-go"})
	p := peer{map[string]rocketmq.Producer{}, map[string]rocketmq.PushConsumer{}}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var c command
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			emit(fields{"id": 0, "ok": false, "error": err.Error()})
			continue
		}
		answer, err := p.run(&c)
		if answer == nil {
			answer = fields{}
		}
		answer["id"], answer["ok"] = c.ID, err == nil
		if err != nil {
			answer["error"] = err.Error()
		}
		emit(answer)
	}
	for name := range p.consumers {
		_ = p.close(name)
	}
	for name := range p.producers {
		_ = p.close(name)
	}
}

func level() string {
	if l := os.Getenv("ROCKETMQ_GO_LOG_LEVEL"); l != "" {
		return l
	}
	return "warn"
}

func (p *peer) run(c *command) (fields, error) {
	switch c.Op {
	case "producer":
		return nil, p.producer(c)
	case "send":
		return p.send(c)
	case "consumer":
		return nil, p.consumer(c)
	case "close":
		return nil, p.close(c.Name)
	case "forget":
		return nil, nil // its clients share nothing
	default:
		return nil, fmt.Errorf("unknown op %q", c.Op)
	}
}

// chooser takes the message's own queue where it has one, and the next one in turn otherwise.
type chooser struct{ turn producer.QueueSelector }

func (s chooser) Select(m *primitive.Message, queues []*primitive.MessageQueue, last string) *primitive.MessageQueue {
	if m.Queue != nil {
		for _, q := range queues {
			if q.QueueId == m.Queue.QueueId {
				return q
			}
		}
	}
	return s.turn.Select(m, queues, last)
}

// instance is part of the client id, which must differ between all members of a group, of whatever peer.
func instance(name string) string {
	return fmt.Sprintf("go-%d-%s", os.Getpid(), name)
}

func (p *peer) producer(c *command) error {
	timeout := 30 * time.Second
	if c.TimeoutMs > 0 {
		timeout = time.Duration(c.TimeoutMs) * time.Millisecond
	}
	options := []producer.Option{
		producer.WithNsResolver(primitive.NewPassthroughResolver(strings.Split(c.Namesrv, ";"))),
		producer.WithGroupName(c.Group),
		producer.WithInstanceName(instance(c.Name)),
		producer.WithSendMsgTimeout(timeout),
		producer.WithQueueSelector(chooser{producer.NewRoundRobinQueueSelector()}),
	}
	if c.CompressOver != nil {
		options = append(options, producer.WithCompressMsgBodyOverHowmuch(*c.CompressOver))
	}
	made, err := rocketmq.NewProducer(options...)
	if err != nil {
		return err
	}
	if err := made.Start(); err != nil {
		return err
	}
	p.producers[c.Name] = made
	return nil
}

func (p *peer) send(c *command) (fields, error) {
	via := p.producers[c.Name]
	if via == nil {
		return nil, fmt.Errorf("no producer %q", c.Name)
	}
	count := c.Count
	if count == 0 {
		count = 1
	}
	messages := make([]*primitive.Message, count)
	for i := range messages {
		messages[i] = message(c, c.First+i)
	}
	ctx := context.Background()
	sent := []fields{}
	switch c.Mode {
	case "", "sync":
		for _, m := range messages {
			r, err := via.SendSync(ctx, m)
			if err != nil {
				return nil, err
			}
			sent = append(sent, receipt(r))
		}
	case "async":
		results := make([]fields, count)
		window := make(chan struct{}, 256)
		var left sync.WaitGroup
		for i, m := range messages {
			i := i
			window <- struct{}{}
			left.Add(1)
			err := via.SendAsync(ctx, func(_ context.Context, r *primitive.SendResult, err error) {
				if err != nil {
					results[i] = fields{"error": err.Error()}
				} else {
					results[i] = receipt(r)
				}
				<-window
				left.Done()
			}, m)
			if err != nil {
				return nil, err
			}
		}
		left.Wait()
		sent = results
	case "oneway":
		for _, m := range messages {
			if err := via.SendOneWay(ctx, m); err != nil {
				return nil, err
			}
		}
	case "batch":
		size := c.Batch
		if size == 0 {
			size = 16
		}
		for i := 0; i < count; i += size {
			end := i + size
			if end > count {
				end = count
			}
			r, err := via.SendSync(ctx, messages[i:end]...)
			if err != nil {
				return nil, err
			}
			sent = append(sent, receipt(r))
		}
	default:
		return nil, fmt.Errorf("unknown mode %q", c.Mode)
	}
	return fields{"sent": sent}, nil
}

func message(c *command, number int) *primitive.Message {
	m := primitive.NewMessage(c.Topic, body(c, number))
	if c.Tags != "" {
		m.WithTag(c.Tags)
	}
	if c.Keys != "" {
		m.WithKeys([]string{strings.ReplaceAll(c.Keys, "{i}", fmt.Sprint(number))})
	}
	if c.DelayLevel > 0 {
		m.WithDelayTimeLevel(c.DelayLevel)
	}
	for k, v := range c.Properties {
		m.WithProperty(k, v)
	}
	if c.Queue != nil {
		m.Queue = &primitive.MessageQueue{Topic: c.Topic, QueueId: *c.Queue}
	}
	return m
}

// body: `prefix` + six digits + ':' and then letters up to `size`: the same rule as peers.body.
func body(c *command, number int) []byte {
	b := []byte(fmt.Sprintf("%s%06d:", c.Prefix, number))
	for i := len(b); i < c.Size; i++ {
		b = append(b, byte('a'+(number+i)%26))
	}
	return b
}

var statusNames = map[primitive.SendStatus]string{
	primitive.SendOK:                "SEND_OK",
	primitive.SendFlushDiskTimeout:  "FLUSH_DISK_TIMEOUT",
	primitive.SendFlushSlaveTimeout: "FLUSH_SLAVE_TIMEOUT",
	primitive.SendSlaveNotAvailable: "SLAVE_NOT_AVAILABLE",
}

func receipt(r *primitive.SendResult) fields {
	return fields{
		"status": statusNames[r.Status], "msg_id": r.MsgID, "offset_msg_id": r.OffsetMsgID,
		"broker": r.MessageQueue.BrokerName, "queue": r.MessageQueue.QueueId, "offset": r.QueueOffset,
	}
}

func (p *peer) consumer(c *command) error {
	from := consumer.ConsumeFromFirstOffset
	switch c.From {
	case "last":
		from = consumer.ConsumeFromLastOffset
	case "timestamp":
		from = consumer.ConsumeFromTimestamp
	}
	model := consumer.Clustering
	if c.Model == "broadcasting" {
		model = consumer.BroadCasting
	}
	options := []consumer.Option{
		consumer.WithNsResolver(primitive.NewPassthroughResolver(strings.Split(c.Namesrv, ";"))),
		consumer.WithGroupName(c.Group),
		consumer.WithInstance(instance(c.Name)),
		consumer.WithConsumeFromWhere(from),
		consumer.WithConsumerModel(model),
		consumer.WithConsumerOrder(c.Orderly),
		consumer.WithConsumeGoroutineNums(4),
	}
	if c.Timestamp != "" {
		options = append(options, consumer.WithConsumeTimestamp(c.Timestamp))
	}
	if c.MaxReconsume != nil {
		options = append(options, consumer.WithMaxReconsumeTimes(*c.MaxReconsume))
	}
	made, err := rocketmq.NewPushConsumer(options...)
	if err != nil {
		return err
	}
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}
	if c.Expression != "" {
		selector.Expression = c.Expression
	}
	if c.ExpressionType == "SQL92" {
		selector.Type = consumer.SQL92
	}
	name, failures, retry, orderly, work := c.Name, c.FailTimes, c.RetryLevel, c.Orderly, time.Duration(c.WorkMs)*time.Millisecond
	err = made.Subscribe(c.Topic, selector, func(ctx context.Context, ms ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		failed := report(name, ms, failures)
		time.Sleep(work)
		if !failed {
			return consumer.ConsumeSuccess, nil
		}
		if orderly {
			if ordered, ok := primitive.GetOrderlyCtx(ctx); ok {
				ordered.SuspendCurrentQueueTimeMillis = 100
			}
			return consumer.SuspendCurrentQueueAMoment, nil
		}
		if concurrently, ok := primitive.GetConcurrentlyCtx(ctx); ok && retry > 0 {
			concurrently.DelayLevelWhenNextConsume = retry
		}
		return consumer.ConsumeRetryLater, nil
	})
	if err != nil {
		return err
	}
	if err := made.Start(); err != nil {
		return err
	}
	p.consumers[c.Name] = made
	return nil
}

// report tells the driver of each message; true when this delivery is to fail.
func report(name string, messages []*primitive.MessageExt, failures int32) bool {
	fail := false
	for _, m := range messages {
		failed := m.ReconsumeTimes < failures
		fail = fail || failed
		hash := sha256.Sum256(m.Body)
		event := fields{
			"event": "message", "consumer": name, "failed": failed, "topic": m.Topic, "msg_id": m.MsgId,
			"offset_msg_id": m.OffsetMsgId, "broker": m.Queue.BrokerName, "queue": m.Queue.QueueId, "offset": m.QueueOffset,
			"tags": m.GetTags(), "keys": m.GetKeys(), "reconsume_times": m.ReconsumeTimes, "properties": m.GetProperties(),
			"size": len(m.Body), "sha256": hex.EncodeToString(hash[:]), "born_host": m.BornHost, "store_host": m.StoreHost,
			"sys_flag": m.SysFlag, "born_time": m.BornTimestamp, "store_time": m.StoreTimestamp,
		}
		if len(m.Body) <= textLimit {
			event["body"] = string(m.Body)
		}
		emit(event)
	}
	return fail
}

func (p *peer) close(name string) error {
	if made := p.producers[name]; made != nil {
		delete(p.producers, name)
		return made.Shutdown()
	}
	if made := p.consumers[name]; made != nil {
		delete(p.consumers, name)
		settle()
		return made.Shutdown()
	}
	return fmt.Errorf("no producer or consumer %q", name)
}

// settle waits, for a few seconds at most, until no delivery is under way in this process: Shutdown drops what a listener has
// reported and the client not yet counted as consumed, and offers nothing to wait for, so this looks at the goroutines.
func settle() {
	for deadline := time.Now().Add(5 * time.Second); delivering() && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
}

func delivering() bool {
	stacks := make([]byte, 1<<20)
	for _, stack := range strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		concurrently := strings.Contains(stack, ").consumeMessageConcurrently.func")
		orderly := strings.Contains(stack, ").consumeMessageOrderly(") && !strings.Contains(stack, ").takeMessages(")
		if concurrently || orderly {
			return true
		}
	}
	return false
}
