function handler(event) {
  var request = event.request;
  var last = request.uri.slice(request.uri.lastIndexOf("/") + 1);
  if (last === "") {
    request.uri += "index.html";
  } else if (last.indexOf(".") === -1) {
    // Never `//elsewhere.example`, which a browser takes for another host.
    var folder = "/" + request.uri.replace(/^[/\\]+/, "") + "/";
    return { statusCode: 301, statusDescription: "Moved Permanently", headers: { location: { value: folder } } };
  }
  return request;
}
