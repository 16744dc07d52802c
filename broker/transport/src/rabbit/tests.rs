//! What the suite of both back-ends cannot tell: refusals, rights, and a broker that freezes, blocks,
//! loses patience or dies.

use std::time::Duration;

use fault_proxy::{End, Proxy};
use futures::future::join_all;
use messages::{Envelope, MessageId};
use rabbit_node::Node;

use crate::error::{ConsumeError, PublishError, RefusedError, SettleError};
use crate::{Broker, Consumer, Delivery, Event, Exchange, Link, Outgoing, Queue, Role, Settled};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

fn broker(url: &str, declares_topology: bool) -> Broker {
    Broker::rabbit(url, Role { name: "test".to_owned(), declares_topology }).expect("a good URL")
}

/// A dispatcher that has declared everything.
async fn dispatcher(url: &str) -> Broker {
    let broker = broker(url, true);
    within("a connection", broker.wait_until_up()).await.expect("not refused");
    let queues = [Queue::Commits, Queue::Results, Queue::Logs, Queue::Dead, jobs()];
    assert_eq!(broker.ensure(&queues).await.expect("declared").len(), queues.len());
    broker
}

fn jobs() -> Queue {
    Queue::Jobs("linux".parse().expect("a pool name"))
}

fn job(number: usize) -> Outgoing {
    let text = number.to_string();
    let envelope = Envelope::raw("test", MessageId::of(&[&text]), text.into_bytes()).expect("small");
    Outgoing::new(Exchange::Jobs, "linux", envelope)
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("waited {DEADLINE:?} in vain for {what}"))
}

async fn link(broker: &Broker, what: &str, is_so: impl FnMut(&Link) -> bool) -> Link {
    within(what, broker.link().wait_for(is_so)).await.expect("the broker lives").clone()
}

async fn event(consumer: &mut Consumer) -> Event {
    within("an event", consumer.next()).await.expect("the consumer lives")
}

async fn consuming(broker: &Broker, queue: Queue) -> Consumer {
    let mut consumer = broker.consume(queue, 1);
    assert!(matches!(event(&mut consumer).await, Event::Resumed));
    consumer
}

async fn delivery(consumer: &mut Consumer) -> Delivery {
    match event(consumer).await {
        Event::Delivery(delivery) => delivery,
        other => panic!("expected a delivery, got {other:?}"),
    }
}

/// The reason of an interruption.
async fn interrupted(consumer: &mut Consumer) -> String {
    match event(consumer).await {
        Event::Interrupted { why } => why,
        other => panic!("expected an interruption, got {other:?}"),
    }
}

