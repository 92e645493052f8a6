//! A strict JSON Schema checker for the keywords that the report schema uses; fields that are not described are errors.

use serde_json::Value;

/// Why a value is not as the schema says; `root` holds the definitions.
pub fn check(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let schema = resolved(root, schema);
    let members: Vec<&String> = schema.as_object().unwrap().keys().collect();
    for member in members {
        match member.as_str() {
            "description" | "title" | "$schema" | "$defs" | "required" => {}
            "const" if schema["const"] != *value => {
                return Err(format!("{value} is not {}", schema["const"]));
            }
            "enum" if !list(&schema["enum"]).contains(value) => return Err(format!("{value} is not listed")),
            "const" | "enum" => {}
            "type" => is_of_type(&schema["type"], value)?,
            "minimum" if value.is_number() && value.as_f64() < schema["minimum"].as_f64() => {
                return Err(format!("{value} is too small"));
            }
            "maximum" if value.is_number() && value.as_f64() > schema["maximum"].as_f64() => {
                return Err(format!("{value} is too large"));
            }
            "minimum" | "maximum" => {}
            "format" if schema["format"] != "date-time" => {}
            "format" => drop(value.as_str().unwrap().parse::<jiff::Timestamp>().map_err(|e| e.to_string())?),
            "oneOf" | "anyOf" => one_of(root, list(&schema[member]), value)?,
            "items" => list(value).iter().try_for_each(|item| check(root, &schema["items"], item))?,
            "properties" => properties(root, schema, value)?,
            "additionalProperties" => {
                let mut others = value.as_object().unwrap().values();
                others.try_for_each(|other| check(root, &schema["additionalProperties"], other))?;
            }
            other => panic!("the schema says `{other}`, which is not understood here"),
        }
    }
    Ok(())
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(name) = schema["$ref"].as_str() else { return schema };
    let found = &root["$defs"][name.strip_prefix("#/$defs/").unwrap()];
    assert!(found.is_object(), "{name} is not defined");
    found
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn is_of_type(wanted: &Value, value: &Value) -> Result<(), String> {
    let is = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type {other}"),
    };
    let fits = wanted.as_str().map_or_else(|| list(wanted).iter().any(|name| is(name.as_str().unwrap())), is);
    if fits { Ok(()) } else { Err(format!("{value} is no {wanted}")) }
}

fn one_of(root: &Value, choices: &[Value], value: &Value) -> Result<(), String> {
    let tried: Vec<_> = choices.iter().map(|choice| check(root, choice, value)).collect();
    if tried.iter().filter(|outcome| outcome.is_ok()).count() == 1 {
        return Ok(());
    }
    // Of an event, the choice of its name says what is wrong.
    let named = choices
        .iter()
        .zip(&tried)
        .filter(|(choice, _)| resolved(root, choice)["properties"]["event"]["const"] == value["event"]);
    Err(named.filter_map(|(_, outcome)| outcome.clone().err()).next().unwrap_or(format!("{value} fits none")))
}

fn properties(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    let known = schema["properties"].as_object().unwrap();
    let fields = value.as_object().ok_or_else(|| format!("{value} is no object"))?;
    let missing = list(&schema["required"]).iter().find(|name| !fields.contains_key(name.as_str().unwrap()));
    if let Some(missing) = missing {
        return Err(format!("{missing} is missing"));
    }
    for (name, field) in fields {
        let described = known.get(name).ok_or_else(|| format!("`{name}` is not described"))?;
        check(root, described, field).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

#[test]
fn rejects_undescribed_fields() {
    let schema =
        serde_json::json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let check = |value: Value| check(&schema, &schema, &value).is_ok();
    assert!(check(serde_json::json!({"n": 1})));
    assert!(!check(serde_json::json!({"n": 1, "m": 1})));
    assert!(!check(serde_json::json!({})));
    assert!(!check(serde_json::json!({"n": 1.5})));
}
