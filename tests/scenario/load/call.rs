//! gRPC as its frames have it.

use std::rc::Rc;

use bytes::Bytes;
use h2::{RecvStream, SendStream};

use super::{Counts, Steps, count, next};
use crate::support::{
    h2::{H2, read, request_with},
    wire::patiently,
};

/// A call of gRPC that is open for as long as the test runs: at each step a message is sent, and comes back.
pub struct Call {
    messages: SendStream<Bytes>,
    answers: RecvStream,
}

impl Call {
    pub async fn begin(client: &mut H2) -> Self {
        let fields = [("content-type", "application/grpc"), ("te", "trailers")];
        let (answer, messages) = client.begin(request_with("POST", "/test.Scenario/Echo", &fields), false).await;
        let answer = patiently("the head of a call", answer).await.expect("a head");
        assert_eq!((answer.status().as_u16(), answer.headers().get("grpc-status")), (200, None), "{answer:?}");
        Self { messages, answers: answer.into_body() }
    }

    async fn say(&mut self, step: usize) {
        let message = [&[0, 0, 0, 0, 8], &step.to_be_bytes()[..]].concat();
        self.messages.send_data(message.clone().into(), false).expect("the call is open");
        let mut came = Vec::new();
        while came.len() < message.len() {
            let part = patiently("an answer", self.answers.data()).await.expect("the call is open");
            let part = part.expect("the call is open");
            self.answers.flow_control().release_capacity(part.len()).expect("the call is open");
            came.extend_from_slice(&part);
        }
        assert_eq!(came, message);
    }

    /// Says that this was all, and hears the same.
    async fn end(mut self) {
        self.messages.send_data(Bytes::new(), true).expect("the call is open");
        let (rest, trailers) = read(self.answers).await.expect("an end in order");
        assert!(rest.is_empty(), "{rest:?}");
        assert_eq!(trailers.expect("trailers")["grpc-status"], "0");
    }
}

pub async fn converse(mut call: Call, mut steps: Steps, counts: Rc<Counts>) {
    while let Some(step) = next(&mut steps).await {
        call.say(step).await;
        count(&counts.messages);
    }
    call.end().await;
}
