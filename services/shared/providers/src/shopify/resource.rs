//! Resources that are sent whole and differ only in the names of their members.

use freshet_domain::{Change, Kind};

use super::assets;
use super::context::{Context, check_gid, numeric_id, topic_mismatch};
use crate::Refusal;
use crate::content::ContentBuilder;
use crate::json::Object;

/// How a resource is written.
pub(super) struct Resource {
    pub(super) entry_type: &'static str,
    pub(super) kind: Kind,
    /// Its type in `admin_graphql_api_id`; empty if that is not sent.
    gid: &'static str,
    /// True for ids that are taken whole: GIDs, locales.
    has_text_id: bool,
    id: &'static str,
    title: &'static str,
    slug: &'static str,
    skip: &'static [&'static str],
    volatile: &'static [&'static str],
    /// Members that the body of a deletion never has.
    never_in_deletion: &'static [&'static str],
}

pub(super) const COLLECTION: Resource = Resource {
    entry_type: "collection",
    kind: Kind::Collection,
    gid: "Collection",
    has_text_id: false,
    id: "id",
    title: "title",
    slug: "handle",
    skip: &["title", "handle"],
    volatile: &["updated_at"],
    never_in_deletion: &["title", "handle", "body_html"],
};

pub(super) const COLLECTION_LISTING: Resource =
    Resource { entry_type: "collection_listing", gid: "", id: "collection_id", ..COLLECTION };

pub(super) const METAOBJECT: Resource = Resource {
    entry_type: "metaobject",
    kind: Kind::Document,
    gid: "",
    has_text_id: true,
    id: "id",
    title: "display_name",
    slug: "handle",
    // Who made it is no content.
    skip: &["display_name", "handle", "created_by_staff_id", "created_by_app_id", "created_by_staff", "created_by_app"],
    volatile: &["updated_at"],
    never_in_deletion: &["fields"],
};

pub(super) const THEME: Resource = Resource {
    entry_type: "theme",
    kind: Kind::Settings,
    gid: "",
    has_text_id: false,
    id: "id",
    title: "name",
    slug: "",
    skip: &["name"],
    volatile: &["updated_at", "processing", "previewable"],
    never_in_deletion: &["name"],
};

pub(super) const DOMAIN: Resource =
    Resource { entry_type: "domain", title: "host", skip: &["host"], volatile: &[], never_in_deletion: &[], ..THEME };

pub(super) const LOCALE: Resource =
    Resource { entry_type: "locale", has_text_id: true, id: "locale", title: "locale", skip: &[], ..DOMAIN };

pub(super) const MARKET: Resource = Resource { entry_type: "market", volatile: &[], ..THEME };

pub(super) const LOCATION: Resource =
    Resource { entry_type: "location", gid: "Location", volatile: &["updated_at"], ..THEME };

pub(super) const INVENTORY_ITEM: Resource = Resource {
    entry_type: "inventory_item",
    kind: Kind::Inventory,
    gid: "InventoryItem",
    has_text_id: false,
    id: "id",
    title: "sku",
    slug: "",
    // What the shop pays for it is nobody's business.
    skip: &["cost"],
    volatile: &["updated_at"],
    never_in_deletion: &["sku"],
};

impl Resource {
    fn id(&self, object: &Object<'_>) -> Result<String, Refusal> {
        check_gid_if_named(object, self.gid)?;
        if self.has_text_id {
            Ok(object.id(self.id)?.into_owned())
        } else {
            Ok(numeric_id(object, self.id)?.into_owned())
        }
    }

    /// The resource as it is now.
    pub(super) fn upsert(&self, context: &Context<'_>, object: &Object<'_>) -> Result<Change, Refusal> {
        let key = context.key(self.entry_type, self.id(object)?);
        let version = context.version(object, "updated_at");
        if object.has("variants") || object.has("line_items") {
            return Err(topic_mismatch(object, "variants"));
        }
        if !object.has(self.title) && (self.slug.is_empty() || !object.has(self.slug)) {
            return if object.has("updated_at") {
                Ok(Change::touch(key, self.kind, version))
            } else {
                Err(topic_mismatch(object, self.title))
            };
        }
        let title = object.text_or_empty(self.title).into_owned();
        let slug = if self.slug.is_empty() { String::new() } else { object.text_or_empty(self.slug).into_owned() };
        let builder = ContentBuilder {
            title,
            slug,
            assets: assets::of_one(object.get("image")),
            created_at: object.opt_time("created_at").ok().flatten(),
            updated_at: object.opt_time("updated_at").ok().flatten(),
            ..ContentBuilder::default()
        };
        let content = builder.finish(object, self.skip, self.volatile)?;
        let change = Change::upsert(key, self.kind, version, content);
        Ok(if self.is_hidden(object) { change.as_draft() } else { change })
    }

    /// The resource is gone.
    pub(super) fn delete(&self, context: &Context<'_>, object: &Object<'_>) -> Result<Change, Refusal> {
        let key = context.key(self.entry_type, self.id(object)?);
        for member in self.never_in_deletion {
            if object.has(member) {
                return Err(topic_mismatch(object, member));
            }
        }
        Ok(context.delete(key, self.kind))
    }

    /// True if visitors do not see it. Every resource says so in its own way.
    fn is_hidden(&self, object: &Object<'_>) -> bool {
        let is_false = |name| object.opt_bool(name).ok().flatten() == Some(false);
        let is_other = |object: &Object<'_>, wanted: &str| {
            object
                .get("status")
                .and_then(|status| status.as_str().ok())
                .is_some_and(|s| !s.eq_ignore_ascii_case(wanted))
        };
        match self.entry_type {
            "collection" | "collection_listing" => object.has("published_at") && object.get("published_at").is_none(),
            "metaobject" => {
                let publishable = object
                    .opt_object("capabilities")
                    .ok()
                    .flatten()
                    .and_then(|capabilities| capabilities.opt_object("publishable").ok().flatten());
                publishable.is_some_and(|publishable| is_other(&publishable, "active"))
            }
            "market" => is_other(object, "active"),
            "location" => is_false("active"),
            "locale" => is_false("published"),
            _ => false,
        }
    }
}

fn check_gid_if_named(object: &Object<'_>, gid: &str) -> Result<(), Refusal> {
    if gid.is_empty() { Ok(()) } else { check_gid(object, gid) }
}
