//! Positions in lists and in the feed, as opaque tokens.

use freshet_domain::{DeliveryId, EntryKey, SourceId, Timestamp};
use freshet_kit::{Error, page};

use crate::model::{DeliveryPosition, EntryPosition};

/// A position in the client's feed.
pub(crate) fn feed(client: &str, position: u64) -> String {
    page::token(&[b"feed", client.as_bytes()], &position.to_be_bytes())
}

/// The position in a resume token; `None` if there is none.
pub(crate) fn feed_position(client: &str, token: &str) -> Result<Option<u64>, Error> {
    let wrong = || Error::invalid("resume_token", "is not a resume token of this client");
    let bytes = page::position(&[b"feed", client.as_bytes()], token).map_err(|_| wrong())?;
    bytes.map(|bytes| bytes.try_into().map(u64::from_be_bytes).map_err(|_| wrong())).transpose()
}

/// A place in a list of entries.
pub(crate) fn entries(filters: &[&[u8]], position: &EntryPosition) -> String {
    let mut bytes = position.stored_at.as_micros().to_be_bytes().to_vec();
    let key = &position.key;
    for part in [key.source.as_str(), &key.entry_type, &key.id, &key.locale] {
        bytes.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    page::token(filters, &bytes)
}

/// The place in a page token of entries.
pub(crate) fn entries_position(filters: &[&[u8]], token: &str) -> Result<Option<EntryPosition>, Error> {
    let Some(bytes) = page::position(filters, token)? else { return Ok(None) };
    entry_position(&bytes).ok_or_else(broken).map(Some)
}

fn entry_position(bytes: &[u8]) -> Option<EntryPosition> {
    let (micros, mut rest) = bytes.split_first_chunk::<8>()?;
    let mut parts: [String; 4] = Default::default();
    for part in &mut parts {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let (text, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        *part = String::from_utf8(text.to_vec()).ok()?;
        rest = behind;
    }
    let [source, entry_type, id, locale] = parts;
    let key = EntryKey { source: SourceId::new(&source).ok()?, entry_type, id, locale };
    Some(EntryPosition { stored_at: Timestamp::from_micros(i64::from_be_bytes(*micros)), key })
}

/// A place in a list of deliveries.
pub(crate) fn deliveries(filters: &[&[u8]], position: &DeliveryPosition) -> String {
    let mut bytes = position.received_at.as_micros().to_be_bytes().to_vec();
    bytes.extend_from_slice(position.delivery.as_bytes());
    page::token(filters, &bytes)
}

/// The place in a page token of deliveries.
pub(crate) fn deliveries_position(filters: &[&[u8]], token: &str) -> Result<Option<DeliveryPosition>, Error> {
    let Some(bytes) = page::position(filters, token)? else { return Ok(None) };
    let parts = bytes.split_first_chunk::<8>().and_then(|(micros, id)| Some((*micros, <[u8; 16]>::try_from(id).ok()?)));
    let (micros, id) = parts.ok_or_else(broken)?;
    Ok(Some(DeliveryPosition {
        received_at: Timestamp::from_micros(i64::from_be_bytes(micros)),
        delivery: DeliveryId::from_bytes(id),
    }))
}

fn broken() -> Error {
    Error::invalid("page_token", "is not a token of a request with these filters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_and_only_for_their_own_filters() {
        let key = EntryKey { locale: "de".into(), ..EntryKey::new(SourceId::new("blog").expect("valid"), "a", "ä") };
        let position = EntryPosition { stored_at: Timestamp::from_micros(-7), key };
        let token = entries(&[b"x"], &position);
        assert_eq!(entries_position(&[b"x"], &token).expect("own"), Some(position));
        assert!(entries_position(&[b"y"], &token).is_err());
        assert!(entries_position(&[b"x"], &page::token(&[b"x"], b"short")).is_err());
        assert!(deliveries_position(&[b"x"], &token).is_err());

        assert_eq!(feed_position("acme", &feed("acme", 7)).expect("own"), Some(7));
        assert!(feed_position("other", &feed("acme", 7)).is_err(), "P7: a token of another client");
        assert!(feed_position("acme", "nonsense").is_err());
        assert_eq!(feed_position("acme", "").expect("none"), None);
    }
}
