//! Checks JSON against a schema of docs/schemas. Supports the keywords that those use; any other keyword is a failure.

use serde_json::Value;

/// Panics with the place where `value` does not fit.
pub fn check(schema: &Value, value: &Value, place: &str) {
    let schema = schema.as_object().expect("a schema");
    for (keyword, rule) in schema {
        let fits = match keyword.as_str() {
            "$schema" | "title" | "description" => true,
            "type" => match rule {
                Value::Array(kinds) => kinds.iter().any(|kind| has_type(value, kind)),
                kind => has_type(value, kind),
            },
            "const" => value == rule,
            "enum" => rule.as_array().expect("values").contains(value),
            "minimum" => value.as_f64().is_none_or(|x| x >= rule.as_f64().expect("a number")),
            "maximum" => value.as_f64().is_none_or(|x| x <= rule.as_f64().expect("a number")),
            "maxItems" => value.as_array().is_none_or(|x| x.len() as u64 <= rule.as_u64().expect("a number")),
            "pattern" => value.as_str().is_none_or(|text| matches(rule.as_str().expect("a pattern"), text)),
            "required" => {
                let names = rule.as_array().expect("names");
                names.iter().all(|name| value.get(name.as_str().expect("a name")).is_some())
            }
            "additionalProperties" => {
                assert_eq!(rule, &Value::Bool(false), "only false is supported");
                let properties = &schema["properties"];
                value.as_object().is_none_or(|object| object.keys().all(|name| properties.get(name).is_some()))
            }
            "properties" => {
                for (name, rule) in rule.as_object().expect("schemas") {
                    if let Some(value) = value.get(name) {
                        check(rule, value, &format!("{place}.{name}"));
                    }
                }
                true
            }
            "items" => {
                value.as_array().into_iter().flatten().enumerate().for_each(|(i, value)| {
                    check(rule, value, &format!("{place}[{i}]"));
                });
                true
            }
            other => panic!("{other} is not supported here"),
        };
        assert!(fits, "{place}: {value} does not fit {keyword}: {rule}");
    }
}

fn has_type(value: &Value, kind: &Value) -> bool {
    match kind.as_str().expect("a kind") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other} is not supported here"),
    }
}

/// Supports the two patterns that the schemas use.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[0-9a-f]{16}$" => text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        "^[0-9]{4}-[0-9]{2}-[0-9]{2}T" => {
            let form = b"0000-00-00T";
            text.len() > form.len()
                && text.bytes().zip(form).all(|(b, f)| if *f == b'0' { b.is_ascii_digit() } else { b == *f })
        }
        other => panic!("{other} is not supported here"),
    }
}
