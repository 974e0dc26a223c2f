//! Which operation a request is for. Each protocol says it in another place.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use super::Call;

/// The operation of a request that the SDK made.
pub(super) fn of(request: &HttpRequest) -> Call {
    let service = request.headers().get("authorization").and_then(service).unwrap_or("unsigned");
    Call { service: service.to_owned(), operation: operation(request, service) }
}

/// From `AWS4-HMAC-SHA256 Credential=KEY/20250101/us-east-1/dynamodb/aws4_request, ...`.
fn service(authorization: &str) -> Option<&str> {
    authorization.split_once("Credential=")?.1.split('/').nth(3)
}

fn operation(request: &HttpRequest, service: &str) -> String {
    // JSON: `DynamoDB_20120810.GetItem`.
    if let Some(target) = request.headers().get("x-amz-target") {
        return target.rsplit('.').next().unwrap_or(target).to_owned();
    }
    let (path, query) = request.uri().split_once('?').unwrap_or((request.uri(), ""));
    // CBOR: `/service/X/operation/Y`.
    if let Some((_, operation)) = path.split_once("/operation/") {
        return operation.to_owned();
    }
    match service {
        "s3" => object(request.method(), query),
        "cloudfront" if path.ends_with("/invalidation") && request.method() == "POST" => "CreateInvalidation".into(),
        // Query: a form with `Action=Publish`.
        _ => request.body().bytes().and_then(action).unwrap_or_else(|| request.method().to_owned()),
    }
}

fn action(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    text.split('&').find_map(|pair| pair.strip_prefix("Action=")).map(str::to_owned)
}

/// S3 writes most operations into the query; those of the others that Freshet uses are told by method and query.
fn object(method: &str, query: &str) -> String {
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    if let Some(name) = query.split('&').find_map(|pair| pair.strip_prefix("x-id=")) {
        return name.to_owned();
    }
    match method {
        "GET" if has("list-type") => "ListObjectsV2",
        "HEAD" => "HeadObject",
        "POST" if has("uploads") => "CreateMultipartUpload",
        "POST" if has("uploadId") => "CompleteMultipartUpload",
        "POST" if has("delete") => "DeleteObjects",
        other => other,
    }
    .to_owned()
}
