//! The bridge: who is let in, what may be said where, and what survives.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod product;

use base64ct::{Base64, Encoding};
use mqtt_protocol_core::mqtt::packet::Qos;
use mqtt_protocol_core::mqtt::result_code::{DisconnectReasonCode, PubackReasonCode};
use product::device::Device;
use product::mqtt::{CONFIG, Login, Mqtt, PROJECT, Signer, Told, client_id};
use product::{Product, Running};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};

const QOS_0: Qos = Qos::AtMostOnce;
const QOS_1: Qos = Qos::AtLeastOnce;
const QOS_2: Qos = Qos::ExactlyOnce;

async fn ask(product: &Product, server: &Running, method: &str, path: &str, body: Value) -> (u16, Value) {
    let path = format!("/admin/v1/devices/{path}");
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let answer = product.admin(server.address, method, &path, body).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

fn base64(bytes: &[u8]) -> String {
    Base64::encode_string(bytes)
}

/// Folder and payload of each message that is kept of a device.
async fn events(product: &Product, server: &Running, device: &str) -> Vec<(String, Vec<u8>)> {
    let (status, document) = ask(product, server, "GET", &format!("{device}/bridge/events"), Value::Null).await;
    assert_eq!(status, 200);
    let event = |event: &Value| {
        let payload = Base64::decode_vec(event["payload"].as_str().unwrap()).unwrap();
        (event["folder"].as_str().unwrap().to_owned(), payload)
    };
    document["events"].as_array().unwrap().iter().map(event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_token_opens_a_connection_and_every_other_one_is_refused_alike() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let (_, signer) = Signer::enrolled(&product, server.address, "one").await;
    let (_, other) = Signer::enrolled(&product, server.address, "two").await;
    Device::enrolled(&product, server.address, "keyless").await;
    let address = server.mqtt.unwrap();
    let connect = async |login: Login<'_>| Mqtt::connect(address, &product.ca, login).await.map(drop);

    let good = signer.good();
    assert_eq!(connect(Login::of("one", &good)).await, Ok(()));
    assert_eq!(connect(Login::of("one", &good).v5()).await, Ok(()));
    let day = signer.token(PROJECT, -3600, 23 * 3600);
    assert_eq!(connect(Login::of("one", &day)).await, Ok(()));

    let issued = product::mqtt::now();
    let long = format!(r#"{{"aud":"{PROJECT}","exp":{},"iat":{issued}}}"#, issued + 25 * 3600);
    let mut bad = vec![
        ("too long", signer.signed(r#"{"alg":"ES256","typ":"JWT"}"#, &long)),
        ("without an algorithm", signer.signed(r#"{"alg":"none","typ":"JWT"}"#, &long)),
        ("of another device", other.good()),
        ("for another project", signer.token("other", 0, 3600)),
        ("expired", signer.token(PROJECT, -7200, -3600)),
        ("from the future", signer.token(PROJECT, 3600, 7200)),
        ("empty", String::new()),
        ("nonsense", "nonsense".to_owned()),
        ("cut", good[..good.len() - 1].to_owned()),
    ];
    let (input, signature) = good.rsplit_once('.').unwrap();
    bad.push(("unsigned", format!("{input}.")));
    bad.push(("padded", format!("{good}=")));
    let flipped = if signature.starts_with('A') { 'B' } else { 'A' };
    bad.push(("with another signature", format!("{input}.{flipped}{}", &signature[1..])));
    for (what, token) in &bad {
        assert_eq!(connect(Login::of("one", token)).await, Err(5), "{what}");
        assert_eq!(connect(Login::of("one", token).v5()).await, Err(0x87), "{what}");
    }
    for device in ["keyless", "nobody"] {
        assert_eq!(connect(Login::of(device, &good)).await, Err(5), "{device}");
    }
    assert_eq!(connect(Login { password: None, ..Login::of("one", "") }).await, Err(5));

    // What it calls itself.
    for (wrong, code) in [("one", 2), ("", 2), ("projects/my-project/devices/one", 2), (&client_id("One"), 2)] {
        assert_eq!(connect(Login { client_id: wrong.into(), ..Login::of("one", &good) }).await, Err(code), "{wrong}");
        let v5 = Login { client_id: wrong.into(), ..Login::of("one", &good).v5() };
        assert_eq!(connect(v5).await, Err(0x85), "{wrong}");
    }
    let elsewhere = client_id("one").replace("registries/all", "registries/other");
    assert_eq!(connect(Login { client_id: elsewhere, ..Login::of("one", &good) }).await, Err(5));
    assert_eq!(connect(Login { has_will: true, ..Login::of("one", &good) }).await, Err(5), "a last will");

    // A key that is taken away ends what it has opened.
    let mut open = Mqtt::of(&product, &server, "one", &signer).await;
    let (_, keys) = ask(&product, &server, "GET", "one/keys", Value::Null).await;
    let key = format!("one/keys/{}", keys["keys"][0]["key"].as_str().unwrap());
    assert_eq!(ask(&product, &server, "DELETE", &key, Value::Null).await.0, 204);
    assert_eq!(open.told().await, Told::Closed);
    assert_eq!(connect(Login::of("one", &good)).await, Err(5));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_stored_before_they_are_acknowledged_and_in_their_order() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let (_, signer) = Signer::enrolled(&product, server.address, "one").await;
    let mut client = Mqtt::of(&product, &server, "one", &signer).await;
    let mut numbers = Vec::new();
    for count in 0..100_u32 {
        let number = client.publish("/devices/one/events/temperature", &count.to_be_bytes(), QOS_1).await;
        numbers.push(number.unwrap());
    }
    for number in numbers {
        assert_eq!(client.told().await, Told::Puback(number));
    }
    client.publish("/devices/one/events", b"{\"temp\":128}", QOS_0).await;
    let number = client.publish("/devices/one/state", b"on", QOS_1).await.unwrap();
    assert_eq!(client.told().await, Told::Puback(number));

    let found = events(&product, &server, "one").await;
    let wanted: Vec<_> = (0..100_u32).map(|count| ("temperature".to_owned(), count.to_be_bytes().to_vec())).collect();
    assert_eq!(found, wanted);
    let (status, rest) = ask(&product, &server, "GET", "one/bridge/events?after=100", Value::Null).await;
    assert_eq!((status, &rest["events"][0]["payload"]), (200, &base64(b"{\"temp\":128}").into()));
    let (_, shown) = ask(&product, &server, "GET", "one/bridge", Value::Null).await;
    assert_eq!((&shown["connected"], &shown["states"][0]["payload"]), (&true.into(), &base64(b"on").into()));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_take_the_same_way_as_over_https() {
    let product = Product::with(&CONFIG.replace("plain_events = true", ""));
    let server = product.serve().await;
    let (device, signer) = Signer::enrolled(&product, server.address, "one").await;
    let (stranger, _) = Signer::enrolled(&product, server.address, "two").await;
    let topic = "/devices/one/events/telemetry-v1";
    let mut client = Mqtt::of(&product, &server, "one", &signer).await;
    for nonce in 1..=3 {
        let number = client.publish(topic, &device.packet(nonce), QOS_1).await.unwrap();
        assert_eq!(client.told().await, Told::Puback(number));
    }
    // Exactly the last one again: its acknowledgement may have been lost.
    let last = device.packet(4);
    for _ in 0..2 {
        let number = client.publish(topic, &last, QOS_1).await.unwrap();
        assert_eq!(client.told().await, Told::Puback(number));
    }
    // Over HTTPS it is the same line of nonces.
    let mut https = product.connect(server.address).await;
    assert_eq!(device.upload(&mut https, device.packet(4)).await.status, 409);
    assert_eq!(device.upload(&mut https, device.packet(5)).await.status, 200);
    assert_eq!(product.stored_nonces(server.address, "one").await, [5, 4, 3, 2, 1]);

    // A replay, a packet of another device, and what is no packet are not acknowledged: MQTT 5 has a word for that.
    let mut v5 = Mqtt::connect(server.mqtt.unwrap(), &product.ca, Login::of("one", &signer.good()).v5()).await.unwrap();
    assert_eq!(client.told().await, Told::Closed, "the newer connection has won");
    for (what, payload) in
        [("replay", device.packet(2)), ("stranger", stranger.packet(9)), ("nonsense", b"{}".to_vec())]
    {
        let number = v5.publish(topic, &payload, QOS_1).await.unwrap();
        assert_eq!(v5.told().await, Told::Refused(number, PubackReasonCode::PayloadFormatInvalid), "{what}");
    }
    let mut client = Mqtt::of(&product, &server, "one", &signer).await;
    client.publish(topic, &device.packet(2), QOS_1).await;
    assert_eq!(client.told().await, Told::Closed);
    assert_eq!(product.stored_nonces(server.address, "one").await, [5, 4, 3, 2, 1]);

    // Without plain_events nothing else is telemetry.
    let mut v5 = Mqtt::connect(server.mqtt.unwrap(), &product.ca, Login::of("one", &signer.good()).v5()).await.unwrap();
    v5.publish("/devices/one/events", b"{}", QOS_1).await;
    assert_eq!(v5.told().await, Told::Disconnect(DisconnectReasonCode::PayloadFormatInvalid));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_has_its_own_topics_and_no_others() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let (_, signer) = Signer::enrolled(&product, server.address, "one").await;
    Signer::enrolled(&product, server.address, "two").await;
    let token = signer.good();
    let connect = async |is_v5: bool| {
        let login = Login::of("one", &token);
        Mqtt::connect(server.mqtt.unwrap(), &product.ca, if is_v5 { login.v5() } else { login }).await.unwrap()
    };
    for topic in [
        "/devices/two/events",
        "/devices/two/state",
        "/devices/one/config",
        "/devices/one/commands",
        "events",
        "$SYS/x",
        "/devices/two/attach",
    ] {
        for is_v5 in [false, true] {
            let mut client = connect(is_v5).await;
            client.publish(topic, b"x", QOS_1).await;
            let told = client.told().await;
            let wanted = if is_v5 { Told::Disconnect(DisconnectReasonCode::NotAuthorized) } else { Told::Closed };
            assert_eq!(told, wanted, "{topic}");
        }
    }
    let mut client = connect(true).await;
    client.publish("/devices/one/events", b"x", QOS_2).await;
    assert_eq!(client.told().await, Told::Disconnect(DisconnectReasonCode::QosNotSupported));
    let mut client = connect(false).await;
    client.publish("/devices/one/events", b"x", QOS_2).await;
    assert_eq!(client.told().await, Told::Closed);
    let mut client = connect(true).await;
    client.publish_as("/devices/one/events", b"x", QOS_1, true).await;
    assert_eq!(client.told().await, Told::Disconnect(DisconnectReasonCode::RetainNotSupported));
    assert_eq!(events(&product, &server, "one").await, []);

    let filters = [
        ("/devices/one/config", QOS_2),
        ("/devices/one/commands/#", QOS_0),
        ("/devices/two/config", QOS_1),
        ("#", QOS_1),
        ("/devices/+/config", QOS_1),
        ("/devices/one/events", QOS_1),
        ("$share/all//devices/one/config", QOS_1),
    ];
    let mut client = connect(false).await;
    assert_eq!(client.subscribe(&filters).await, [1, 0, 0x80, 0x80, 0x80, 0x80, 0x80]);
    let mut client = connect(true).await;
    assert_eq!(client.subscribe(&filters).await, [1, 0, 0x87, 0x87, 0x87, 0x87, 0x9e]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_comes_at_once_and_when_it_changes_and_is_acknowledged() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let (_, signer) = Signer::enrolled(&product, server.address, "one").await;
    let set = async |payload: &[u8]| {
        ask(&product, &server, "POST", "one/bridge/config", json!({ "payload": base64(payload) })).await
    };
    let message = |payload: &[u8], is_retained, number| Told::Message {
        topic: "/devices/one/config".into(),
        payload: payload.to_vec(),
        is_retained,
        number,
    };
    let mut client = Mqtt::of(&product, &server, "one", &signer).await;
    client.subscribe(&[("/devices/one/config", QOS_1)]).await;
    assert_eq!(client.told().await, message(b"", true, Some(1)), "who was never given one has an empty one");
    client.acknowledge(1).await;
    assert_eq!(set(b"first").await, (201, json!({ "version": 1 })));
    let told = client.told().await;
    assert!(
        matches!(&told, Told::Message { payload, is_retained: false, number: Some(_), .. } if payload == b"first"),
        "{told:?}"
    );
    let Told::Message { number: Some(number), .. } = told else { return };
    client.acknowledge(number).await;
    drop(client);
    assert_eq!(set(b"second").await, (201, json!({ "version": 2 })));

    let mut client = Mqtt::of(&product, &server, "one", &signer).await;
    assert!(client.is_silent().await, "not before it subscribes");
    client.subscribe(&[("/devices/one/config", QOS_0)]).await;
    assert_eq!(client.told().await, message(b"second", true, None));
    let (_, shown) = ask(&product, &server, "GET", "one/bridge", Value::Null).await;
    let configs = shown["configs"].as_array().unwrap();
    assert_eq!(configs.iter().map(|config| &config["version"]).collect::<Vec<_>>(), [2, 1]);
    assert!(configs[0]["acknowledged_at"].is_null() && configs[1]["acknowledged_at"].is_u64(), "{shown}");
    assert_eq!(ask(&product, &server, "POST", "one/bridge/config", json!({ "payload": "Zg" })).await.0, 422);
    assert_eq!(ask(&product, &server, "POST", "nobody/bridge/config", json!({ "payload": "" })).await.0, 404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_reaches_who_is_there_or_nobody() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let (_, signer) = Signer::enrolled(&product, server.address, "one").await;
    let send = async |wish: Value| {
        let (status, answer) = ask(&product, &server, "POST", "one/bridge/commands", wish).await;
        (status, answer["reason"].as_str().unwrap_or_default().to_owned())
    };
    let wish = json!({ "payload": base64(b"blink"), "folder": "led" });
    let refused = |reason: &str| (422, reason.to_owned());
    assert_eq!(send(wish.clone()).await, refused("bridge-not-there"));
    let mut client = Mqtt::of(&product, &server, "one", &signer).await;
    assert_eq!(send(wish.clone()).await, refused("bridge-not-subscribed"));
    client.subscribe(&[("/devices/one/commands/#", QOS_1)]).await;
    let device = async {
        let Told::Message { topic, payload, is_retained: false, number: Some(number) } = client.told().await else {
            return None;
        };
        client.acknowledge(number).await;
        Some((topic, payload))
    };
    let (told, sent) = tokio::join!(device, send(wish.clone()));
    assert_eq!(told, Some(("/devices/one/commands/led".to_owned(), b"blink".to_vec())));
    assert_eq!(sent, (204, String::new()));
    assert_eq!(send(json!({ "payload": "", "folder": "a/#" })).await, refused("bridge-folder"));
    // It goes before it has acknowledged.
    let leaves = async {
        let told = client.told().await;
        drop(client);
        told
    };
    let (told, sent) = tokio::join!(leaves, send(wish));
    assert!(matches!(told, Told::Message { .. }));
    assert_eq!(sent, refused("bridge-not-there"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_brings_devices_by_their_tokens_or_because_they_are_bound_to_it() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let (_, gateway) = Signer::enrolled(&product, server.address, "gate").await;
    let (_, one) = Signer::enrolled(&product, server.address, "one").await;
    Device::enrolled(&product, server.address, "two").await;
    let put = async |path: &str| ask(&product, &server, "PUT", path, Value::Null).await;

    let mut client = Mqtt::of(&product, &server, "gate", &gateway).await;
    client.publish("/devices/one/attach", b"", QOS_1).await;
    assert_eq!(client.told().await, Told::Closed, "it is no gateway yet");
    assert_eq!(put("gate/bridge/bound/two").await.1["reason"], "bridge-no-gateway");
    assert_eq!(put("gate/bridge/gateway").await.0, 204);
    assert_eq!(put("gate/bridge/bound/two").await.0, 204);
    assert_eq!(put("gate/bridge/bound/nobody").await.0, 404);

    let mut client = Mqtt::of(&product, &server, "gate", &gateway).await;
    assert_eq!(client.subscribe(&[("/devices/gate/errors", QOS_0), ("/devices/one/errors", QOS_0)]).await, [0, 0x80]);
    let attach = |token: &str| json!({ "authorization": token }).to_string().into_bytes();
    // Who is neither bound nor has a good token is not brought; the message has arrived all the same.
    for payload in [Vec::new(), attach(&gateway.good()), attach(""), b"nonsense".to_vec()] {
        let number = client.publish("/devices/one/attach", &payload, QOS_1).await.unwrap();
        let (first, second) = (client.told().await, client.told().await);
        let error = if first == Told::Puback(number) { second } else { first };
        let Told::Message { topic, payload, .. } = error else { unreachable!("{error:?}") };
        let error: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(topic, "/devices/gate/errors");
        assert_eq!((&error["error_type"], &error["device_id"]), (&"GATEWAY_ATTACHMENT_ERROR".into(), &"one".into()));
        assert_eq!(error["mqtt_message_info"]["packet_id"], number);
    }
    for (device, payload) in [("one", attach(&one.good())), ("two", Vec::new())] {
        let number = client.publish(&format!("/devices/{device}/attach"), &payload, QOS_1).await.unwrap();
        assert_eq!(client.told().await, Told::Puback(number), "{device}");
        let number = client.publish(&format!("/devices/{device}/events"), device.as_bytes(), QOS_1).await.unwrap();
        assert_eq!(client.told().await, Told::Puback(number), "{device}");
        assert_eq!(events(&product, &server, device).await, [(String::new(), device.as_bytes().to_vec())]);
    }
    assert_eq!(client.subscribe(&[("/devices/two/config", QOS_0)]).await, [0]);
    assert!(matches!(client.told().await, Told::Message { topic, .. } if topic == "/devices/two/config"));

    // A device that comes by itself is not brought any more.
    let mut direct = Mqtt::of(&product, &server, "one", &one).await;
    let number = direct.publish("/devices/one/events", b"direct", QOS_1).await.unwrap();
    assert_eq!(direct.told().await, Told::Puback(number));
    let number = client.publish("/devices/two/detach", b"", QOS_1).await.unwrap();
    assert_eq!(client.told().await, Told::Puback(number));
    client.publish("/devices/one/events", b"by the gateway", QOS_1).await;
    assert_eq!(client.told().await, Told::Closed);
    let mut client = Mqtt::of(&product, &server, "gate", &gateway).await;
    client.publish("/devices/two/events", b"after detach", QOS_1).await;
    assert_eq!(client.told().await, Told::Closed);
    assert_eq!(events(&product, &server, "one").await.len(), 2);
    assert_eq!(events(&product, &server, "two").await.len(), 1);

    // And no gateway, no devices.
    let mut client = Mqtt::of(&product, &server, "gate", &gateway).await;
    assert_eq!(ask(&product, &server, "DELETE", "gate/bridge/gateway", Value::Null).await.0, 204);
    assert_eq!(client.told().await, Told::Closed);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_the_other_way_in() {
    let product = Product::with(&format!("{CONFIG}client = \"optional\"\n"));
    let text = std::fs::read_to_string(&product.config).unwrap();
    let text = text.replace("[tls]\n", "[tls]\nclient = \"optional\"\nclient_ca = \"ca.pem\"\ndenied = [\"three\"]\n");
    std::fs::write(&product.config, text).unwrap();
    let server = product.serve().await;
    let (_, signer) = Signer::enrolled(&product, server.address, "one").await;
    let (_, other) = Signer::enrolled(&product, server.address, "two").await;
    let connect = async |client_id: &str, name: &str, password: Option<&str>| {
        let shown = Some(product.authority.client(name));
        let login = Login { client_id: client_id.into(), password, shown, ..Login::of("one", "") };
        Mqtt::connect(server.mqtt.unwrap(), &product.ca, login).await
    };
    let (own, token, others) = (client_id("one"), signer.good(), other.good());
    let mut client = connect(&own, "one", None).await.unwrap();
    let number = client.publish("/devices/one/events", b"x", QOS_1).await.unwrap();
    assert_eq!(client.told().await, Told::Puback(number));
    let code = async |client_id: &str, name: &str, password| connect(client_id, name, password).await.map(drop);
    assert_eq!(code("one", "one", None).await, Ok(()), "the certificate says the rest");
    assert_eq!(code(&own, "one", Some(&token)).await, Ok(()), "with a token as well");
    assert_eq!(code(&own, "one", Some("nonsense")).await, Err(5), "a token that is shown has to hold");
    assert_eq!(code(&own, "two", None).await, Err(5));
    assert_eq!(code(&own, "two", Some(&token)).await, Err(5), "the certificate names another device");
    assert_eq!(code("two", "one", Some(&others)).await, Err(2));
    assert_eq!(code(&client_id("nobody"), "nobody", None).await, Err(5), "not enrolled");
    // And without a certificate, the token is all.
    assert!(Mqtt::connect(server.mqtt.unwrap(), &product.ca, Login::of("one", &signer.good())).await.is_ok());
    assert_eq!(Mqtt::connect(server.mqtt.unwrap(), &product.ca, Login::of("one", "")).await.map(drop), Err(5));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_bound_what_one_connection_sends() {
    let quotas = "messages_per_connection = { burst = 5, per_second = 1 }\n\
                  bytes_per_connection = { burst = 300000, per_second = 1 }\n\
                  states_per_connection = { burst = 1, per_second = 1 }\nconnections_per_address = 2\n";
    let product = Product::with(&format!("{CONFIG}{quotas}"));
    let server = product.serve().await;
    let (_, signer) = Signer::enrolled(&product, server.address, "one").await;
    let token = signer.good();
    let connect =
        async || Mqtt::connect(server.mqtt.unwrap(), &product.ca, Login::of("one", &token).v5()).await.unwrap();
    let end = async |mut client: Mqtt| loop {
        match client.told().await {
            Told::Puback(_) => {}
            other => return other,
        }
    };
    let mut client = connect().await;
    for _ in 0..20 {
        client.publish("/devices/one/events", b"x", QOS_1).await;
    }
    assert_eq!(end(client).await, Told::Disconnect(DisconnectReasonCode::MessageRateTooHigh));
    assert_eq!(events(&product, &server, "one").await.len(), 5);
    let mut client = connect().await;
    client.publish("/devices/one/events", &[0; 200_000], QOS_0).await;
    client.publish("/devices/one/events", &[0; 200_000], QOS_0).await;
    assert_eq!(end(client).await, Told::Disconnect(DisconnectReasonCode::MessageRateTooHigh));
    let mut client = connect().await;
    client.publish("/devices/one/state", b"1", QOS_1).await;
    client.publish("/devices/one/state", b"2", QOS_1).await;
    assert_eq!(end(client).await, Told::Disconnect(DisconnectReasonCode::MessageRateTooHigh));
    let mut client = connect().await;
    client.publish("/devices/one/state", &[0; 64 * 1024 + 1], QOS_1).await;
    assert_eq!(end(client).await, Told::Disconnect(DisconnectReasonCode::PacketTooLarge));
    let mut client = connect().await;
    // A client of ours does not even send more than it was told: a PUBLISH that says to have 320 KiB.
    client.raw(&[0x32, 0x80, 0x80, 0x14]).await;
    assert_eq!(end(client).await, Told::Disconnect(DisconnectReasonCode::PacketTooLarge));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_with_its_token_and_when_it_is_silent() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let (_, signer) = Signer::enrolled(&product, server.address, "one").await;
    // It has expired, but for two seconds of the skew.
    let token = signer.token(PROJECT, -3600, -597);
    let login = Login::of("one", &token).v5();
    let mut client = Mqtt::connect(server.mqtt.unwrap(), &product.ca, login).await.unwrap();
    let number = client.publish("/devices/one/events", b"x", QOS_1).await.unwrap();
    assert_eq!(client.told().await, Told::Puback(number));
    assert_eq!(client.told().await, Told::Disconnect(DisconnectReasonCode::MaximumConnectTime));
    let again = Login::of("one", &token);
    assert_eq!(Mqtt::connect(server.mqtt.unwrap(), &product.ca, again).await.map(drop), Err(5));
    let good = signer.good();
    let login = Login { keep_alive: 1, ..Login::of("one", &good).v5() };
    let mut client = Mqtt::connect(server.mqtt.unwrap(), &product.ca, login).await.unwrap();
    assert_eq!(client.told().await, Told::Disconnect(DisconnectReasonCode::KeepAliveTimeout));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_nothing_is_cut_off() {
    let product = Product::with(&format!("{CONFIG}\n[limits]\nstall_seconds = 1\n"));
    let server = product.serve().await;
    let (_, signer) = Signer::enrolled(&product, server.address, "one").await;
    let mut client = Mqtt::of(&product, &server, "one", &signer).await;
    assert_eq!(client.subscribe(&[("/devices/one/commands/#", QOS_0)]).await, [0]);
    // From here on the client reads nothing: what the system's buffers hold is sent, and no more.
    let wish = json!({ "payload": base64(&[0; 60_000]) });
    let mut sent = 0;
    let reason = loop {
        let (status, answer) = ask(&product, &server, "POST", "one/bridge/commands", wish.clone()).await;
        if status != 204 {
            break answer["reason"].clone();
        }
        sent += 1;
        assert!(sent < 10_000, "the server holds 600 MB for it");
    };
    assert!(["bridge-not-there", "bridge-not-acknowledged"].contains(&reason.as_str().unwrap()), "{reason}");
    let mut connected = true;
    for _ in 0..100 {
        let (_, shown) = ask(&product, &server, "GET", "one/bridge", Value::Null).await;
        connected = shown["connected"] == true;
        if !connected {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(!connected);
    drop(client);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_minus_nine_loses_no_acknowledged_message() {
    let quotas = "messages_per_connection = { burst = 1000000, per_second = 1000000 }\n";
    let product = Product::with(&format!("{CONFIG}{quotas}"));
    let mut signer = None;
    let mut acknowledged: Vec<u32> = Vec::new();
    let mut next = 0_u32;
    for run in 0..10 {
        let server = product.spawn();
        if signer.is_none() {
            signer = Some(Signer::enrolled(&product, server.address, "one").await.1);
        }
        let signer = signer.as_ref().unwrap();
        let mut client =
            Mqtt::connect(server.mqtt.unwrap(), &product.ca, Login::of("one", &signer.good())).await.unwrap();
        let mut server = Some(server);
        let mut waiting = HashMap::<_, VecDeque<u32>>::new();
        let mut under_way = 0;
        let until = acknowledged.len() + 50 + 37 * (run % 6);
        loop {
            while under_way < 20 {
                let number = client.publish("/devices/one/events", &next.to_be_bytes(), QOS_1).await.unwrap();
                // A number comes again once it is acknowledged, which we hear later.
                waiting.entry(number).or_default().push_back(next);
                (next, under_way) = (next + 1, under_way + 1);
            }
            match client.told().await {
                Told::Puback(number) => {
                    acknowledged.push(waiting.get_mut(&number).unwrap().pop_front().unwrap());
                    under_way -= 1;
                }
                _ => break,
            }
            if acknowledged.len() >= until
                && let Some(server) = server.take()
            {
                server.kill();
            }
        }
    }
    let server = product.serve().await;
    let mut stored = Vec::new();
    let mut after = 0;
    loop {
        let path = format!("one/bridge/events?after={after}");
        let (_, page) = ask(&product, &server, "GET", &path, Value::Null).await;
        let page = page["events"].as_array().unwrap().clone();
        let Some(last) = page.last() else { break };
        after = last["number"].as_u64().unwrap();
        for event in &page {
            let payload = Base64::decode_vec(event["payload"].as_str().unwrap()).unwrap();
            stored.push(u32::from_be_bytes(payload.try_into().unwrap()));
        }
    }
    assert!(stored.is_sorted(), "in their order");
    for number in &acknowledged {
        assert!(stored.binary_search(number).is_ok(), "{number} was acknowledged and is lost");
    }
    println!("10 kills, {} acknowledged messages, none lost, {} stored", acknowledged.len(), stored.len());
    assert!(acknowledged.len() >= 500);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_packets_end_a_connection_and_nothing_else() {
    let product = Product::with(CONFIG);
    let server = product.serve().await;
    let (_, signer) = Signer::enrolled(&product, server.address, "one").await;
    for bytes in [
        &[0x00, 0x00][..],
        &[0xf0, 0x00],
        &[0x30, 0xff, 0xff, 0xff, 0xff],
        &[0x32, 0x02, 0x00, 0x05],
        &[0x82, 0x00],
        &[0x20, 0x02, 0x00, 0x00],
        &[0x10, 0x00],
        &[0x40, 0x02, 0x00, 0x01],
        &[0x30, 0x04, 0x00, 0x02, 0xff, 0xfe],
    ] {
        let mut client = Mqtt::of(&product, &server, "one", &signer).await;
        client.raw(bytes).await;
        assert_eq!(client.told().await, Told::Closed, "{bytes:02x?}");
    }
    let mut client = Mqtt::of(&product, &server, "one", &signer).await;
    let number = client.publish("/devices/one/events", b"x", QOS_1).await.unwrap();
    assert_eq!(client.told().await, Told::Puback(number));
    server.stop().await;
}
