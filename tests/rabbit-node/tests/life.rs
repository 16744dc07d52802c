//! What a private node must do for the tests that rely on it: answer, survive what it is told to survive, and leave
//! nothing behind.

use rabbit_node::{Node, NodeError};
use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Set for a copy of this test binary that boots a node, prints what belongs to it and waits to be killed.
const VICTIM: &str = "RABBIT_NODE_TEST_VICTIM";

/// Whether the node opens an AMQP conversation within a second.
fn greets(node: &Node) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(node.address())?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"AMQP\0\0\x09\x01")?;
        stream.read_exact(&mut [0])
    };
    ask().is_ok()
}

/// Neither gone nor a zombie that nobody has waited for yet.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

fn folder(node: &Node) -> PathBuf {
    let watcher = node.pids()[0];
    fs::read_link(format!("/proc/{watcher}/cwd")).expect("the watcher stands in the node's folder")
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "after 10 s still not: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn nothing_is_left(pids: &[u32], folder: &Path) -> bool {
    pids.iter().all(|pid| !runs(*pid)) && !folder.exists()
}

#[tokio::test]
async fn a_killed_node_comes_back_with_what_it_knew() {
    let node = Node::start().await.expect("a node");
    let port = node.address().port();
    assert!(greets(&node));
    node.add_vhost("kept").await.expect("a virtual host");
    node.add_user("o'brien \"}", "p@ss/word%").await.expect("a user with a hostile name");
    node.set_permissions("kept", "o'brien \"}", ["^$", "^ci\\.results$", ".*"]).await.expect("permissions");

    node.kill().await.expect("kill");
    assert!(!greets(&node));
    assert!(matches!(node.vhost().await, Err(NodeError::Down)));

    node.restart().await.expect("restart");
    assert!(greets(&node));
    assert_eq!(node.address().port(), port);
    let rights = node.ctl(&["list_permissions", "--vhost", "kept"]).await.expect("rabbitmqctl");
    assert!(rights.contains("o'brien") && rights.contains("^ci\\.results$"), "{rights}");

    node.stop_gracefully().await.expect("stop");
    assert!(matches!(node.stop_gracefully().await, Err(NodeError::Down)));
    node.wipe().await.expect("wipe");
    node.restart().await.expect("restart");
    let vhosts = node.eval("rabbit_vhost:list_names()").await.expect("eval");
    assert_eq!(vhosts, "[<<\"/\">>]", "a wiped node knows nothing");

    assert!(matches!(node.wipe().await, Err(NodeError::Up)));
}

#[tokio::test]
async fn a_frozen_node_says_nothing_until_it_thaws_and_can_be_dropped_frozen() {
    let node = Node::start().await.expect("a node");
    node.freeze().expect("freeze");
    assert!(!greets(&node));
    node.thaw().expect("thaw");
    assert!(greets(&node));

    node.freeze().expect("freeze");
    let (pids, folder) = (node.pids(), folder(&node));
    assert!(pids.len() > 3, "watcher, port mapper, server and its helpers: {pids:?}");
    drop(node);
    assert!(nothing_is_left(&pids, &folder), "{pids:?} {}", folder.display());
}

#[tokio::test]
async fn options_reach_the_server() {
    let definitions = r#"{
        "vhosts": [{"name": "defined"}],
        "users": [{"name": "operator", "password": "secret", "tags": "administrator"}],
        "permissions": [{"user": "operator", "vhost": "defined", "configure": ".*", "write": ".*", "read": ".*"}]
    }"#;
    let node = Node::builder()
        .conf("consumer_timeout = 60000")
        .conf("num_acceptors.tcp = 3")
        .plugin("rabbitmq_management")
        .definitions(definitions)
        .start()
        .await
        .expect("a node");
    assert_eq!(node.eval("application:get_env(rabbit, consumer_timeout)").await.expect("eval"), "{ok,60000}");
    assert_eq!(node.eval("application:get_env(rabbit, num_tcp_acceptors)").await.expect("eval"), "{ok,3}");
    assert_eq!(node.eval("rabbit_vhost:exists(<<\"defined\">>)").await.expect("eval"), "true");
    assert_eq!(
        node.url_for("defined", "operator", "p:/@"),
        format!("amqp://operator:p%3a%2f%40@{}/defined", node.address())
    );

    let management = node.management_url();
    let address = management.rsplit_once('@').expect("user and host").1;
    let mut page = TcpStream::connect(address).expect("the management listener");
    write!(page, "GET /api/overview HTTP/1.0\r\n\r\n").expect("write");
    let mut answer = String::new();
    page.read_to_string(&mut answer).expect("read");
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

/// As when the server crashes by itself: nobody told the node.
#[tokio::test]
async fn a_server_that_died_by_itself_is_noticed_and_can_be_restarted() {
    let node = Node::start().await.expect("a node");
    node.eval("erlang:halt(1)").await.expect_err("no answer can come");
    wait_until("the port is closed", || !greets(&node));
    node.restart().await.expect("restart");
    assert!(greets(&node));
}

#[tokio::test]
async fn a_wrong_option_is_said_and_leaves_nothing() {
    let failed = Node::builder().conf("no_such_key = 1").start().await.expect_err("must not boot");
    assert!(matches!(&failed, NodeError::BootFailed { last_words } if last_words.contains("no_such_key")), "{failed}");
}

/// Each of these has a runtime of its own; the node belongs to none of them.
#[test]
fn tests_with_their_own_runtimes_share_one_node() {
    let urls: Vec<String> = std::thread::scope(|scope| {
        let one = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                rabbit_node::shared().await.expect("the shared node").vhost().await.expect("a virtual host")
            })
        };
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut distinct = urls.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), 3, "{urls:?}");
}

#[tokio::test]
async fn nothing_outlives_a_test_process_that_is_killed() {
    if env::var_os(VICTIM).is_some() {
        let node = Node::start().await.expect("a node");
        // The worst case: a stopped process in the group that loses its parent.
        node.freeze().expect("freeze");
        let mut out = std::io::stderr();
        writeln!(out, "VICTIM {} {:?}", folder(&node).display(), node.pids()).expect("write");
        std::future::pending::<()>().await;
    }
    let mut victim = Command::new(env::current_exe().expect("this binary"))
        .args(["--exact", "nothing_outlives_a_test_process_that_is_killed", "--nocapture"])
        .env(VICTIM, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a copy of this test");
    let lines = BufReader::new(victim.stderr.take().expect("piped")).lines();
    let line = lines.map_while(Result::ok).find(|line| line.starts_with("VICTIM ")).expect("the victim's node");
    let (folder, pids) = line.trim_start_matches("VICTIM ").split_once(' ').expect("folder and numbers");
    let pids: Vec<u32> = pids.trim_matches(['[', ']']).split(", ").map(|pid| pid.parse().expect("a number")).collect();
    assert!(pids.iter().all(|pid| runs(*pid)), "{line}");

    victim.kill().expect("SIGKILL");
    victim.wait().expect("wait");
    wait_until("every process and the folder are gone", || nothing_is_left(&pids, Path::new(folder)));
}
