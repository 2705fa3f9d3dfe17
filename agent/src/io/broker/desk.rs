//! What is done with a message by MQTT: it goes to the agent, or is a question and is answered; and changes are told.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use rumqttc::{AsyncClient, Publish, PublishOptions, PublishProperties, QoS};
use tokio::task::JoinSet;
use tracing::debug;
use wayside_core::agent::io::Publication;
use wayside_core::catalog::Change;
use wayside_protocols::mqtt::topic::{Topic, filter};
use wayside_protocols::service::AgentId;

use crate::driver::{Message, Tally};

/// Answers a question; bytes in, bytes out, both JSON as in the HTTP API.
#[derive(Clone)]
pub struct Answering(pub Arc<Answer>);
type Answer = dyn Fn(Vec<u8>) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send>> + Send + Sync;

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}

/// Puts a change in words.
#[derive(Clone, Copy, Debug)]
pub struct Telling(pub fn(&Change) -> Vec<u8>);

/// Takes messages in and answers questions, [`QUESTIONS`] at a time; further ones are dropped and counted.
pub(super) struct Desk {
    questions: Box<str>,
    answer: Option<Answering>,
    answering: JoinSet<()>,
}

impl Desk {
    pub(super) fn new(agent: &AgentId, answer: Option<Answering>) -> Self {
        Self { questions: filter::queries(agent), answer, answering: JoinSet::new() }
    }

    /// What to subscribe to for questions, if they are answered.
    pub(super) fn filter(&self) -> Option<String> {
        self.answer.as_ref().map(|_| self.questions.to_string())
    }

    /// A message for the agent, unless it is a question. A topic that is no text is dropped: the broker must not send one.
    pub(super) fn take(&mut self, publish: Publish, client: &AsyncClient, tally: &Tally) -> Option<Message> {
        let topic: Box<str> = std::str::from_utf8(&publish.topic).ok()?.into();
        if topic == self.questions {
            self.ask(publish, client, tally);
            return None;
        }
        Some(Message::Published { topic, payload: publish.payload.into(), retained: publish.retain })
    }

    fn ask(&mut self, question: Publish, client: &AsyncClient, tally: &Tally) {
        while self.answering.try_join_next().is_some() {}
        let properties = question.properties.unwrap_or_default();
        let Some((answer, topic)) =
            self.answer.clone().zip(properties.response_topic.filter(|topic| answerable(topic)))
        else {
            return Tally::add(&tally.broker_queries_refused);
        };
        // A retained question would be asked again at each connection, and answered to nobody.
        if question.retain || self.answering.len() >= QUESTIONS {
            return Tally::add(&tally.broker_queries_refused);
        }
        let properties = PublishProperties {
            correlation_data: properties.correlation_data,
            content_type: Some("application/json".into()),
            ..PublishProperties::default()
        };
        let qos = if question.qos == QoS::AtMostOnce { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let client = client.clone();
        self.answering.spawn(async move {
            let answer = (answer.0)(question.payload.into()).await;
            let options = PublishOptions::new(qos).properties(properties);
            if let Err(error) = client.publish(topic, answer, options).await {
                debug!(%error, "an answer could not be sent");
            }
        });
    }
}

/// Whether an answer may go to `topic`. Not where agents speak to each other: nobody is to put words in our mouth there.
fn answerable(topic: &str) -> bool {
    let plain = !topic.is_empty() && topic.len() <= 256 && !topic.contains(['+', '#', '\0']);
    plain && !topic.starts_with('$') && Topic::parse(topic).is_err()
}

/// Tells changes on the event topic.
pub(super) struct Herald {
    topic: Box<str>,
    tell: Option<Telling>,
}

impl Herald {
    pub(super) fn new(agent: &AgentId, tell: Option<Telling>) -> Self {
        Self { topic: Topic::Event(agent.clone()).to_string().into(), tell }
    }

    /// The news, if it is to be told.
    pub(super) fn event(&self, change: &Change) -> Option<Publication> {
        let Telling(words) = self.tell?;
        let topic = self.topic.clone();
        Some(Publication { topic, payload: words(change), retain: false, assured: false, expiry: None })
    }
}

/// Questions answered at the same time.
const QUESTIONS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_question_makes_us_speak_where_agents_speak() {
        assert!(answerable("wayside/1/r/me"));
        assert!(answerable("replies/42"));
        for bad in ["", "wayside/1/p/gw-7", "wayside/1/q/gw-7", "wayside/1/v/gw-7/x", "a/+/b", "#", "$SYS/x"] {
            assert!(!answerable(bad), "{bad}");
        }
    }
}
