// `node index.test.js FUNCTION`: what the CloudFront Function does with a path.
const assert = require("node:assert");
const fs = require("node:fs");

const handler = new Function(fs.readFileSync(process.argv[2], "utf8") + "\nreturn handler;")();
const at = (uri) => handler({ request: { uri, headers: {}, querystring: {} } });

for (const [uri, file] of [
  ["/", "/index.html"],
  ["/a/", "/a/index.html"],
  ["/a/b/", "/a/b/index.html"],
  ["/style.css", "/style.css"],
  ["/a.b/c.html", "/a.b/c.html"],
  ["/.well-known/", "/.well-known/index.html"],
]) {
  assert.strictEqual(at(uri).uri, file, uri);
}
for (const [uri, folder] of [
  ["/a", "/a/"],
  ["/a/b", "/a/b/"],
  ["//evil.example/a", "/evil.example/a/"],
  ["/\\evil", "/evil/"],
]) {
  const moved = at(uri);
  assert.strictEqual(moved.statusCode, 301, uri);
  assert.strictEqual(moved.headers.location.value, folder, uri);
}
