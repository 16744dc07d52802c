//! What every broker promises, written once and run on each back-end.
//!
//! A case is a function over a [`Fixture`]; [`suite!`] makes it one test per back-end. A back-end is
//! correct when this says so; what only RabbitMQ can suffer (a restart, a cut line) is in
//! `rabbit_only.rs`. Nothing here sleeps: a case waits for a condition, with a deadline.

mod asking;
mod consuming;
mod control;
mod dead_letters;
mod embedded_fixture;
mod line;
mod publishing;
mod rabbit_fixture;
mod rabbit_only;
mod returning;
mod verbs;

use std::future::Future;
use std::ops::Deref;

use crate::{Broker, Exchange};

/// A broker of its own for one case: nobody else publishes to it or consumes from it.
trait Fixture: Sized + Send + Sync {
    /// An empty one, without exchanges and queues.
    fn start() -> impl Future<Output = Self> + Send;

    /// A client that is connected. Every client may declare.
    fn connect(&self, name: &str) -> impl Future<Output = Client> + Send;

    /// Publishes past [`Broker::publish`], as a stranger would.
    fn forge(&self, exchange: Exchange, key: &str, forgery: Forgery) -> impl Future<Output = ()> + Send;

    /// Removes what [`Fixture::start`] made.
    fn end(self) -> impl Future<Output = ()> + Send;
}

/// A message that no role sends.
#[derive(Debug, Clone)]
enum Forgery {
    /// Bytes that say nothing about themselves: no kind, no version, no id.
    Nameless(Vec<u8>),
    /// More bytes than any role may send.
    TooLarge(Vec<u8>),
}

/// A connection, and the way to end it without a word.
struct Client {
    broker: Broker,
    kill: Box<dyn FnOnce() + Send>,
}

impl Client {
    /// What `kill -9` of the client's process leaves: a connection that ends without a goodbye.
    fn kill(self) {
        (self.kill)();
    }
}

impl Deref for Client {
    type Target = Broker;
    fn deref(&self) -> &Broker {
        &self.broker
    }
}

/// Makes a module with one test per case, all on fixtures of one type.
macro_rules! suite {
    ($backend:ident, $fixture:ty) => {
        mod $backend {
            use super::Fixture;
            suite!(@cases $fixture:
                consuming::messages_arrive_in_the_order_of_their_publication,
                consuming::an_envelope_arrives_as_it_was_sent,
                consuming::no_more_than_the_prefetch_is_handed_out_and_an_ack_makes_room,
                consuming::two_consumers_share_a_queue,
                consuming::a_stopped_consumer_keeps_what_it_was_handed_and_nothing_else,
                consuming::depth_tells_what_waits_and_who_consumes,
                consuming::a_consumer_that_comes_before_its_queue_gets_it_once_it_stands,
                consuming::ensure_tells_once_what_was_missing,
                consuming::many_publishers_and_consumers_lose_and_double_nothing,
                returning::a_requeued_message_takes_its_place_again,
                returning::a_delivery_that_is_dropped_comes_back,
                returning::a_consumer_that_is_dropped_gives_back_all_it_was_handed,
                returning::a_client_that_closes_gives_back_all_it_was_handed,
                returning::a_killed_client_gives_back_all_it_was_handed,
                returning::an_ack_after_the_end_of_its_connection_is_void,
                publishing::a_confirmed_message_lies_in_its_queue,
                publishing::without_topology_everything_is_unroutable,
                publishing::each_unroutable_message_among_many_is_told_from_the_others,
                publishing::a_full_work_queue_refuses_and_keeps_what_it_has,
                publishing::a_full_log_queue_refuses_and_keeps_what_it_has,
                publishing::what_does_not_fit_the_wire_is_refused_alone,
                publishing::one_mebibyte_travels_and_one_byte_more_does_not,
                dead_letters::a_message_put_aside_arrives_once_and_the_next_one_is_handled,
                dead_letters::a_message_that_always_comes_back_is_put_aside_by_the_broker,
                dead_letters::a_message_that_says_nothing_about_itself_is_put_aside_whole,
                dead_letters::a_message_beyond_the_limit_is_put_aside_whole,
                dead_letters::garbage_in_a_good_envelope_is_found_when_it_is_opened,
                dead_letters::a_message_that_cannot_be_put_aside_stays_in_its_queue,
                dead_letters::a_log_chunk_can_be_put_aside_as_well,
                control::a_control_message_reaches_all_a_pool_or_one,
                control::whoever_stopped_listening_is_unroutable,
                control::whoever_was_killed_is_unroutable,
                asking::a_question_gets_its_own_answer,
                asking::silence_is_an_error_after_the_patience_and_not_before,
                asking::an_answer_to_nobody_is_no_error,
                asking::a_question_that_nobody_can_hear_is_not_sent,
            );
        }
    };
    (@cases $fixture:ty: $($part:ident::$case:ident,)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let fixture = <$fixture>::start().await;
            super::$part::$case(&fixture).await;
            fixture.end().await;
        }
    )+};
}

suite!(embedded, super::embedded_fixture::InProcess);
suite!(rabbit, super::rabbit_fixture::OnRabbit);
