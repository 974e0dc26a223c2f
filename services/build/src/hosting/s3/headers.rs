//! What browsers and CloudFront are told about a file, by its name.

use freshet_aws::Headers;

/// Pages change at any time; CloudFront is told of it, browsers ask again.
const PAGE: &str = "public, max-age=0, s-maxage=300, must-revalidate";
/// Files that keep their name when their content changes.
const FILE: &str = "public, max-age=300";
/// Files whose name has a hash of their content.
const HASHED: &str = "public, max-age=31536000, immutable";

/// Folders in which generators leave nothing but files named by a hash.
const HASHED_FOLDERS: [&str; 3] = ["_astro/", "_next/static/", "_nuxt/"];
const HASH_LENGTH_MIN: usize = 8;

const TYPES: [(&str, &str); 40] = [
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("webmanifest", "application/manifest+json"),
    ("xml", "application/xml"),
    ("rss", "application/rss+xml"),
    ("atom", "application/atom+xml"),
    ("txt", "text/plain; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("ics", "text/calendar; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("jpeg", "image/jpeg"),
    ("gif", "image/gif"),
    ("webp", "image/webp"),
    ("avif", "image/avif"),
    ("ico", "image/x-icon"),
    ("bmp", "image/bmp"),
    ("tiff", "image/tiff"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("ttf", "font/ttf"),
    ("otf", "font/otf"),
    ("eot", "application/vnd.ms-fontobject"),
    ("mp3", "audio/mpeg"),
    ("ogg", "audio/ogg"),
    ("wav", "audio/wav"),
    ("mp4", "video/mp4"),
    ("webm", "video/webm"),
    ("pdf", "application/pdf"),
    ("zip", "application/zip"),
    ("gz", "application/gzip"),
    ("wasm", "application/wasm"),
    ("glb", "model/gltf-binary"),
];

/// The headers of a file of a site.
pub(super) fn headers(path: &str) -> Headers {
    let cache = if is_page(path) {
        PAGE
    } else if is_hashed(path) {
        HASHED
    } else {
        FILE
    };
    Headers { cache_control: Some(cache.to_owned()), ..Headers::of_type(content_type(path)) }
}

/// The type of a file.
pub(super) fn content_type(path: &str) -> &'static str {
    let ending = extension(path).to_ascii_lowercase();
    TYPES.iter().find(|(known, _)| *known == ending).map_or("application/octet-stream", |(_, kind)| kind)
}

/// True for what visitors open, and what refers to the other files.
pub(super) fn is_page(path: &str) -> bool {
    content_type(path).starts_with("text/html")
}

fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn extension(path: &str) -> &str {
    name(path).rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// True if the content cannot change without the name. A hash is only believed if it looks like no word and no date.
fn is_hashed(path: &str) -> bool {
    if HASHED_FOLDERS.iter().any(|folder| path.starts_with(folder) || path.contains(&format!("/{folder}"))) {
        return true;
    }
    name(path).split(['.', '-', '_']).any(|part| {
        part.len() >= HASH_LENGTH_MIN
            && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
            && part.bytes().any(|byte| byte.is_ascii_digit())
            && part.bytes().any(|byte| byte.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_kept_shortly_and_hashed_files_for_long() {
        for (path, kind, cache) in [
            ("index.html", "text/html; charset=utf-8", PAGE),
            ("a/b.HTML", "text/html; charset=utf-8", PAGE),
            ("app.3f2a9c1b.js", "text/javascript; charset=utf-8", HASHED),
            ("css/main.min.0a1b2c3d4e5f60718293a4b5c6d7e8f9.css", "text/css; charset=utf-8", HASHED),
            ("_astro/index.BX3k9d2a.css", "text/css; charset=utf-8", HASHED),
            ("blog/_next/static/x/_buildManifest.js", "text/javascript; charset=utf-8", HASHED),
            ("photo-20240131.jpg", "image/jpeg", FILE),
            ("img/decaffed.png", "image/png", FILE),
            ("feed.xml", "application/xml", FILE),
            (".well-known/thing", "application/octet-stream", FILE),
        ] {
            let headers = headers(path);
            assert_eq!(headers.content_type.as_deref(), Some(kind), "{path}");
            assert_eq!(headers.cache_control.as_deref(), Some(cache), "{path}");
        }
    }
}
