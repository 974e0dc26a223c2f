//! How answers look: tables for people, canonical protobuf JSON for programs.

use std::io::Write as _;

use anyhow::Context as _;
use comfy_table::{ContentArrangement, Table, presets};
use freshet_domain::Timestamp;
use freshet_proto::convert::timestamp_from_proto;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

/// A line of result.
pub(crate) fn line(text: impl AsRef<str>) {
    // A closed pipe (`| head`) is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{}", text.as_ref());
}

/// A line beside the result: progress, hints, errors.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// Prints a message as JSON, field names as in the .proto files. `name` is its full name without `freshet.`.
pub(crate) fn json(name: &str, message: &impl Message) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(&to_json(name, message)?)?);
    Ok(())
}

/// A message as JSON. Entry fields, which are bytes on the wire, become the JSON that they are.
pub(crate) fn to_json(name: &str, message: &impl Message) -> anyhow::Result<serde_json::Value> {
    let pool = DescriptorPool::decode(freshet_proto::FILE_DESCRIPTOR_SET).context("descriptors")?;
    let descriptor = pool.get_message_by_name(&format!("freshet.{name}")).context("no such message")?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new().use_proto_field_name(true).skip_default_fields(true);
    let mut value = dynamic.serialize_with_options(serde_json::value::Serializer, &options)?;
    open_fields(&mut value);
    Ok(value)
}

fn open_fields(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::String(text)) = map.get("fields_json")
                && let Some(fields) = decode_base64(text).and_then(|bytes| serde_json::from_slice(&bytes).ok())
            {
                map.remove("fields_json");
                map.insert("fields".to_owned(), fields);
            }
            map.values_mut().for_each(open_fields);
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(open_fields),
        _ => {}
    }
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

/// A table.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for text in table.lines() {
        line(text.trim_end());
    }
}

/// A time of the protocol for people; empty if absent.
pub(crate) fn time(at: Option<&prost_types::Timestamp>) -> String {
    at.map(|at| timestamp_from_proto(at).to_string()).unwrap_or_default()
}

/// How long ago, roughly.
pub(crate) fn ago(at: Option<&prost_types::Timestamp>) -> String {
    let Some(at) = at else { return String::new() };
    let seconds = Timestamp::now().since(timestamp_from_proto(at)).as_secs();
    match seconds {
        0..=99 => format!("{seconds} s ago"),
        100..=5_999 => format!("{} min ago", seconds / 60),
        6_000..=172_799 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

/// An enum value's word: `PROGRESS_LIVE` becomes `live`.
pub(crate) fn word(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_ascii_lowercase().replace('_', " ")
}

/// The first characters of a text that may be long.
pub(crate) fn short(text: &str, max: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.chars().count() <= max { clean } else { clean.chars().take(max - 1).chain(['…']).collect() }
}
