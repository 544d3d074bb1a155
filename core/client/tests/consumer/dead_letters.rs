//! Dead letters read and sent again.

use crate::prelude::*;

#[tokio::test]
async fn dead_letters_are_read_in_order_and_sent_to_their_topic_again() {
    let cluster = Cluster::start().await;
    let (topic, group) = cluster.topic(1).await;
    let client = cluster.client();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let letters = client.dead_letters(&group).unwrap();
    assert!(within(letters.read(10)).await.unwrap().is_empty(), "there never was one");

    let (broken, mended) = (Arc::new(AtomicUsize::new(1)), Inbox::good());
    let kept = (broken.clone(), mended.clone());
    let listener = move |messages: Vec<MessageView>| {
        let (broken, inbox) = kept.clone();
        async move {
            if broken.load(Ordering::SeqCst) == 1 {
                return ConsumeResult::Later { delay_level: Some(-1) };
            }
            inbox.consume(messages).await
        }
    };
    let consumer = within(client.push_consumer(first(&group, &topic), Arc::new(listener))).await.unwrap();
    let mut ids = Vec::new();
    for n in 0..50 {
        let message = Message::new(&topic, format!("m{n}")).tag("t").key("k1").key("k2").property("p", "é");
        ids.push(within(producer.send(message.message_group("g"))).await.unwrap().message_id);
    }
    let mut read = Vec::new();
    until_async("all have died", async || {
        read.extend(within(letters.read(7)).await.unwrap());
        read.len() == 50
    })
    .await;
    let mut found: Vec<String> = read.iter().map(|letter| letter.message_id().into_owned()).collect();
    found.sort();
    ids.sort();
    assert_eq!(found, ids);
    assert!(read.iter().all(|letter| letter.origin_topic() == Some(&topic) && letter.reconsume_times() == 1));
    assert!(within(letters.read(7)).await.unwrap().is_empty());
    within(letters.rewind()).await;
    assert_eq!(within(letters.read(1000)).await.unwrap().len(), 50);

    broken.store(0, Ordering::SeqCst);
    let receipt = within(letters.resend(&read[0])).await.unwrap();
    assert_eq!(receipt.topic, topic);
    until("it comes again", || mended.count() == 1).await;
    let (old, new) = (&read[0], mended.seen.lock().unwrap()[0].clone());
    assert_eq!((new.body(), new.tag(), new.property("p")), (old.body(), Some("t"), Some("é")));
    assert_eq!((new.message_group(), new.delivery_attempt()), (Some("g"), 1));
    assert_eq!(new.keys().collect::<Vec<_>>(), ["k1", "k2"]);
    assert_eq!((new.origin_topic(), &*new.message_id()), (None, receipt.message_id.as_str()));
    let refused = within(letters.resend(&new)).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Argument, "{refused}");
    within(consumer.close()).await;
    within(client.close()).await;
    assert_eq!(within(letters.read(1)).await.unwrap_err().code(), ErrorCode::Closed);
    cluster.stop().await;
}
