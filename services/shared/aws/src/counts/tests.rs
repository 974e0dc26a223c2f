use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;

use super::*;

fn request(method: &str, uri: &str, headers: &[(&'static str, &'static str)], body: &str) -> HttpRequest {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method(method).expect("a method");
    request.set_uri(uri.to_owned()).expect("a URI");
    for (name, value) in headers {
        request.headers_mut().insert(*name, *value);
    }
    request
}

#[test]
fn every_protocol_names_its_operation() {
    const S3: (&str, &str) = ("authorization", "AWS4-HMAC-SHA256 Credential=K/20250101/us-east-1/s3/aws4_request, S");
    const SNS: (&str, &str) = ("authorization", "AWS4-HMAC-SHA256 Credential=K/20250101/us-east-1/sns/aws4_request, S");
    const CF: (&str, &str) =
        ("authorization", "AWS4-HMAC-SHA256 Credential=K/20250101/us-east-1/cloudfront/aws4_request, S");
    const SQS: (&str, &str) = ("authorization", "AWS4-HMAC-SHA256 Credential=K/20250101/us-east-1/sqs/aws4_request, S");
    let target = ("x-amz-target", "AmazonSQS.ReceiveMessage");
    let cases = [
        (request("POST", "http://a/", &[SQS, target], ""), ("sqs", "ReceiveMessage")),
        (request("POST", "http://a/", &[SNS], "Action=PublishBatch&Version=1"), ("sns", "PublishBatch")),
        (request("POST", "http://a/service/S/operation/GetSecretValue", &[SNS], ""), ("sns", "GetSecretValue")),
        (request("GET", "http://a/b/k?x-id=GetObject", &[S3], ""), ("s3", "GetObject")),
        (request("HEAD", "http://a/b/k", &[S3], ""), ("s3", "HeadObject")),
        (request("GET", "http://a/b?list-type=2&prefix=x", &[S3], ""), ("s3", "ListObjectsV2")),
        (request("POST", "http://a/b/k?uploads", &[S3], ""), ("s3", "CreateMultipartUpload")),
        (request("POST", "http://a/b/k?uploadId=1", &[S3], ""), ("s3", "CompleteMultipartUpload")),
        (request("POST", "http://a/b?delete", &[S3], ""), ("s3", "DeleteObjects")),
        (
            request("POST", "http://a/2020-05-31/distribution/D/invalidation", &[CF], "<x/>"),
            ("cloudfront", "CreateInvalidation"),
        ),
        (request("PATCH", "http://a/", &[], ""), ("unsigned", "PATCH")),
    ];
    for (request, (service, operation)) in cases {
        let call = operation::of(&request);
        assert_eq!((call.service.as_str(), call.operation.as_str()), (service, operation), "{request:?}");
    }
}

#[tokio::test]
async fn a_call_without_an_answer_counts_with_its_repetitions() {
    let counts = CallCounts::new();
    // Nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let config = counts.attach(crate::testing::config_for(&format!("http://{address}")));
    let s3 = aws_sdk_s3::Client::new(&config);
    s3.head_object().bucket("b").key("k").send().await.expect_err("nobody is there");
    let seen = counts.snapshot();
    let (call, tally) = seen.iter().next().expect("a call");
    assert_eq!((call.service.as_str(), call.operation.as_str()), ("s3", "HeadObject"));
    assert_eq!(*tally, Tally { requests: 3, repeated: 2, unanswered: 3, ..Tally::default() });
    assert_eq!((seen.len(), counts.requests_of("s3"), counts.requests_of("sqs")), (1, 3, 0));
}
