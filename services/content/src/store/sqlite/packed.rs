//! What is large is kept compressed: the disk is the first limit for deliveries of several KiB, whose body and content are
//! written five times (journal, log of bodies, write-ahead log, database).

use bytes::Bytes;
use freshet_kit::Error;

use crate::store::codec::damaged;

/// What has fewer bytes is kept as it came: compressing it costs about as much as writing it.
const PACK_FROM_BYTES: usize = 4 << 10;

/// A block of LZ4 has at most so many times its bytes, so a broken length cannot ask for all memory.
const RATIO_MAX: u64 = 255;

/// Bytes as they are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Packed {
    stored: Bytes,
    /// How many they are when they are no block of LZ4 any more; `None`: they are kept as they came.
    plain_bytes: Option<u64>,
}

impl Packed {
    /// Compresses bytes if that makes them clearly fewer.
    pub(super) fn new(plain: Bytes) -> Self {
        if is_large(&plain) {
            let mut block = lz4_flex::block::compress(&plain);
            if block.len() <= plain.len() / 8 * 7 {
                block.shrink_to_fit();
                return Self { stored: block.into(), plain_bytes: Some(plain.len() as u64) };
            }
        }
        // A part of a message would keep all of it in memory, also what was compressed.
        let is_part = !is_large(&plain) && !plain.is_unique();
        Self { stored: if is_part { Bytes::copy_from_slice(&plain) } else { plain }, plain_bytes: None }
    }

    /// What was stored.
    pub(super) fn stored_as(stored: Bytes, plain_bytes: Option<u64>) -> Self {
        Self { stored, plain_bytes }
    }

    /// What to store.
    pub(super) fn stored(&self) -> &Bytes {
        &self.stored
    }

    /// To store beside it.
    pub(super) fn plain_bytes(&self) -> Option<u64> {
        self.plain_bytes
    }

    /// True if it was worth trying to compress it.
    pub(super) fn is_large(&self) -> bool {
        self.plain_bytes.is_some() || is_large(&self.stored)
    }

    /// The bytes as they came.
    pub(super) fn plain(&self) -> Result<Bytes, Error> {
        match self.plain_bytes {
            Some(plain_bytes) => unpack(&self.stored, plain_bytes).map(Bytes::from),
            None => Ok(self.stored.clone()),
        }
    }
}

/// True for what is worth compressing.
pub(super) fn is_large(plain: &[u8]) -> bool {
    plain.len() >= PACK_FROM_BYTES
}

/// The bytes that a block was made of.
pub(super) fn unpack(block: &[u8], plain_bytes: u64) -> Result<Vec<u8>, Error> {
    let possible = plain_bytes <= RATIO_MAX * block.len() as u64;
    let length = usize::try_from(plain_bytes).ok().filter(|_| possible).ok_or_else(|| damaged("compressed length"))?;
    let plain = lz4_flex::block::decompress(block, length).map_err(|error| damaged("compressed").with_source(error))?;
    if plain.len() == length { Ok(plain) } else { Err(damaged("compressed")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(bytes: usize) -> Bytes {
        "{\"title\":\"Quiet harbours\",\"price\":12.5},".bytes().cycle().take(bytes).collect()
    }

    #[test]
    fn only_what_is_large_and_shrinks_is_compressed() {
        let small = Packed::new(text(PACK_FROM_BYTES - 1));
        assert_eq!((small.stored().len(), small.plain_bytes()), (PACK_FROM_BYTES - 1, None));
        let large = Packed::new(text(PACK_FROM_BYTES));
        assert!(large.stored().len() < PACK_FROM_BYTES / 4 && large.plain_bytes() == Some(PACK_FROM_BYTES as u64));
        let noise: Bytes = (0..200_u8).flat_map(|number| *blake3::hash(&[number]).as_bytes()).collect();
        assert_eq!(Packed::new(noise.clone()), Packed::stored_as(noise, None), "what does not shrink");
    }

    #[test]
    fn broken_blocks_are_errors_and_ask_for_no_memory() {
        let packed = Packed::new(text(10_000));
        let block = packed.stored();
        for plain_bytes in [0, 9_999, 10_001, u64::MAX, 1 << 40] {
            assert!(unpack(block, plain_bytes).is_err(), "{plain_bytes}");
        }
        assert!(unpack(&block[..block.len() - 1], 10_000).is_err());
        assert!(unpack(&vec![0; block.len()], 10_000).is_err(), "an erased body");
        assert!(unpack(b"", 10_000).is_err());
    }

    #[test]
    fn what_is_small_keeps_nothing_else_in_memory() {
        let message = Bytes::from(vec![b'x'; 100_000]);
        let part = Packed::new(message.slice(..10));
        assert!(part.stored().is_unique() && message.is_unique());
        let own = Bytes::from(b"its own".to_vec());
        let place = own.as_ptr();
        assert_eq!(Packed::new(own).stored().as_ptr(), place, "not copied");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(words in prop::collection::vec(".{0,12}", 1..20), length in 0..600_usize) {
            let text: String = words.iter().cycle().take(length).map(String::as_str).collect();
            let (plain, noise) = (Bytes::from(text), Bytes::from(words.concat()));
            let packed = Packed::new(plain.clone());
            prop_assert_eq!(packed.plain_bytes().is_some(), is_large(&plain));
            prop_assert_eq!(packed.plain().expect("whole"), plain);
            prop_assert_eq!(Packed::new(noise.clone()).plain().expect("whole"), noise);
        }

        #[test]
        fn no_bytes_make_it_panic(block in prop::collection::vec(any::<u8>(), 0..200), plain_bytes in 0_u64..60_000) {
            if let Ok(plain) = unpack(&block, plain_bytes) {
                prop_assert_eq!(plain.len() as u64, plain_bytes);
            }
        }
    }
}
