//! JSON text, one object at a time: valid whatever goes in, and never NaN.

use std::fmt::Write;

/// A JSON object under construction.
#[derive(Debug, Clone, Default)]
pub struct Object {
    members: String,
}

impl Object {
    /// An object without members.
    pub fn new() -> Self {
        Self::default()
    }

    fn key(&mut self, key: &str) {
        if !self.members.is_empty() {
            self.members.push(',');
        }
        push_string(&mut self.members, key);
        self.members.push(':');
    }

    /// A member whose value is JSON text already.
    #[must_use]
    pub fn raw(mut self, key: &str, json: &str) -> Self {
        self.key(key);
        self.members.push_str(json);
        self
    }

    /// A text, or `null`.
    #[must_use]
    pub fn text<'text>(mut self, key: &str, value: impl Into<Option<&'text str>>) -> Self {
        self.key(key);
        match value.into() {
            Some(value) => push_string(&mut self.members, value),
            None => self.members.push_str("null"),
        }
        self
    }

    /// A whole number, or `null`.
    #[must_use]
    pub fn whole(mut self, key: &str, value: impl Into<Option<u64>>) -> Self {
        self.key(key);
        match value.into() {
            Some(value) => put!(self.members, "{value}"),
            None => self.members.push_str("null"),
        }
        self
    }

    /// A number with up to `decimals` decimals; `null` for none, or for a
    /// value that JSON cannot hold.
    #[must_use]
    pub fn number(mut self, key: &str, value: impl Into<Option<f64>>, decimals: usize) -> Self {
        self.key(key);
        match value.into().filter(|value| value.is_finite()) {
            Some(value) => put!(self.members, "{value:.decimals$}"),
            None => self.members.push_str("null"),
        }
        self
    }

    /// Whether something is so, or `null`.
    #[must_use]
    pub fn boolean(self, key: &str, value: impl Into<Option<bool>>) -> Self {
        self.raw(key, value.into().map_or("null", |value| if value { "true" } else { "false" }))
    }

    /// An object within, or `null`.
    #[must_use]
    pub fn object(mut self, key: &str, value: impl Into<Option<Self>>) -> Self {
        self.key(key);
        match value.into() {
            Some(value) => value.add_to(&mut self.members),
            None => self.members.push_str("null"),
        }
        self
    }

    /// A list of objects within.
    #[must_use]
    pub fn array(mut self, key: &str, values: impl Iterator<Item = Self>) -> Self {
        self.key(key);
        self.members.push('[');
        for (place, value) in values.enumerate() {
            if place > 0 {
                self.members.push(',');
            }
            value.add_to(&mut self.members);
        }
        self.members.push(']');
        self
    }

    /// A list of texts.
    #[must_use]
    pub fn texts<'text>(self, key: &str, values: impl IntoIterator<Item = &'text str>) -> Self {
        let mut text = String::new();
        for value in values {
            text.push_str(if text.is_empty() { "" } else { "," });
            push_string(&mut text, value);
        }
        self.raw(key, &format!("[{text}]"))
    }

    /// A list of whole numbers.
    #[must_use]
    pub fn wholes(self, key: &str, values: impl IntoIterator<Item = u64>) -> Self {
        let texts: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        self.raw(key, &format!("[{}]", texts.join(",")))
    }

    fn add_to(&self, text: &mut String) {
        text.push('{');
        text.push_str(&self.members);
        text.push('}');
    }

    /// The whole text.
    pub fn finish(self) -> String {
        let mut text = String::with_capacity(self.members.len() + 2);
        self.add_to(&mut text);
        text
    }
}

fn push_string(text: &mut String, value: &str) {
    text.push('"');
    // Most have nothing to be escaped.
    if !value.bytes().any(|byte| matches!(byte, b'"' | b'\\') || byte < b' ') {
        text.push_str(value);
        text.push('"');
        return;
    }
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            control if control < ' ' => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_cannot_hold_is_null_or_escaped() {
        let object = Object::new()
            .text("a\"b", "line\nend\\")
            .text("none", None)
            .number("nan", f64::NAN, 3)
            .number("n", 1.23456, 3)
            .whole("w", u64::MAX)
            .object("o", Object::new());
        let expected = concat!(
            r#"{"a\"b":"line\u000aend\\","none":null,"nan":null,"n":1.235,"#,
            r#""w":18446744073709551615,"o":{}}"#
        );
        assert_eq!(object.finish(), expected);
    }
}
