extern crate std;
use super::*;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

fn members(text: &str) -> Result<Vec<(String, Value<'_>)>, JsonError> {
    let mut found = Vec::new();
    object(text.as_bytes(), |name, value| {
        found.push((name.to_string(), value));
        Ok::<_, JsonError>(())
    })?;
    Ok(found)
}

#[test]
fn reads_what_others_write() {
    // MicroPython's ujson, json.dumps with an indent, and a compact one.
    for text in [
        r#"{"exp": 1573943113, "aud": "stoked-axle-258910", "iat": 1573899913}"#,
        "{\n\t\"exp\" : 1573943113 ,\r\n \"aud\": \"stoked-axle-258910\",\"iat\":1573899913 }\n",
        r#"{"exp":1573943113,"aud":"stoked-axle-258910","iat":1573899913}"#,
    ] {
        let expected = vec![
            ("exp".to_string(), Value::Number("1573943113")),
            ("aud".to_string(), Value::Text("stoked-axle-258910")),
            ("iat".to_string(), Value::Number("1573899913")),
        ];
        assert_eq!(members(text), Ok(expected), "{text}");
    }
    let other = r#"{"a":true,"b":null,"c":[false,{"d":[-1.5e+3]}],"e":{},"f":[],"g":"\u00e9\"\\\n"}"#;
    let values: Vec<_> = members(other).unwrap().into_iter().map(|(_, value)| value).collect();
    let text = Value::Text(r#"\u00e9\"\\\n"#);
    assert_eq!(values, [Value::Other, Value::Other, Value::Other, Value::Other, Value::Other, text]);
    assert_eq!(members(" {} "), Ok(vec![]));
}

#[test]
fn only_outermost_members_are_shown() {
    let names = members(r#"{"a":{"aud":"x"},"b":[{"aud":"y"}]}"#).unwrap();
    assert_eq!(names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn what_makes_two_readers_disagree_is_refused() {
    let cases = [
        (r#"{"aud":"a","aud":"b"}"#, JsonError::DuplicateName { at: 11 }),
        (r#"{"x":1, "x":1}"#, JsonError::DuplicateName { at: 8 }),
        (r#"{"":1,"":1}"#, JsonError::DuplicateName { at: 6 }),
        (r#"{"a":{"x":1,"x":2}}"#, JsonError::DuplicateName { at: 12 }),
        (r#"{"a":[{"x":1,"x":2}]}"#, JsonError::DuplicateName { at: 13 }),
        (r#"{"\u0061ud":"b"}"#, JsonError::EscapedName { at: 1 }),
        (r#"{"a":[[[[]]]]}"#, JsonError::TooDeep { at: 8 }),
        (r#"{"a":{"a":{"a":{"a":{}}}}}"#, JsonError::TooDeep { at: 20 }),
        ("\u{feff}{}", JsonError::Unexpected { at: 0 }),
        ("{}{}", JsonError::Trailing { at: 2 }),
        ("{} x", JsonError::Trailing { at: 3 }),
        ("{}\0", JsonError::Trailing { at: 2 }),
        ("", JsonError::Truncated { at: 0 }),
        ("{", JsonError::Truncated { at: 1 }),
        ("[]", JsonError::Unexpected { at: 0 }),
        ("null", JsonError::Unexpected { at: 0 }),
        (r#"{"a":1,}"#, JsonError::Unexpected { at: 7 }),
        (r#"{,"a":1}"#, JsonError::Unexpected { at: 1 }),
        (r#"{"a":1 "b":2}"#, JsonError::Unexpected { at: 7 }),
        (r#"{"a" 1}"#, JsonError::Unexpected { at: 5 }),
        (r"{'a':1}", JsonError::Unexpected { at: 1 }),
        (r"{a:1}", JsonError::Unexpected { at: 1 }),
        (r#"{"a":[1,]}"#, JsonError::Unexpected { at: 8 }),
        (r#"{"a":tru}"#, JsonError::Unexpected { at: 8 }),
        (r#"{"a":NaN}"#, JsonError::Unexpected { at: 5 }),
        (r#"{"a":/**/1}"#, JsonError::Unexpected { at: 5 }),
        ("{\"a\":\u{a0}1}", JsonError::Unexpected { at: 5 }),
        (r#"{"a":01}"#, JsonError::Number { at: 5 }),
        (r#"{"a":-}"#, JsonError::Number { at: 5 }),
        (r#"{"a":1.}"#, JsonError::Number { at: 5 }),
        (r#"{"a":1e}"#, JsonError::Number { at: 5 }),
        (r#"{"a":1e+}"#, JsonError::Number { at: 5 }),
        (r#"{"a":+1}"#, JsonError::Unexpected { at: 5 }),
        (r#"{"a":.5}"#, JsonError::Unexpected { at: 5 }),
        (r#"{"a":0x10}"#, JsonError::Unexpected { at: 6 }),
        (r#"{"a":"\x41"}"#, JsonError::Escape { at: 6 }),
        (r#"{"a":"\u00g0"}"#, JsonError::Escape { at: 6 }),
        (r#"{"a":"\u00"#, JsonError::Escape { at: 6 }),
        ("{\"a\":\"\n\"}", JsonError::ControlCharacter { at: 6 }),
        ("{\"a\":\"\0\"}", JsonError::ControlCharacter { at: 6 }),
        (r#"{"a":"b"#, JsonError::Truncated { at: 7 }),
    ];
    for (text, refusal) in cases {
        assert_eq!(members(text), Err(refusal), "{text}");
    }
    let nothing = |_: &str, _: Value<'_>| Ok::<_, JsonError>(());
    assert_eq!(object(b"{\"a\":\"\xff\"}", nothing), Err(JsonError::NotUtf8 { at: 6 }));
}

#[test]
fn members_are_bounded() {
    let object = |count: usize| {
        let members: Vec<_> = (0..count).map(|index| format!("\"{index}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(members(&object(MAX_MEMBERS)).map(|found| found.len()), Ok(MAX_MEMBERS));
    let at = object(MAX_MEMBERS).len();
    assert_eq!(members(&object(MAX_MEMBERS + 1)), Err(JsonError::TooManyMembers { at }));
}

#[test]
fn only_whole_numbers_are_numbers_of_seconds() {
    let number = |text| Value::Number(text).whole_number();
    assert_eq!((number("0"), number("18446744073709551615")), (Some(0), Some(u64::MAX)));
    for text in ["-1", "-0", "1.0", "1e3", "18446744073709551616"] {
        assert_eq!(number(text), None, "{text}");
    }
    assert_eq!(Value::Text("1").whole_number(), None);
    assert_eq!(Value::Text("a\\u0062").plain_text(), None);
}
