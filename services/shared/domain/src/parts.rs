//! A hash over a list of parts.

/// So many bytes are gathered before they are hashed.
const GATHER_MAX: usize = 64 << 10;

/// A BLAKE3 over parts, each preceded by its length (8 bytes, big endian), so that no two lists of parts look alike.
///
/// Small parts are gathered first: hashed one by one they take up to twice as long, because only whole blocks of 1 KiB that
/// are there together are hashed at the same time.
#[derive(Default)]
pub struct PartsHash {
    gathered: Vec<u8>,
    /// Has what did not fit.
    hasher: Option<Box<blake3::Hasher>>,
}

impl PartsHash {
    /// Adds each of some parts.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Self::default();
        hash.gathered.reserve(parts.iter().map(|part| 8 + part.len()).sum::<usize>().min(GATHER_MAX));
        parts.iter().for_each(|part| hash.part(part));
        hash
    }

    fn part(&mut self, part: &[u8]) {
        let length = (part.len() as u64).to_be_bytes();
        if self.gathered.len() + length.len() + part.len() <= GATHER_MAX {
            self.gathered.extend_from_slice(&length);
            self.gathered.extend_from_slice(part);
            return;
        }
        let hasher = self.hasher.get_or_insert_default();
        hasher.update(&self.gathered).update(&length).update(part);
        self.gathered.clear();
    }

    /// The first bytes of the hash.
    ///
    /// # Panics
    /// If more than 32 are asked for, when compiling.
    pub fn finish<const BYTES: usize>(self) -> [u8; BYTES] {
        const { assert!(BYTES <= 32) };
        let hash = match self.hasher {
            None => blake3::hash(&self.gathered),
            Some(mut hasher) => hasher.update(&self.gathered).finalize(),
        };
        let mut first = [0; BYTES];
        first.copy_from_slice(&hash.as_bytes()[..BYTES]);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As it is defined, without gathering.
    fn plain(parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
        }
        hasher.finalize().into()
    }

    #[test]
    fn it_is_the_hash_of_lengths_and_parts_however_large_they_are() {
        let bytes = vec![7; 3 * GATHER_MAX];
        for large in [0, 1, GATHER_MAX - 17, GATHER_MAX - 16, GATHER_MAX - 15, GATHER_MAX, 3 * GATHER_MAX] {
            for parts in [&[&bytes[..large]][..], &[b"abcdefgh", &bytes[..large], b"", b"x"], &[&bytes[..large]; 3]] {
                let hash: [u8; 32] = PartsHash::of(parts).finish();
                assert_eq!(hash, plain(parts), "{large}");
                assert_eq!(PartsHash::of(parts).finish::<16>(), hash[..16]);
            }
        }
    }

    #[test]
    fn no_two_lists_look_alike() {
        let lists: [&[&[u8]]; 5] = [&[], &[b""], &[b"ab"], &[b"a", b"b"], &[b"ab", b""]];
        let hashes: std::collections::HashSet<[u8; 16]> =
            lists.iter().map(|parts| PartsHash::of(parts).finish()).collect();
        assert_eq!(hashes.len(), lists.len());
    }
}
