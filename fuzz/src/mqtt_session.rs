//! What MQTT clients send to the bridge, and what they call themselves and their topics.

use cotter_server::mqtt::session::{Farewell, Granted, Heard, Session};
use cotter_server::mqtt::{ClientId, Filter, Publication};

/// However a client's bytes are cut, the same is heard; what is said is bounded by what came; after the end there is
/// silence. The first byte says how they are cut; the input is also tried as a client id and as topics.
pub fn mqtt_session(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let (whole, pieces) = (stream.len().max(1), usize::from(cut).max(1));
    assert_eq!(conversation(stream, whole, false), conversation(stream, pieces, false), "heard otherwise in pieces");
    // What is answered in between changes what may come next, so what is heard then depends on the pieces.
    conversation(stream, whole, true);
    conversation(stream, pieces, true);
    if let Ok(text) = str::from_utf8(data) {
        names(text);
    }
}

/// What was heard.
fn conversation(stream: &[u8], cut: usize, answers: bool) -> Vec<String> {
    let mut session = Session::new(MOST_PAYLOAD);
    let (mut heard, mut said) = (Vec::new(), Vec::new());
    for piece in stream.chunks(cut) {
        let was_over = session.is_over();
        let mut inbox: std::collections::VecDeque<_> = session.hear(piece).into();
        assert!(!was_over || inbox.is_empty(), "heard after the end");
        while let Some(next) = inbox.pop_front() {
            heard.push(format!("{next:?}"));
            match next {
                Heard::Greeting(_) => inbox.extend(session.accept(1200)),
                Heard::Message(message) => {
                    assert!(message.payload().len() <= stream.len());
                    names(&message.topic);
                    if let Some(number) = message.number.filter(|_| answers) {
                        session.acknowledge(number);
                    }
                    if answers {
                        let _ = session.publish("/devices/d/config", message.payload(), true, false);
                    }
                }
                Heard::Subscribe(number, wishes) => {
                    wishes.iter().for_each(|wish| names(&wish.filter));
                    session.subscribed(number, &vec![Granted::Refused; wishes.len()]);
                }
                Heard::Unsubscribe(number, filters) => session.unsubscribed(number, &vec![false; filters.len()]),
                Heard::Acknowledged(_) | Heard::Goodbye | Heard::Fault(_) => {}
            }
        }
        said.extend(session.said());
    }
    session.end(Farewell::ShuttingDown);
    assert!(session.hear(stream).is_empty(), "heard after the end");
    said.extend(session.said());
    // A message comes back at most once, with its own topic; every other answer is shorter than twice its question.
    assert!(said.len() <= 24 * stream.len() + 64, "{} bytes for {}", said.len(), stream.len());
    heard
}

fn names(text: &str) {
    if let Ok(id) = ClientId::parse(text) {
        let ClientId { project, location, registry, device } = id;
        let again = format!("projects/{project}/locations/{location}/registries/{registry}/devices/{device}");
        assert_eq!(again, text, "a client id has two spellings");
    }
    let prefix = |device| text.starts_with(&format!("/devices/{device}/"));
    assert!(Publication::parse(text).is_none_or(|found| prefix(found.device)));
    assert!(Filter::parse(text).is_none_or(|found| prefix(found.device)));
}

const MOST_PAYLOAD: u32 = 4096;
