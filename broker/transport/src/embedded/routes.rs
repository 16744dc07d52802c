//! Which queues a message goes to: direct and topic routing as AMQP 0-9-1 section 3.1.3 has it.
//!
//! Apart because it is a table and a matcher. Must not know: messages, consumers.

use std::collections::HashMap;

use super::queues::QueueName;
use crate::{Binding, Exchange, ExchangeKind};

/// Every binding, found by exchange and key.
#[derive(Default)]
pub(super) struct Routes {
    /// Bindings that match one key only: all of a direct exchange, and on topic exchanges those without
    /// wildcards. There may be thousands (one per runner), so they are looked up and not tried.
    exact: HashMap<(Exchange, String), Vec<QueueName>>,
    /// Patterns. The topology has one per topic exchange.
    patterns: Vec<(Exchange, String, QueueName)>,
}

impl Routes {
    pub(super) fn bind(&mut self, binding: &Binding, queue: &QueueName) {
        if is_pattern(binding) {
            self.patterns.push((binding.exchange, binding.key.clone(), queue.clone()));
        } else {
            self.exact.entry((binding.exchange, binding.key.clone())).or_default().push(queue.clone());
        }
    }

    pub(super) fn unbind(&mut self, binding: &Binding, queue: &QueueName) {
        if is_pattern(binding) {
            self.patterns.retain(|(exchange, key, of)| (exchange, key, of) != (&binding.exchange, &binding.key, queue));
        } else if let Some(queues) = self.exact.get_mut(&(binding.exchange, binding.key.clone())) {
            queues.retain(|of| of != queue);
            if queues.is_empty() {
                self.exact.remove(&(binding.exchange, binding.key.clone()));
            }
        }
    }

    /// The queues of a message, each once.
    pub(super) fn of(&self, exchange: Exchange, key: &str) -> Vec<QueueName> {
        let mut queues = self.exact.get(&(exchange, key.to_owned())).cloned().unwrap_or_default();
        let matching = self.patterns.iter().filter(|(of, pattern, _)| *of == exchange && matches(pattern, key));
        for (_, _, queue) in matching {
            if !queues.contains(queue) {
                queues.push(queue.clone());
            }
        }
        queues
    }
}

fn is_pattern(binding: &Binding) -> bool {
    binding.exchange.kind() == ExchangeKind::Topic && binding.key.split('.').any(|word| word == "*" || word == "#")
}

fn matches(pattern: &str, key: &str) -> bool {
    // The empty key has no words, not one empty word.
    let words: Vec<_> = if key.is_empty() { Vec::new() } else { key.split('.').collect() };
    let pattern: Vec<_> = pattern.split('.').collect();
    words_match(&pattern, &words)
}

fn words_match(pattern: &[&str], words: &[&str]) -> bool {
    match (pattern, words) {
        ([], []) => true,
        (["#", rest @ ..], _) => (0..=words.len()).any(|skipped| words_match(rest, &words[skipped..])),
        (["*", rest @ ..], [_, others @ ..]) => words_match(rest, others),
        ([word, rest @ ..], [other, others @ ..]) => word == other && words_match(rest, others),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_one_word_and_a_hash_is_any_number() {
        for (pattern, key) in
            [("#", ""), ("#", "a.b"), ("a.#", "a"), ("a.#", "a.b.c"), ("*.b", "a.b"), ("#.c", "a.b.c")]
        {
            assert!(matches(pattern, key), "{pattern} should match {key:?}");
        }
        for (pattern, key) in [("*", ""), ("*", "a.b"), ("a.*", "a"), ("a.#", "b"), ("#.c", "c.d"), ("a", "A")] {
            assert!(!matches(pattern, key), "{pattern} should not match {key:?}");
        }
    }

    #[test]
    fn a_star_on_a_direct_exchange_is_only_a_star() {
        let mut routes = Routes::default();
        let queue: QueueName = "q".into();
        routes.bind(&Binding { exchange: Exchange::Jobs, key: "*".into() }, &queue);
        assert!(routes.of(Exchange::Jobs, "linux").is_empty());
        assert_eq!(routes.of(Exchange::Jobs, "*"), [queue]);
    }

    #[test]
    fn a_queue_bound_twice_gets_one_copy_and_an_unbound_one_none() {
        let mut routes = Routes::default();
        let queue: QueueName = "q".into();
        let [all, one] = ["#", "runner.a"].map(|key| Binding { exchange: Exchange::Control, key: key.into() });
        routes.bind(&all, &queue);
        routes.bind(&one, &queue);
        assert_eq!(routes.of(Exchange::Control, "runner.a").len(), 1);
        routes.unbind(&all, &queue);
        assert_eq!(routes.of(Exchange::Control, "runner.a").len(), 1);
        routes.unbind(&one, &queue);
        assert!(routes.of(Exchange::Control, "runner.a").is_empty());
    }
}
