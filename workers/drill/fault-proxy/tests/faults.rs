//! What the proxy must do to the connections that go through it, on plain sockets; and that a real broker's clients
//! bear it between them.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use fault_proxy::{Direction, End, Proxy, Rule, Rules};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long nothing must come for a test to believe that nothing comes.
const SILENCE: Duration = Duration::from_millis(200);

struct Line {
    proxy: Proxy,
    listener: TcpListener,
}

impl Line {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = Proxy::start(listener.local_addr().expect("an address")).await.expect("a proxy");
        Self { proxy, listener }
    }

    async fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.address()).await.expect("connected");
        let (server, _) = soon(self.listener.accept()).await.expect("the proxy connects");
        (client, server)
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

async fn hears(stream: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    soon(stream.read_exact(&mut heard)).await.expect("bytes");
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

async fn hears_nothing(stream: &mut TcpStream) {
    let heard = tokio::time::timeout(SILENCE, stream.read(&mut [0])).await;
    assert!(heard.is_err(), "something came: {heard:?}");
}

async fn breaks(stream: &mut TcpStream) -> ErrorKind {
    match soon(stream.read_to_end(&mut Vec::new())).await {
        Ok(_) => panic!("it ended in order"),
        Err(cause) => cause.kind(),
    }
}

#[tokio::test]
async fn without_a_fault_everything_passes_and_each_side_hears_the_other_close() {
    let line = Line::new().await;
    let (mut client, mut server) = line.connect().await;
    client.write_all(b"question").await.expect("written");
    hears(&mut server, "question").await;
    client.shutdown().await.expect("closed");
    assert_eq!(soon(server.read(&mut [0])).await.expect("an end"), 0);
    // Half closed: the answer still arrives.
    server.write_all(b"answer").await.expect("written");
    drop(server);
    hears(&mut client, "answer").await;
    assert_eq!(soon(client.read(&mut [0])).await.expect("an end"), 0);
}

#[tokio::test]
async fn what_one_side_resets_the_other_finds_reset() {
    let line = Line::new().await;
    let (mut client, server) = line.connect().await;
    server.set_zero_linger().expect("set");
    drop(server);
    assert_eq!(breaks(&mut client).await, ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn slices_of_one_byte_are_still_the_whole_text() {
    let line = Line::new().await;
    line.proxy.set(Rules::both(Rule::slice(1)));
    let (mut client, mut server) = line.connect().await;
    let text = "a frame in pieces ".repeat(50);
    client.write_all(text.as_bytes()).await.expect("written");
    let first = soon(server.read(&mut vec![0; text.len()])).await.expect("bytes");
    hears(&mut server, &text[first..]).await;
    server.write_all(b"thanks").await.expect("written");
    hears(&mut client, "thanks").await;
}

#[tokio::test]
async fn a_delay_is_kept_and_does_not_make_the_line_thin() {
    let line = Line::new().await;
    let (mut client, mut server) = line.connect().await;
    let delay = Duration::from_millis(150);
    line.proxy.set(Rules::one(Direction::ToServer, Rule::delay(delay)));
    // The rule is read before the next piece, not in the middle of one.
    let begun = Instant::now();
    for _ in 0..20 {
        client.write_all(b"tick").await.expect("written");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    hears(&mut server, &"tick".repeat(20)).await;
    assert!(begun.elapsed() >= delay, "it came after {:?}", begun.elapsed());
    assert!(begun.elapsed() < delay * 20, "pieces waited for each other: {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_thin_line_takes_its_time() {
    let line = Line::new().await;
    line.proxy.set(Rules::both(Rule::bandwidth(20_000)));
    let (mut client, mut server) = line.connect().await;
    let begun = Instant::now();
    client.write_all(&[b'x'; 10_000]).await.expect("written");
    hears(&mut server, &"x".repeat(10_000)).await;
    assert!(begun.elapsed() >= Duration::from_millis(400), "10 kB at 20 kB/s came after {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_black_hole_swallows_one_direction_and_gives_back_when_it_closes() {
    let line = Line::new().await;
    let (mut client, mut server) = line.connect().await;
    line.proxy.set(Rules::one(Direction::ToClient, Rule::black_hole()));
    client.write_all(b"question").await.expect("written");
    hears(&mut server, "question").await;
    server.write_all(b"answer").await.expect("written");
    drop(server);
    hears_nothing(&mut client).await;

    line.proxy.heal().await;
    hears(&mut client, "answer").await;
    assert_eq!(soon(client.read(&mut [0])).await.expect("an end"), 0);
}

#[tokio::test]
async fn connections_are_ended_as_asked() {
    let line = Line::new().await;
    let (mut client, mut server) = line.connect().await;
    line.proxy.end_all(End::Reset);
    assert_eq!(breaks(&mut client).await, ErrorKind::ConnectionReset);
    assert_eq!(breaks(&mut server).await, ErrorKind::ConnectionReset);

    let (mut client, mut server) = line.connect().await;
    line.proxy.end_all(End::Close);
    assert_eq!(soon(client.read(&mut [0])).await.expect("an end"), 0);
    assert_eq!(soon(server.read(&mut [0])).await.expect("an end"), 0);
}

#[tokio::test]
async fn a_connection_is_cut_at_the_chosen_byte() {
    let line = Line::new().await;
    let (mut client, mut server) = line.connect().await;
    client.write_all(b"hello").await.expect("written");
    hears(&mut server, "hello").await;
    line.proxy.cut_all_after(Direction::ToServer, 3);
    client.write_all(b"abcdef").await.expect("written");
    hears(&mut server, "abc").await;
    assert_eq!(breaks(&mut server).await, ErrorKind::ConnectionReset);
    assert_eq!(breaks(&mut client).await, ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_closed_door_refuses_and_opens_again_while_old_connections_go_on() {
    let line = Line::new().await;
    let (mut client, mut server) = line.connect().await;
    line.proxy.refuse().await;
    let refused = TcpStream::connect(line.proxy.address()).await.expect_err("refused");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    client.write_all(b"still here").await.expect("written");
    hears(&mut server, "still here").await;
    line.proxy.accept().await;
    line.connect().await;
}

#[tokio::test]
async fn a_fault_of_one_connection_leaves_the_others_alone() {
    let line = Line::new().await;
    let (mut first, mut first_server) = line.connect().await;
    let (mut second, mut second_server) = line.connect().await;
    let ids: Vec<u64> = line.proxy.connections().iter().map(|connection| connection.id).collect();
    assert!(line.proxy.set_one(ids[0], Rules::both(Rule::black_hole())));
    first.write_all(b"lost").await.expect("written");
    second.write_all(b"found").await.expect("written");
    hears(&mut second_server, "found").await;
    hears_nothing(&mut first_server).await;

    assert!(line.proxy.end(ids[1], End::Reset));
    assert_eq!(breaks(&mut second).await, ErrorKind::ConnectionReset);
    line.proxy.heal().await;
    hears(&mut first_server, "lost").await;
}

#[tokio::test]
async fn a_server_that_is_down_breaks_the_connection_and_another_one_can_take_its_place() {
    let Line { proxy, listener } = Line::new().await;
    drop(listener);
    let mut client = TcpStream::connect(proxy.address()).await.expect("connected");
    assert_eq!(breaks(&mut client).await, ErrorKind::ConnectionReset);

    let other = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    proxy.forward_to(other.local_addr().expect("an address"));
    TcpStream::connect(proxy.address()).await.expect("connected");
    soon(other.accept()).await.expect("the proxy connects to the new one");
}

/// The cruellest fault for a publisher: the broker has the message, and the confirm never comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_takes_a_message_whose_confirm_is_swallowed() {
    let node = rabbit_node::shared().await.expect("a RabbitMQ node");
    let url = node.vhost().await.expect("a virtual host");
    let proxy = Proxy::start(node.address()).await.expect("a proxy");
    let through = Connection::connect(&proxy.instead_of(&url), ConnectionProperties::default()).await.expect("through");
    let direct = Connection::connect(&url, ConnectionProperties::default()).await.expect("connected");
    let counter = direct.create_channel().await.expect("a channel");
    let channel = through.create_channel().await.expect("a channel");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let declare = QueueDeclareOptions::default();
    channel.queue_declare("q".into(), declare, FieldTable::default()).await.expect("a queue");

    proxy.set(Rules::one(Direction::ToClient, Rule::black_hole()));
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sent = channel.basic_publish("".into(), "q".into(), options, b"a commit", BasicProperties::default());
    let confirm = sent.await.expect("written");
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let begun = Instant::now();
    while counter.queue_declare("q".into(), passive, FieldTable::default()).await.expect("it exists").message_count()
        == 0
    {
        assert!(begun.elapsed() < PATIENCE, "the message never arrived");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut confirm = std::pin::pin!(confirm);
    assert!(tokio::time::timeout(SILENCE, &mut confirm).await.is_err(), "a confirm came through the hole");

    proxy.end_all(End::Reset);
    soon(confirm).await.expect_err("the connection broke before the confirm came");
}
