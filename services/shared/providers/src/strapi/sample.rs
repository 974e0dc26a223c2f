//! Articles of the imaginary magazine "Tidewater", as Strapi 5 sends them.

use std::time::Duration;

use freshet_domain::Timestamp;

use super::verify::header_name;
use crate::signature::dedup_key;
use crate::{SampleDelivery, SampleRequest};

/// What can be made.
pub(super) const EVENTS: &[&str] =
    &["entry.publish", "entry.update", "entry.unpublish", "entry.delete", "media.create", "trigger-test"];

struct Article {
    title: &'static str,
    slug: &'static str,
    lead: &'static str,
    body: &'static str,
    picture: &'static str,
    category: &'static str,
    author: &'static str,
}

const ARTICLES: [Article; 6] = [
    Article {
        title: "The potter who works with the tide",
        slug: "the-potter-who-works-with-the-tide",
        lead: "Maren Holt digs her clay at low water and fires it before the next flood.",
        body: "Twice a day the estuary hands Maren Holt her material and twice a day it takes the rest away.\n\n\
               \"You learn not to argue with a timetable,\" she says, and wipes a thumbprint from the rim of a mug \
               that will outlast both of us.",
        picture: "mug.svg",
        category: "Makers",
        author: "Ines Albrecht",
    },
    Article {
        title: "A chair for slow breakfasts",
        slug: "a-chair-for-slow-breakfasts",
        lead: "Steam, ash wood and eleven minutes: how the harbour chair gets its curve.",
        body: "The ash is cut in winter, when it holds least water. Then it waits two years.\n\n\
               After eleven minutes in the steam box it has exactly forty seconds to become a chair.",
        picture: "chair.svg",
        category: "Craft",
        author: "Jonas Vik",
    },
    Article {
        title: "Light you can read the weather by",
        slug: "light-you-can-read-the-weather-by",
        lead: "Three paper lamps, one north window and a week of rain.",
        body: "We hung the new lamps in the studio on the greyest Monday of the year and left them there until \
               Friday.\n\nBy Wednesday nobody reached for the ceiling switch any more.",
        picture: "lamp.svg",
        category: "At home",
        author: "Ines Albrecht",
    },
    Article {
        title: "What the harbour smells of in October",
        slug: "what-the-harbour-smells-of-in-october",
        lead: "Tar, apples, diesel and rain: a walk along the quay before the shops open.",
        body: "At six the ice machine coughs itself awake. At half past, the first van backs up to the fish hall.\n\n\
               Between the two there is a quarter of an hour in which the town belongs to the gulls.",
        picture: "hero.svg",
        category: "Places",
        author: "Tomasz Rey",
    },
    Article {
        title: "Mending is a kind of memory",
        slug: "mending-is-a-kind-of-memory",
        lead: "Lacquer, gold dust and three weeks of patience give a broken cup its second life.",
        body: "The crack is not hidden; it is the reason for looking.\n\nOn the bench lie nine cups, each with a \
               note from its owner. One says only: it was my grandmother's, please hurry slowly.",
        picture: "mug.svg",
        category: "Craft",
        author: "Maren Holt",
    },
    Article {
        title: "Soup for the day after a storm",
        slug: "soup-for-the-day-after-a-storm",
        lead: "Leeks, smoked haddock and whatever the cellar has left.",
        body: "Start with more leeks than seems reasonable and less heat than you are used to.\n\nWhen the kitchen \
               window has steamed up completely, it is ready.",
        picture: "hero.svg",
        category: "At home",
        author: "Jonas Vik",
    },
];

/// Number and text of one sample.
struct Draft<'r> {
    article: &'static Article,
    round: u64,
    request: &'r SampleRequest<'r>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