/// What is delivered after the consumer was built anew.
async fn delivery_after_resuming(consumer: &mut Consumer) -> Delivery {
    loop {
        if let Event::Delivery(delivery) = event(consumer).await {
            return delivery;
        }
    }
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.raw).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_refused_is_told_why_and_never_with_the_password() {
    let node = rabbit_node::shared().await.expect("a node");
    node.vhost().await.expect("a virtual host");
    node.add_user("rightless", "s3cret").await.expect("a user");

    let wrong_password = broker(&node.url_for("/", "guest", "s3cret"), false);
    let refused = within("a refusal", wrong_password.wait_until_up()).await.expect_err("refused");
    assert!(matches!(&refused, RefusedError::Credentials { user, .. } if user == "guest"), "{refused}");
    assert!(!refused.to_string().contains("s3cret"), "{refused}");
    let down = link(&wrong_password, "the link to say so", |link| !link.is_up()).await;
    assert!(!format!("{down:?}").contains("s3cret"));

    for (vhost, user, password) in [("nowhere", "guest", "guest"), ("/", "rightless", "s3cret")] {
        let refused = within("a refusal", broker(&node.url_for(vhost, user, password), false).wait_until_up()).await;
        let refused = refused.expect_err("refused");
        assert!(matches!(&refused, RefusedError::VirtualHost { vhost: of, .. } if of == vhost), "{refused}");
        assert!(!refused.to_string().contains("s3cret"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_no_broker_is_waited_for_and_named() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = closed.local_addr().expect("its address");
    drop(closed);
    let alone = broker(&format!("amqp://u:s3cret@{nobody}/x"), false);
    link(&alone, "a refused connection", |link| matches!(link, Link::Down { why } if why.contains("refused"))).await;
    assert!(matches!(alone.publish(job(0)).await, Err(PublishError::Unreachable { .. })));
    assert!(matches!(alone.depth(&jobs()).await, Err(ConsumeError::Unreachable { .. })));

    let web = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = web.local_addr().expect("its address");
    let serving = tokio::spawn(async move {
        while let Ok((mut socket, _)) = web.accept().await {
            let answer = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
            tokio::io::AsyncWriteExt::write_all(&mut socket, answer).await.ok();
        }
    });
    let lost = broker(&format!("amqp://u:s3cret@{address}/x"), false);
    let why = |link: &Link| matches!(link, Link::Down { why } if why.contains("does not speak AMQP"));
    link(&lost, "a strange greeting", why).await;
    serving.abort();

    within("the end", alone.close()).await;
    within("the end", lost.close()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runner_without_rights_is_refused_and_can_still_put_a_message_aside() {
    let node = rabbit_node::shared().await.expect("a node");
    let url = node.vhost().await.expect("a virtual host");
    let vhost = url.rsplit_once('/').expect("a path").1.to_owned();
    let dispatcher = dispatcher(&url).await;
    node.add_user("runner", "runner").await.expect("a user");
    let rights = ["^$", r"^thump\.results$", r"^thump\.jobs\.linux$"];
    node.set_permissions(&vhost, "runner", rights).await.expect("rights");
    let runner = broker(&node.url_for(&vhost, "runner", "runner"), false);
    within("a connection", runner.wait_until_up()).await.expect("not refused");

    let refused = runner.publish(job(0)).await.expect_err("refused");
    assert!(matches!(&refused, PublishError::Refused { exchange, .. } if exchange == "thump.jobs"), "{refused}");
    assert!(matches!(runner.ensure(&[jobs()]).await, Err(ConsumeError::Refused { .. })));
    // One refused message says nothing of the others, and the next window is as good as ever.
    let result = |number| Outgoing { exchange: Exchange::Results, key: "result.north".to_owned(), ..job(number) };
    let mixed = runner.publish_all(vec![result(1), job(2)]).await;
    assert!(matches!(mixed[1], Err(PublishError::Refused { .. })), "{mixed:?}");
    assert!(!matches!(mixed[0], Err(PublishError::Refused { .. })), "{mixed:?}");
    runner.publish(result(3)).await.expect("published");

    dispatcher.publish(job(4)).await.expect("published");
    let mut consumer = consuming(&runner, jobs()).await;
    assert_eq!(delivery(&mut consumer).await.dead_letter("cannot be read").await, Ok(Settled::Done));
    let mut dead = consuming(&dispatcher, Queue::Dead).await;
    let letter = delivery(&mut dead).await;
    let death = letter.death.clone().expect("a death");
    assert_eq!(
        (text(&letter).as_str(), death.queue.as_str(), death.reason.as_str()),
        ("4", "thump.jobs.linux", "rejected")
    );
    assert_eq!(letter.ack().await, Settled::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_blocks_publishers_acks_still_flow_and_a_held_job_survives_its_impatience() {
    let node = Node::start().await.expect("a node");
    // How often a channel looks for deliveries that are held too long. Milliseconds.
    node.eval("application:set_env(rabbit, channel_tick_interval, 200)").await.expect("set");
    let broker = dispatcher(&node.url()).await;
    for number in 0..3 {
        broker.publish(job(number)).await.expect("published");
    }
    let mut consumer = consuming(&broker, jobs()).await;
    let held = delivery(&mut consumer).await;

    node.eval("vm_memory_monitor:set_vm_memory_high_watermark(0.00001)").await.expect("an alarm");
    within("a publish that is refused", async {
        while !matches!(broker.publish(job(3)).await, Err(PublishError::Unreachable { .. })) {}
    })
    .await;
    assert!(matches!(&*broker.link().borrow(), Link::Blocked { generation: 1, .. }));
    assert_eq!(held.ack().await, Settled::Done);
    let second = delivery(&mut consumer).await;
    assert_eq!((text(&second).as_str(), second.redelivered), ("1", false));
    assert!(broker.depth(&jobs()).await.is_ok());

    node.eval("vm_memory_monitor:set_vm_memory_high_watermark(0.8)").await.expect("no alarm");
    link(&broker, "the end of the alarm", |link| matches!(link, Link::Up { generation: 1 })).await;
    broker.publish(job(4)).await.expect("published");

    // The broker closes the channel of whoever holds a delivery too long, and only the channel.
    node.eval("application:set_env(rabbit, consumer_timeout, 500)").await.expect("set");
    let mut impatient = consuming(&broker, Queue::Results).await;
    broker
        .publish(Outgoing { exchange: Exchange::Results, key: "tick".to_owned(), ..job(5) })
        .await
        .expect("published");
    let too_long = delivery(&mut impatient).await;
    let why = interrupted(&mut impatient).await;
    assert!(why.contains("timed out") || why.contains("timeout"), "{why}");
    assert_eq!(too_long.ack().await, Settled::Void);
    node.eval("application:set_env(rabbit, consumer_timeout, 1800000)").await.expect("set");
    let again = delivery_after_resuming(&mut impatient).await;
    assert_eq!((text(&again).as_str(), again.redelivered), ("5", true));
    assert_eq!(again.ack().await, Settled::Done);
    assert!(matches!(&*broker.link().borrow(), Link::Up { generation: 1 }), "the connection was given up as well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_freezes_and_then_dies_loses_nothing_that_it_confirmed() {
    let node = Node::start().await.expect("a node");
    let broker = dispatcher(&node.url()).await;
    let mut consumer = consuming(&broker, jobs()).await;
    broker.publish(job(0)).await.expect("published");
    let held = delivery(&mut consumer).await;

    node.freeze().expect("frozen");
    link(&broker, "a missed heartbeat", |link| !link.is_up()).await;
    interrupted(&mut consumer).await;
    assert!(matches!(broker.publish(job(1)).await, Err(PublishError::Unreachable { .. })));
    assert!(matches!(held.dead_letter("too late").await, Ok(Settled::Void) | Err(SettleError::DeadLetter(_))));
    node.thaw().expect("thawed");
    link(&broker, "a second connection", |link| matches!(link, Link::Up { generation: 2 })).await;
    let again = delivery_after_resuming(&mut consumer).await;
    assert_eq!((text(&again).as_str(), again.redelivered), ("0", true));
    assert_eq!(again.ack().await, Settled::Done);
    drop(consumer);

    // Which queues there are is written down half a second late; here it is the messages that count.
    node.eval("[dets:sync(Table) || Table <- dets:all()]").await.expect("synced");
    const LAST: usize = 400;
    let publishing = async {
        for number in 1..=LAST {
            while let Err(error) = broker.publish(job(number)).await {
                assert!(error.worth_retrying(), "{error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            if number == LAST / 2 {
                node.kill().await.expect("killed");
                node.restart().await.expect("restarted");
            }
        }
    };
    let receiving = async {
        let mut consumer = broker.consume(jobs(), 10);
        let mut missing: std::collections::BTreeSet<_> = (1..=LAST).map(|number| number.to_string()).collect();
        while !missing.is_empty() {
            if let Event::Delivery(delivery) = event(&mut consumer).await {
                let text = text(&delivery);
                // Acked is handled; void comes again, and whoever handles a message twice must bear it.
                delivery.ack().await;
                missing.remove(&text);
            }
        }
    };
    within("every message", futures::future::join(publishing, receiving)).await;
}

/// A runner whose loop waited for such an ack took no more jobs and did not even stop.
#[tokio::test(flavor = "multi_thread")]
async fn an_ack_at_the_moment_of_a_reset_is_answered() {
    const HELD: u16 = 50;
    let node = Node::start().await.expect("a RabbitMQ node");
    let proxy = Proxy::start(node.address()).await.expect("a proxy");
    let publisher = dispatcher(&node.url()).await;
    let broker = broker(&proxy.instead_of(&node.url()), false);
    within("a connection", broker.wait_until_up()).await.expect("not refused");
    let mut consumer = broker.consume(jobs(), HELD);
    for round in 0..6 {
        let more = (0..usize::from(HELD)).map(job).collect();
        let sent = within("the confirms", publisher.publish_all(more)).await;
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
        let mut held = Vec::new();
        while held.len() < usize::from(HELD) {
            match event(&mut consumer).await {
                Event::Delivery(delivery) => held.push(delivery),
                Event::Resumed => {}
                Event::Interrupted { .. } => held.clear(),
            }
        }
        // Half of them at that moment, half of them as soon as the role is told.
        let rest = held.split_off(held.len() / 2);
        let reset = async {
            tokio::time::sleep(Duration::from_micros(50 * round)).await;
            proxy.end_all(End::Reset);
        };
        within("every answer", async { tokio::join!(join_all(held.into_iter().map(Delivery::ack)), reset) }).await;
        while !matches!(event(&mut consumer).await, Event::Interrupted { .. }) {}
        within("every later answer", join_all(rest.into_iter().map(Delivery::requeue))).await;
    }
}
