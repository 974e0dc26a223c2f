//! The Freshet protocol: generated messages and services, and conversions to and from the domain types.
//!
//! **Invariant:** generated types stop at a service's door. Decoding checks what the .proto comments promise, and names
//! the field that breaks the promise.

pub mod convert;

/// Encoded descriptors of every file, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("gen/freshet.binpb");

macro_rules! generated {
    ($($service:ident => $file:literal),+) => {
        $(
            #[allow(missing_docs, unreachable_pub, clippy::all)]
            #[doc = concat!("Package `", $file, "`.")]
            pub mod $service {
                /// Version 1.
                pub mod v1 {
                    include!(concat!("gen/", $file, ".rs"));
                }
            }
        )+
    };
}

generated!(
    common => "freshet.common.v1",
    validation => "freshet.validation.v1",
    content => "freshet.content.v1",
    build => "freshet.build.v1",
    control => "freshet.control.v1"
);