pub(super) fn make(request: &SampleRequest<'_>) -> Option<SampleDelivery> {
    let count = ARTICLES.len() as u64;
    let draft = Draft {
        article: &ARTICLES[(request.number % count) as usize],
        round: request.number / count,
        request,
        created_at: request.now.minus(Duration::from_secs(3 * 24 * 3600)),
        updated_at: request.now.plus(Duration::from_millis(request.later())),
    };
    let event = EVENTS.iter().copied().find(|event| *event == request.event)?;
    let dispatched_at = draft.updated_at.plus(Duration::from_millis(120));
    let content = match event {
        "trigger-test" => String::new(),
        "media.create" => format!(r#","media":{}"#, draft.file(41 + request.number, true)),
        _ => format!(r#","model":"article","uid":"api::article.article","entry":{}"#, draft.entry(event)),
    };
    let body = format!(r#"{{"event":"{event}","createdAt":"{dispatched_at}"{content}}}"#);
    let mut headers = vec![("connection".to_owned(), "keep-alive".to_owned())];
    if let Some(secret) = request.secret {
        let name = header_name(request.settings);
        let bare = name != "authorization" || secret.contains(' ');
        headers.push((name, if bare { secret.to_owned() } else { format!("Bearer {secret}") }));
    }
    for (name, value) in [
        ("X-Strapi-Event", event),
        ("Content-Type", "application/json"),
        ("accept", "*/*"),
        ("accept-language", "*"),
        ("sec-fetch-mode", "cors"),
        ("user-agent", "node"),
        ("accept-encoding", "gzip, deflate"),
    ] {
        headers.push((name.to_owned(), value.to_owned()));
    }
    Some(SampleDelivery { method: "POST", headers, body: body.into_bytes() })
}

impl Draft<'_> {
    /// The row, in the order in which Strapi writes its members.
    fn entry(&self, event: &str) -> String {
        let number = self.request.number;
        let published_at = match event {
            "entry.update" => "null".to_owned(),
            _ => format!("\"{}\"", self.updated_at.plus(Duration::from_millis(85))),
        };
        let scalars = format!(
            r#""id":{},"documentId":"{}","title":{},"slug":"{}","lead":{},"body":{},"readingMinutes":{},"createdAt":"{}","updatedAt":"{}","publishedAt":{published_at},"locale":"en""#,
            // Each publication makes a new row.
            7 + number * 2 + self.request.revision,
            self.id("article", number),
            quoted(&self.title()),
            self.slug(),
            quoted(self.article.lead),
            quoted(&self.text()),
            3 + number % 5,
            self.created_at,
            self.updated_at,
        );
        // Deletions and unpublications come without what the entry points to.
        if matches!(event, "entry.delete" | "entry.unpublish") {
            return format!("{{{scalars}}}");
        }
        format!(
            r#"{{{scalars},"cover":{},"category":{},"author":{},"localizations":[]}}"#,
            self.file(41 + number, false),
            self.related(3, "category", self.article.category),
            self.related(5, "author", self.article.author),
        )
    }

    /// A file of the media library.
    fn file(&self, id: u64, own_event: bool) -> String {
        let picture = self.article.picture;
        let stem = picture.trim_end_matches(".svg");
        let name = match (own_event, self.request.revision) {
            (true, 0) => format!("{stem}-{}.svg", self.slug()),
            (true, revision) => format!("{stem}-{}-v{}.svg", self.slug(), revision + 1),
            (false, _) => picture.to_owned(),
        };
        let (created_at, updated_at) =
            if own_event { (self.updated_at, self.updated_at) } else { (self.created_at, self.created_at) };
        format!(
            r#"{{"id":{id},"documentId":"{}","name":{},"alternativeText":{},"caption":null,"focalPoint":null,"width":960,"height":640,"formats":null,"hash":"{stem}_98502ad4bc","ext":".svg","mime":"image/svg+xml","size":2.71,"url":{},"previewUrl":null,"provider":"local","provider_metadata":null,"createdAt":"{created_at}","updatedAt":"{updated_at}","publishedAt":"{created_at}"}}"#,
            self.id("file", self.request.number),
            quoted(&name),
            quoted(self.article.lead),
            quoted(&format!("{}/{picture}", self.request.asset_base)),
        )
    }

    fn related(&self, id: u64, what: &str, name: &str) -> String {
        format!(
            r#"{{"id":{id},"documentId":"{}","name":{},"slug":"{}","createdAt":"{at}","updatedAt":"{at}","publishedAt":"{at}"}}"#,
            document_id(&[what.as_bytes(), name.as_bytes()]),
            quoted(name),
            name.to_lowercase().replace(' ', "-"),
            at = self.created_at,
        )
    }

    fn id(&self, what: &str, number: u64) -> String {
        document_id(&[what.as_bytes(), &number.to_be_bytes()])
    }

    fn title(&self) -> String {
        let title = self.article.title;
        if self.round == 0 { title.to_owned() } else { format!("{title}, part {}", self.round + 1) }
    }

    fn slug(&self) -> String {
        let slug = self.article.slug;
        if self.round == 0 { slug.to_owned() } else { format!("{slug}-{}", self.round + 1) }
    }

    fn text(&self) -> String {
        let body = self.article.body;
        match self.request.revision {
            0 => body.to_owned(),
            revision => format!("{body}\n\n*Edition {}: with a few lines added since yesterday.*", revision + 1),
        }
    }
}

/// 24 characters, as Strapi's own.
fn document_id(parts: &[&[u8]]) -> String {
    dedup_key(parts)[..24].to_owned()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
