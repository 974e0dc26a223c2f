"""Calls every rpc of a running Freshet, knowing nothing but its address and a key, and checks what comes back.

Reads one JSON object from standard input; see `every_rpc_answers_an_independent_client` in tests/tests/compat.rs.
"""

import base64
import json
import sys
import time
import uuid

from reflected import Server, plain, word

VALIDATION = "freshet.validation.v1.ValidationService"
CONTENT = "freshet.content.v1.ContentService"
BUILD = "freshet.build.v1.BuildService"
CONTROL = "freshet.control.v1.ControlService"

SETUP = json.load(sys.stdin)
CLIENT = SETUP["client"]
POSTED = SETUP["posted"]


def eventually(what, look):
    """Looks until there is something to see."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited in vain for {what}")


def pages(server, name, fields, member):
    """Every item over all pages of two."""
    items, token, count = [], "", 0
    while True:
        page = server.call(name, {**fields, "page_size": 2, "page_token": token})
        assert len(getattr(page, member)) <= 2, f"{name}: a page is larger than asked for"
        items += getattr(page, member)
        token, count = page.next_page_token, count + 1
        if not token:
            assert count > 1, f"{name}: everything came in one page, so no token was tried"
            return items


def health(server):
    names = [""] + [name for name in server.services if name.startswith("freshet.")]
    assert len(names) == 5, names
    for name in names:
        answer = server.call("grpc.health.v1.Health/Check", {"service": name})
        assert word(answer, "status") == "SERVING", f"{name or 'the whole'}: {word(answer, 'status')}"


def validation(server):
    providers = {provider.name: provider for provider in pages(server, f"{VALIDATION}/ListProviders", {}, "providers")}
    assert {"strapi", "sanity", "shopify_basic", "woocommerce"} <= providers.keys(), list(providers)
    strapi = server.call(f"{VALIDATION}/GetProvider", {"name": "strapi"}).provider
    assert plain(strapi) == plain(providers["strapi"])
    assert not strapi.capabilities.signs and providers["shopify_basic"].capabilities.signs
    missing = server.refused(f"{VALIDATION}/GetProvider", {"name": "nope"}, "NOT_FOUND")
    assert missing.reason == "NOT_FOUND" and "nope" in missing.message

    shop = {"client_id": CLIENT, "source_id": "shop"}
    negotiated = server.call(f"{VALIDATION}/NegotiateCapabilities", shop)
    assert negotiated.provider == "shopify_basic" and negotiated.capabilities.signs
    assert negotiated.webhook_path.startswith("/webhook/shopify_basic/"), negotiated.webhook_path

    unsent = SETUP["unsent"]
    request = {key: unsent[key] for key in ("provider", "source_id", "method", "headers", "body")}
    judged = server.call(f"{VALIDATION}/ValidateDelivery", request)
    assert word(judged, "verdict") == "VERDICT_ACCEPTED" and judged.client_id == CLIENT, plain(judged)
    assert len(judged.changes) == 1 and judged.changes[0].content.title == unsent["title"]
    request["headers"] = [header for header in request["headers"] if header["name"].lower() != "authorization"]
    assert word(server.call(f"{VALIDATION}/ValidateDelivery", request), "verdict") == "VERDICT_UNAUTHENTICATED"


def delivery(number, dedup=None):
    """A delivery as the ingress would hand it to the content service."""
    return {
        "delivery_id": f"dlv_{uuid.uuid4().hex}",
        "client_id": CLIENT,
        "source_id": "journal",
        "provider": "strapi",
        "event": "entry.publish",
        "verdict": "VERDICT_ACCEPTED",
        "dedup_keys": [dedup or f"python-{number}"],
        "retention": "RETENTION_BODY",
        "proof": "secret:0",
        "body": base64.b64encode(b"{}").decode(),
        "changes": [
            {
                "op": "CHANGE_OP_UPSERT",
                "key": {"source_id": "journal", "type": "note", "id": str(2**60 + number)},
                "kind": "KIND_DOCUMENT",
                "status": "ENTRY_STATUS_PUBLISHED",
                "version": {"micros": str(time.time_ns() // 1000)},
                "build_relevant": True,
                "lane": "LANE_NORMAL",
                "content": {
                    "title": f"Notiz {number} – 東京 🌊",
                    "slug": f"python-{number}",
                    "tags": ["python"],
                    "fields_json": base64.b64encode(b'{"exact":9007199254740993}').decode(),
                    "content_hash": base64.b64encode(uuid.uuid4().bytes).decode(),
                },
            }
        ],
    }


def content_deliveries(server):
    for posted in POSTED["journal"]:
        named = {"client_id": CLIENT, "delivery_id": posted["delivery_id"], "include_body": True}
        found = server.call(f"{CONTENT}/GetDelivery", named)
        assert found.body == base64.b64decode(posted["body"]), "the body is not what was posted, byte for byte"
        assert found.delivery.body_bytes == len(found.body) and found.delivery.provider == "strapi"
        assert abs(found.delivery.received_at.seconds - time.time()) < 3600, "received at another time"
        key = plain(found.delivery.outcomes[0].key)
        entry = server.call(f"{CONTENT}/GetEntry", {"client_id": CLIENT, "key": key}).entry
        assert entry.content.title == posted["title"], (entry.content.title, posted["title"])
        assert word(entry, "status") == "ENTRY_STATUS_PUBLISHED" and entry.revision == 1
        assert json.loads(entry.content.fields_json), "no fields"
        posted["key"] = key
    listed = pages(server, f"{CONTENT}/ListDeliveries", {"client_id": CLIENT}, "deliveries")
    ids = {posted["delivery_id"] for posteds in POSTED.values() for posted in posteds}
    assert ids <= {found.delivery_id for found in listed}, "posted deliveries are not listed"
    times = [found.received_at.ToNanoseconds() for found in listed]
    assert times == sorted(times, reverse=True), "not newest first"


def content_entries(server):
    known = POSTED["journal"][0]
    absent = {**known["key"], "id": "absent"}
    batch = server.call(f"{CONTENT}/BatchGetEntries", {"client_id": CLIENT, "keys": [known["key"], absent]})
    assert [entry.content.title for entry in batch.entries] == [known["title"]]
    assert [plain(key) for key in batch.missing] == [absent]
    gone = server.refused(f"{CONTENT}/GetEntry", {"client_id": CLIENT, "key": absent}, "NOT_FOUND")
    assert gone.reason == "NOT_FOUND"

    journal = {"client_id": CLIENT, "source_id": "journal"}
    listed = pages(server, f"{CONTENT}/ListEntries", journal, "entries")
    assert {entry.content.title for entry in listed} == {posted["title"] for posted in POSTED["journal"]}
    slug = listed[0].content.slug
    by_slug = server.call(f"{CONTENT}/ListEntries", {"client_id": CLIENT, "slug": slug})
    assert [entry.content.slug for entry in by_slug.entries] == [slug]
    first = server.call(f"{CONTENT}/ListEntries", {**journal, "page_size": 1})
    foreign = {"client_id": CLIENT, "source_id": "shop", "page_token": first.next_page_token}
    assert server.refused(f"{CONTENT}/ListEntries", foreign, "INVALID_ARGUMENT").fields == ["page_token"]

    exported = server.stream(f"{CONTENT}/ExportSnapshot", {"client_id": CLIENT, "source_ids": ["journal", "shop"]})
    titles = [entry.content.title for part in exported for entry in part.entries]
    wanted = [posted["title"] for source in ("journal", "shop") for posted in POSTED[source]]
    assert sorted(titles) == sorted(wanted), (titles, wanted)


def content_feed(server):
    """Two deliveries by IngestDelivery; the feed tells of both, the second by way of a resume token."""
    watched = server.stream(f"{CONTENT}/WatchChanges", {"client_id": CLIENT, "source_id": "journal"})
    first, second = delivery(1), delivery(2)
    answer = server.call(f"{CONTENT}/IngestDelivery", first)
    assert word(answer.outcomes[0], "effect") == "CHANGE_EFFECT_PUBLISHED" and not answer.duplicate
    again = server.call(f"{CONTENT}/IngestDelivery", first)
    assert plain(again) == plain(answer), "the same delivery again must get its first answer"
    repeated = server.call(f"{CONTENT}/IngestDelivery", delivery(3, dedup="python-1"))
    assert repeated.duplicate and repeated.delivery_id == first["delivery_id"] and not repeated.outcomes
    server.call(f"{CONTENT}/IngestDelivery", second)

    change = next(watched)
    watched.cancel()
    assert change.delivery_id == first["delivery_id"] and change.change.key.id == str(2**60 + 1)
    resumed = {"client_id": CLIENT, "source_id": "journal", "resume_token": change.resume_token}
    watched = server.stream(f"{CONTENT}/WatchChanges", resumed)
    assert next(watched).delivery_id == second["delivery_id"]
    watched.cancel()

    key = first["changes"][0]["key"]
    entry = server.call(f"{CONTENT}/GetEntry", {"client_id": CLIENT, "key": key}).entry
    assert entry.content.fields_json == b'{"exact":9007199254740993}', entry.content.fields_json
    by_tag = server.call(f"{CONTENT}/ListEntries", {"client_id": CLIENT, "tag": "python"}).entries
    assert len(by_tag) == 2, len(by_tag)


def content_invalidation(server):
    key = delivery(1)["changes"][0]["key"]
    request = {"client_id": CLIENT, "request_id": uuid.uuid4().hex, "keys": [key]}
    for _ in range(2):
        assert server.call(f"{CONTENT}/InvalidateEntries", request).invalidated == 1, "not once in effect"
    reused = server.refused(f"{CONTENT}/InvalidateEntries", {**request, "rebuild": True}, "FAILED_PRECONDITION")
    assert reused.reason
    stale = {"client_id": CLIENT, "key": key}
    server.refused(f"{CONTENT}/GetEntry", stale, "NOT_FOUND")
    assert server.call(f"{CONTENT}/GetEntry", {**stale, "include_expired": True}).entry.content.title


def site(server, name):
    sites = server.call(f"{BUILD}/ListSites", {"client_id": CLIENT}).sites
    return next(found for found in sites if found.site_id == name)


def idle(server, name):
    def look():
        found = site(server, name)
        return None if found.HasField("pending_batch") or found.HasField("running_build") else found

    return eventually(f"{name} to be idle", look)


def in_state(server, name, state):
    """The newest build of a site, once it is in this state."""

    def look():
        builds = server.call(f"{BUILD}/ListBuilds", {"client_id": CLIENT, "site_id": name}).builds
        return builds[0] if builds and word(builds[0], "state") == state else None

    return eventually(f"a build of {name} in {state}", look)


def build_www(server):
    """A build by hand, watched; then back to the one before."""
    before = idle(server, "www").live_build.build_id
    watched = server.stream(f"{BUILD}/WatchBuilds", {"client_id": CLIENT, "site_id": "www"})
    trigger = {"client_id": CLIENT, "site_id": "www", "request_id": uuid.uuid4().hex, "reason": "compatibility"}
    batch = server.call(f"{BUILD}/TriggerBuild", trigger).batch
    assert server.call(f"{BUILD}/TriggerBuild", trigger).batch.batch_id == batch.batch_id, "not once in effect"
    seen = next(message.build for message in watched if message.HasField("build"))
    watched.cancel()
    assert seen.site_id == "www" and seen.batch_id == batch.batch_id
    live = eventually("the triggered build to be live", lambda: live_after(server, before))
    named = {"client_id": CLIENT, "build_id": live.build_id}
    found = server.call(f"{BUILD}/GetBuild", named).build
    assert word(found, "state") == "BUILD_STATE_SUCCEEDED" and found.live and found.entries >= 4, plain(found)
    assert found.decisions and found.site_path
    assert len(pages(server, f"{BUILD}/ListBuilds", {"client_id": CLIENT}, "builds")) >= 2
    ended = server.refused(f"{BUILD}/CancelBuild", {**named, "request_id": uuid.uuid4().hex}, "FAILED_PRECONDITION")
    assert ended.reason == "BUILD_ENDED", ended
    done = server.refused(f"{BUILD}/RetryBuild", {**named, "request_id": uuid.uuid4().hex}, "FAILED_PRECONDITION")
    assert done.reason == "ALREADY_SUCCEEDED", done

    back = {"client_id": CLIENT, "site_id": "www", "request_id": uuid.uuid4().hex}
    rolled = server.call(f"{BUILD}/RollbackSite", back).build
    assert rolled.build_id == before and rolled.live, (rolled.build_id, before)
    assert site(server, "www").live_build.build_id == before
    server.call(f"{BUILD}/RollbackSite", {**back, "request_id": uuid.uuid4().hex, "build_id": live.build_id})


def live_after(server, before):
    live = site(server, "www").live_build
    return live if live.build_id and live.build_id != before else None


def build_slow(server):
    """A build that takes a minute is cancelled, tried again, and cancelled again."""
    running = in_state(server, "slow", "BUILD_STATE_RUNNING")
    cancel = {"client_id": CLIENT, "build_id": running.build_id, "request_id": uuid.uuid4().hex, "reason": "too slow"}
    assert server.call(f"{BUILD}/CancelBuild", cancel).build.build_id == running.build_id
    in_state(server, "slow", "BUILD_STATE_CANCELLED")
    retry = {"client_id": CLIENT, "build_id": running.build_id, "request_id": uuid.uuid4().hex}
    batch = server.call(f"{BUILD}/RetryBuild", retry).batch
    assert batch.site_id == "slow" and batch.changes == 1, plain(batch)
    second = in_state(server, "slow", "BUILD_STATE_RUNNING")
    assert second.build_id != running.build_id
    cancel.update(build_id=second.build_id, request_id=uuid.uuid4().hex)
    server.call(f"{BUILD}/CancelBuild", cancel)
    in_state(server, "slow", "BUILD_STATE_CANCELLED")


def build_later(server):
    """A change that waits for an hour is seen waiting, held, and hurried."""
    named = {"client_id": CLIENT, "site_id": "later"}
    waiting = eventually("the change to wait", lambda: site(server, "later").pending_batch.changes == 1)
    assert waiting
    batch = server.call(f"{BUILD}/GetPendingBatch", named).batch
    assert word(batch, "state") == "BATCH_STATE_PENDING" and batch.due_at.seconds > time.time() + 60
    assert len(batch.changed_keys) == 1 and batch.changed_keys[0].source_id == "stories"

    write = lambda: {**named, "request_id": uuid.uuid4().hex}  # noqa: E731
    paused = server.call(f"{BUILD}/PauseSite", {**write(), "reason": "compatibility"}).site
    assert paused.paused and paused.pause_reason == "compatibility"
    held = server.refused(f"{BUILD}/FlushBatch", write(), "FAILED_PRECONDITION")
    assert held.reason == "SITE_PAUSED", held
    assert not server.call(f"{BUILD}/ResumeSite", write()).site.paused
    assert server.call(f"{BUILD}/FlushBatch", write()).batch.batch_id == batch.batch_id
    idle(server, "later")
    nothing = server.refused(f"{BUILD}/FlushBatch", write(), "NOT_FOUND")
    assert nothing.reason == "NOT_FOUND"


def build_queue(server):
    """Nothing is dead, and sending nothing back is no error; only a key for all clients may ask."""
    dead = server.call(f"{BUILD}/ListDeadLetters", {"page_size": 5})
    assert not dead.dead_letters and dead.total == 0, plain(dead)
    assert server.call(f"{BUILD}/RedriveDeadLetters", {}).redriven == 0
    server.refused(f"{BUILD}/ListDeadLetters", {}, "PERMISSION_DENIED", key=SETUP["reader"])
    wrong = server.refused(f"{BUILD}/ListDeadLetters", {"page_size": -1}, "INVALID_ARGUMENT")
    assert wrong.fields == ["page_size"], wrong


def control(server):
    first = POSTED["journal"][0]["delivery_id"]
    named = {"client_id": CLIENT, "delivery_id": first}

    def live():
        receipt = server.call(f"{CONTROL}/GetReceipt", named).receipt
        return receipt if word(receipt, "progress") == "PROGRESS_LIVE" else None

    receipt = eventually("the receipt to be live", live)
    stages = [stage.name for stage in receipt.stages]
    assert stages[:2] == ["received", "stored"], stages
    assert receipt.changes[0].sites[0].build_id.startswith("bld_"), plain(receipt)
    batches = server.call(f"{BUILD}/ListDeliveryBatches", named).batches
    assert any(item.batch.site_id == "www" and word(item.batch, "state") == "BATCH_STATE_SUCCEEDED" for item in batches)
    listed = pages(server, f"{CONTROL}/ListReceipts", {"client_id": CLIENT}, "receipts")
    assert first in {found.delivery_id for found in listed}
    status = server.call(f"{CONTROL}/GetSystemStatus", {})
    assert status.healthy and status.engine == "embedded", plain(status)
    assert {found.site_id for found in status.sites} >= {"www", "slow", "later"}


def refusals(server):
    """Who may not, and what is malformed, is told in google.rpc words."""
    for name in server.methods("freshet."):
        for key in ("", "fk_nobody_has_this_key"):
            told = server.refused(name, {}, "UNAUTHENTICATED", key=key)
            assert told.reason == "UNAUTHENTICATED", (name, told)
    reader = SETUP["reader"]
    pause = {"client_id": CLIENT, "site_id": "www"}
    assert server.refused(f"{BUILD}/PauseSite", pause, "PERMISSION_DENIED", key=reader).reason == "FORBIDDEN"
    foreign = {"client_id": SETUP["other_client"]}
    server.refused(f"{CONTENT}/ListEntries", foreign, "PERMISSION_DENIED", key=reader)
    assert server.call(f"{CONTENT}/ListEntries", {"client_id": CLIENT}, key=reader).entries
    wrong = server.refused(f"{CONTENT}/ListEntries", {"client_id": "../etc"}, "INVALID_ARGUMENT")
    assert wrong.fields == ["client_id"], wrong
    wrong = server.refused(f"{CONTENT}/ListEntries", {"client_id": CLIENT, "page_size": -1}, "INVALID_ARGUMENT")
    assert wrong.fields == ["page_size"], wrong
    broken = delivery(9)
    broken["changes"][0]["content"]["content_hash"] = ""
    wrong = server.refused(f"{CONTENT}/IngestDelivery", broken, "INVALID_ARGUMENT")
    assert wrong.fields == ["changes[0].content.content_hash"], wrong


def main():
    server = Server(SETUP["address"], SETUP["root"])
    parts = [health, validation, content_deliveries, content_entries, control, build_later, build_slow, build_www]
    parts += [build_queue]
    parts += [content_feed, content_invalidation, refusals]
    for part in parts:
        part(server)
        print(f"ok {part.__name__}")
    every = server.methods("freshet.")
    missing = sorted(set(every) - server.called)
    assert not missing, f"never called: {missing}"
    print(f"every one of {len(every)} rpcs was called")


main()
