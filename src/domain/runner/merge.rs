//! How Keptn's control plane merges data.

use serde_json::{Map, Value};

/// Merges `new` into `old` as Keptn 1.4 does:
///
/// | old | new | result |
/// |---|---|---|
/// | object | object | member by member |
/// | list | list | the new items, then the old ones; nothing is dropped |
/// | string | string | the new one |
/// | string | null | the empty string |
/// | object or list | null | the old one |
/// | object, list or string | another type | the new one |
/// | null or missing | anything | the new one |
/// | **number or boolean** | anything | **the old one**: Keptn has no case for them |
pub fn merge(old: Value, new: Value) -> Value {
    match (old, new) {
        (Value::Null, new) => new,
        (Value::Object(old), Value::Object(new)) => Value::Object(members(old, new)),
        (Value::Array(old), Value::Array(mut new)) => {
            new.extend(old);
            Value::Array(new)
        }
        (Value::String(_), Value::Null) => Value::String(String::new()),
        (old @ (Value::Object(_) | Value::Array(_) | Value::Number(_) | Value::Bool(_)), Value::Null) => old,
        (old @ (Value::Number(_) | Value::Bool(_)), _) => old,
        (Value::Object(_) | Value::Array(_) | Value::String(_), new) => new,
    }
}

fn members(mut old: Map<String, Value>, new: Map<String, Value>) -> Map<String, Value> {
    for (name, value) in new {
        let was = old.get_mut(&name).map(Value::take).unwrap_or_default();
        old.insert(name, merge(was, value));
    }
    old
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merges_as_keptn_does_its_mistake_included() {
        for (old, new, want) in [
            (json!({"a": "1", "b": "2"}), json!({"b": "3", "c": "4"}), json!({"a": "1", "b": "3", "c": "4"})),
            (
                json!({"a": {"b": {"c": "1"}}}),
                json!({"a": {"b": {"d": "2"}}}),
                json!({"a": {"b": {"c": "1", "d": "2"}}}),
            ),
            (json!([1, 2]), json!([2, 3]), json!([2, 3, 1, 2])),
            (json!("a"), json!("b"), json!("b")),
            (json!("a"), json!(null), json!("")),
            (json!("a"), json!(1), json!(1)),
            (json!("a"), json!({"b": 1}), json!({"b": 1})),
            (json!({"a": 1}), json!("b"), json!("b")),
            (json!({"a": 1}), json!([1]), json!([1])),
            (json!({"a": 1}), json!(null), json!({"a": 1})),
            (json!([1]), json!("b"), json!("b")),
            (json!([1]), json!({"a": 1}), json!({"a": 1})),
            (json!([1]), json!(null), json!([1])),
            (json!(null), json!(7), json!(7)),
            (json!({"a": null}), json!({"a": true}), json!({"a": true})),
            (json!({}), json!({"a": null}), json!({"a": null})),
            // There is no case for these.
            (json!(1), json!(2), json!(1)),
            (json!(1), json!("2"), json!(1)),
            (json!(true), json!(false), json!(true)),
            (json!(true), json!({"a": 1}), json!(true)),
            (json!(1), json!(null), json!(1)),
            (json!({"score": 90}), json!({"score": 40}), json!({"score": 90})),
        ] {
            assert_eq!(merge(old.clone(), new.clone()), want, "{old} with {new}");
        }
    }
}
