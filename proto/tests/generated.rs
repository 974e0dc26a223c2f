//! The generated code in `src/gen` is committed, so that nobody needs a compiler for .proto files to build Freshet.
//! This test makes it again and compares. After a change to a .proto file: `FRESHET_REGENERATE=1 cargo test -p freshet-proto`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use prost::Message as _;

fn read_all(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(dir)
        .expect("folder of generated code")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().expect("name").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("file"))
        })
        .collect()
}

fn proto_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            proto_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
}

fn generate(root: &Path, out: &Path) -> prost_types::FileDescriptorSet {
    let mut files = Vec::new();
    proto_files(&root.join("freshet"), &mut files);
    files.sort();
    let mut compiler = protox::Compiler::new([root]).expect("include path");
    compiler.include_imports(true).include_source_info(true).open_files(&files).expect("valid .proto files");
    let with_comments = compiler.file_descriptor_set();
    tonic_prost_build::configure()
        .out_dir(out)
        .bytes(".")
        .build_transport(false)
        .compile_fds(with_comments.clone())
        .expect("code");
    // Reflection needs no comments; without them the file is a third of the size.
    let mut bare = with_comments.clone();
    for file in &mut bare.file {
        file.source_code_info = None;
    }
    std::fs::write(out.join("freshet.binpb"), bare.encode_to_vec()).expect("written");
    with_comments
}

#[test]
fn generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = root.join("src/gen");
    let fresh = tempfile::tempdir().expect("temporary folder");
    generate(root, fresh.path());
    if std::env::var_os("FRESHET_REGENERATE").is_some() {
        for (name, bytes) in read_all(fresh.path()) {
            std::fs::write(committed.join(name), bytes).expect("written");
        }
    }
    let (fresh, committed) = (read_all(fresh.path()), read_all(&committed));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&fresh), names(&committed), "files in src/gen");
    for (name, bytes) in &fresh {
        assert!(bytes == &committed[name], "{name} is not what the .proto files say; see the top of this test");
    }
}

#[test]
fn every_rpc_message_and_field_has_a_comment() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fresh = tempfile::tempdir().expect("temporary folder");
    let descriptors = generate(root, fresh.path());
    let mut bare = Vec::new();
    for file in descriptors.file.iter().filter(|file| file.name().starts_with("freshet/")) {
        let info = file.source_code_info.as_ref().expect("source info");
        let documented: std::collections::HashSet<&[i32]> = info
            .location
            .iter()
            .filter(|location| !location.leading_comments().trim().is_empty())
            .map(|location| location.path.as_slice())
            .collect();
        let mut check = |path: &[i32], what: String| {
            if !documented.contains(path) {
                bare.push(what);
            }
        };
        for (m, message) in file.message_type.iter().enumerate() {
            check(&[4, m as i32], message.name().to_owned());
            for (f, field) in message.field.iter().enumerate() {
                check(&[4, m as i32, 2, f as i32], format!("{}.{}", message.name(), field.name()));
            }
        }
        for (e, item) in file.enum_type.iter().enumerate() {
            check(&[5, e as i32], item.name().to_owned());
            for (v, value) in item.value.iter().enumerate() {
                check(&[5, e as i32, 2, v as i32], value.name().to_owned());
            }
        }
        for (s, service) in file.service.iter().enumerate() {
            check(&[6, s as i32], service.name().to_owned());
            for (r, method) in service.method.iter().enumerate() {
                check(&[6, s as i32, 2, r as i32], format!("{}.{}", service.name(), method.name()));
                assert!(method.input_type().ends_with(&format!("{}Request", method.name())), "{}", method.name());
                assert!(method.output_type().ends_with(&format!("{}Response", method.name())), "{}", method.name());
            }
        }
    }
    assert!(bare.is_empty(), "without a comment: {bare:?}");
}
