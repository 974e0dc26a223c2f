use super::*;
use crate::CallCounts;
use crate::testing;

/// A bucket of its own for a test, and the counts of its calls.
async fn bucket() -> Option<(Objects, CallCounts)> {
    let counts = CallCounts::new();
    let config = counts.attach(testing::config()?);
    let objects = Objects::new(&config, testing::name("objects"));
    objects.client.create_bucket().bucket(objects.bucket()).send().await.expect("a bucket");
    Some((objects, counts))
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[tokio::test]
async fn what_was_put_is_read_with_its_headers_until_it_is_deleted() {
    let Some((objects, _)) = bucket().await else { return };
    assert_eq!(objects.get("a/b").await.expect("asked"), None);
    assert!(!objects.exists("a/b").await.expect("asked"));
    let headers = Headers {
        content_type: Some("text/html".into()),
        content_encoding: Some("identity".into()),
        cache_control: Some("max-age=60".into()),
    };
    let etag = objects.put("a/b", bytes("one"), &headers).await.expect("put");
    let object = objects.get("a/b").await.expect("asked").expect("there");
    assert_eq!(object, Object { body: bytes("one"), etag });
    let head = objects.client.head_object().bucket(objects.bucket()).key("a/b").send().await.expect("head");
    assert_eq!((head.content_type(), head.cache_control()), (Some("text/html"), Some("max-age=60")));
    assert_eq!(head.content_encoding(), Some("identity"));
    for _ in 0..2 {
        objects.delete("a/b").await.expect("deleting twice is no error");
    }
    assert_eq!(objects.get("a/b").await.expect("asked"), None);
}

#[tokio::test]
async fn an_object_is_read_again_only_if_it_changed() {
    let Some((objects, _)) = bucket().await else { return };
    assert_eq!(objects.get_if_changed("k", None).await.expect("asked"), Fetched::Missing);
    let first = objects.put("k", bytes("one"), &Headers::default()).await.expect("put");
    assert_eq!(objects.get_if_changed("k", Some(&first)).await.expect("asked"), Fetched::Unchanged);
    let second = objects.put("k", bytes("two"), &Headers::default()).await.expect("put");
    let changed = Fetched::Changed(Object { body: bytes("two"), etag: second });
    assert_eq!(objects.get_if_changed("k", Some(&first)).await.expect("asked"), changed);
}

#[tokio::test]
async fn only_one_of_many_that_put_a_new_object_succeeds() {
    let Some((objects, _)) = bucket().await else { return };
    let tries = (0..8).map(|number| {
        let objects = objects.clone();
        tokio::spawn(async move { objects.put_new("k", bytes(&number.to_string()), &Headers::default()).await })
    });
    let mut winners = Vec::new();
    for (number, put) in tries.collect::<Vec<_>>().into_iter().enumerate() {
        if put.await.expect("ran").expect("put") {
            winners.push(number);
        }
    }
    let kept = objects.get("k").await.expect("asked").expect("there").body;
    assert_eq!(winners, [std::str::from_utf8(&kept).expect("text").parse::<usize>().expect("a number")]);
}

#[tokio::test]
async fn a_missing_bucket_is_an_error_and_not_a_missing_object() {
    let Some(config) = testing::config() else { return };
    let objects = Objects::new(&config, testing::name("nowhere"));
    let error = objects.get("k").await.expect_err("no bucket");
    // An outage that is worth a retry, not an answer.
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = objects.probe().await.expect_err("no bucket");
    assert!(error.message().contains(objects.bucket()) && error.message().contains("does not exist"), "{error}");
    assert_eq!(error.reason(), "NO_SUCH_BUCKET");
}

#[tokio::test]
async fn a_listing_spans_pages_and_all_of_it_can_be_deleted() {
    let Some((objects, counts)) = bucket().await else { return };
    objects.probe().await.expect("the bucket is there");
    let keys: Vec<String> = (0..1_005).map(|number| format!("site/{number:04}")).collect();
    for some in keys.chunks(16) {
        let puts = some.iter().map(|key| objects.put(key, bytes(key), &NONE));
        futures::future::try_join_all(puts).await.expect("put");
    }
    objects.put("other", bytes("x"), &NONE).await.expect("put");
    let listed = objects.list("site/").await.expect("listed");
    assert_eq!(listed.iter().map(|object| &object.key).collect::<Vec<_>>(), keys.iter().collect::<Vec<_>>());
    assert!(listed.iter().all(|object| object.bytes == 9 && !object.etag.is_empty()));
    assert_eq!(counts.requests("s3", "ListObjectsV2"), 3, "one for the probe, two pages");
    objects.delete_all(&keys).await.expect("deleted");
    assert_eq!(counts.requests("s3", "DeleteObjects"), 2);
    assert_eq!(objects.list("").await.expect("listed").len(), 1);
}

const NONE: Headers = Headers { content_type: None, content_encoding: None, cache_control: None };

#[tokio::test]
async fn a_small_upload_is_one_put_and_a_large_one_goes_in_parts() {
    let Some((objects, counts)) = bucket().await else { return };
    let mut small = objects.upload("small", Headers::of_type("text/plain"));
    small.write(b"one ").await.expect("taken");
    small.write(b"two").await.expect("taken");
    small.finish().await.expect("finished");
    assert_eq!(objects.get("small").await.expect("asked").expect("there").body, bytes("one two"));
    assert_eq!((counts.requests("s3", "PutObject"), counts.requests("s3", "CreateMultipartUpload")), (1, 0));

    // Just above two parts, in pieces that do not divide a part.
    let content: Vec<u8> = (0..2 * upload::PART_BYTES + 7).map(|at| (at % 251) as u8).collect();
    let mut large = objects.upload("large", Headers::of_type("text/plain"));
    for piece in content.chunks(1_000_003) {
        large.write(piece).await.expect("taken");
    }
    assert_eq!(objects.get("large").await.expect("asked"), None, "nothing is seen before the end");
    let etag = large.finish().await.expect("finished");
    let object = objects.get("large").await.expect("asked").expect("there");
    assert!(object.body == content, "the content differs");
    assert_eq!(object.etag, etag);
    assert_eq!((counts.requests("s3", "UploadPart"), counts.requests("s3", "CompleteMultipartUpload")), (3, 1));
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_nothing() {
    let Some((objects, counts)) = bucket().await else { return };
    let mut upload = objects.upload("k", Headers::default());
    upload.write(&vec![1; upload::PART_BYTES + 1]).await.expect("taken");
    drop(upload);
    for _ in 0..200 {
        if counts
            .snapshot()
            .iter()
            .any(|(call, tally)| call.operation == "AbortMultipartUpload" && tally.time > Duration::ZERO)
        {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let left = objects.client.list_multipart_uploads().bucket(objects.bucket()).send().await.expect("listed");
    assert!(left.uploads().is_empty(), "{left:?}");
    assert_eq!(objects.get("k").await.expect("asked"), None);
}

#[test]
fn time_limits_grow_with_what_is_moved() {
    let second = Duration::from_secs(1);
    let limits = Limits { connect: None, attempt: second, operation: 5 * second };
    assert_eq!(limits.time(0), second);
    assert_eq!(limits.time(2 * BYTES_PER_SECOND_MIN), 3 * second);
}

#[tokio::test]
async fn a_copy_has_its_own_headers_and_is_of_what_was_listed() {
    let Some((objects, _)) = bucket().await else { return };
    for key in ["a/ä b+c%.html", "a/deep/er", "z"] {
        objects.put(key, bytes("x"), &NONE).await.expect("put");
    }
    let level = objects.list_level("a/").await.expect("listed");
    assert_eq!(level.folders, ["a/deep/"]);
    let [from] = &level.objects[..] else { panic!("{level:?}") };
    let headers = Headers { cache_control: Some("max-age=60".into()), ..Headers::of_type("text/html") };
    objects.copy(from, "b/ä b+c%.html", &headers).await.expect("copied");
    let head = objects.client.head_object().bucket(objects.bucket()).key("b/ä b+c%.html").send().await.expect("there");
    assert_eq!((head.content_type(), head.cache_control()), (Some("text/html"), Some("max-age=60")));
    let gone = Listed { key: "a/none".into(), ..from.clone() };
    assert_eq!(objects.copy(&gone, "b/none", &headers).await.expect_err("gone").kind(), ErrorKind::Missing);
}

#[tokio::test]
async fn a_conditional_write_sees_what_others_wrote() {
    let Some((objects, _)) = bucket().await else { return };
    let first = objects.put_over("k", bytes("1"), &NONE, None).await.expect("put").expect("there was none");
    assert_eq!(objects.put_over("k", bytes("2"), &NONE, None).await.expect("asked"), None);
    let second = objects.put_over("k", bytes("2"), &NONE, Some(&first)).await.expect("put").expect("nobody else");
    assert_eq!(objects.put_over("k", bytes("3"), &NONE, Some(&first)).await.expect("asked"), None);
    assert_eq!(objects.get("k").await.expect("asked").expect("there").etag, second);
    objects.delete("k").await.expect("deleted");
    assert_eq!(objects.put_over("k", bytes("3"), &NONE, Some(&second)).await.expect("asked"), None);
}
