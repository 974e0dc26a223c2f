//! Writing the pages.

use std::path::Path;

use minijinja::Environment;
use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

use super::item::{Item, Library, Section};
use super::{RenderError, SiteInfo, Summary};

/// Entries on one page of a section.
const PAGE_SIZE: usize = 60;

/// Entries of a section on the front page.
const FRONT_MAX: usize = 12;

/// The sitemap protocol allows no more.
const SITEMAP_MAX: usize = 50_000;

const STYLE: &str = include_str!("templates/style.css");

const TEMPLATES: [(&str, &str); 10] = [
    ("base.html", include_str!("templates/base.html")),
    ("cards.html", include_str!("templates/cards.html")),
    ("body.html", include_str!("templates/body.html")),
    ("index.html", include_str!("templates/index.html")),
    ("section.html", include_str!("templates/section.html")),
    ("article.html", include_str!("templates/article.html")),
    ("product.html", include_str!("templates/product.html")),
    ("document.html", include_str!("templates/document.html")),
    ("404.html", include_str!("templates/404.html")),
    ("sitemap.xml", include_str!("templates/sitemap.xml")),
];

#[derive(Serialize)]
struct SiteView<'a> {
    title: &'a str,
    base_path: &'a str,
    built_at: &'a str,
    built_label: String,
    build_id: &'a str,
    entries: u64,
    menu: Vec<SectionView<'a>>,
}

#[derive(Clone, Serialize)]
struct SectionView<'a> {
    id: &'a str,
    title: &'a str,
    href: String,
    total: usize,
    items: Vec<&'a Item>,
}

#[derive(Serialize)]
struct Page<'a, T: Serialize> {
    /// Made once: making it for each of thousands of pages would take longer than the pages.
    site: &'a Value,
    /// From the page back to the site's root: empty, or `../` for each folder.
    root: String,
    /// The section that the page belongs to.
    section: &'a str,
    page: T,
}

#[derive(Serialize)]
struct FrontPage<'a> {
    sections: Vec<SectionView<'a>>,
    lead: Option<&'a Item>,
}

#[derive(Serialize)]
struct SectionPage<'a> {
    heading: &'a str,
    items: &'a [Item],
    total: usize,
    number: usize,
    last: usize,
    newer: Option<String>,
    older: Option<String>,
}

#[derive(Serialize)]
struct ItemPage<'a> {
    item: &'a Item,
    section_title: &'a str,
    more: Vec<&'a Item>,
}

#[derive(Serialize)]
struct ErrorPage<'a> {
    style: &'a str,
}

#[derive(Serialize)]
struct SitemapEntry<'a> {
    loc: String,
    lastmod: &'a str,
}

#[derive(Serialize)]
struct Sitemap<'a> {
    urls: Vec<SitemapEntry<'a>>,
}

#[derive(Serialize)]
struct Marker<'a> {
    build_id: &'a str,
    batch_id: &'a str,
    built_at: &'a str,
    entries: u64,
}

/// Writes the whole site.
pub(super) fn write(
    info: &SiteInfo,
    library: &Library,
    folder: &Path,
    keep_going: &dyn Fn() -> bool,
) -> Result<Summary, RenderError> {
    let mut templates = Environment::new();
    for (name, source) in TEMPLATES {
        templates.add_template(name, source)?;
    }
    let menu: Vec<SectionView<'_>> = Section::ALL
        .into_iter()
        .filter(|section| !library.section(*section).is_empty())
        .map(|section| view(library, section, FRONT_MAX))
        .collect();
    let site = SiteView {
        title: &info.title,
        base_path: &info.base_path,
        built_at: &info.built_at,
        built_label: info.built_at.get(..16).unwrap_or(&info.built_at).replace('T', " "),
        build_id: &info.build_id,
        entries: library.entries,
        menu: menu.iter().map(|section| SectionView { items: Vec::new(), ..section.clone() }).collect(),
    };
    let mut writer = Writer { templates, site: Value::from(Serde(&site)), folder, keep_going, pages: 0 };
    writer.front(menu, library)?;
    for section in Section::ALL {
        writer.section(library, section)?;
        if section.has_pages() {
            writer.items(library, section)?;
        }
    }
    writer.rest(info, library)?;
    Ok(Summary { entries: library.entries, pages: writer.pages })
}

fn view(library: &Library, section: Section, max: usize) -> SectionView<'_> {
    let items = library.section(section);
    SectionView {
        id: section.folder(),
        title: section.title(),
        href: format!("{}/", section.folder()),
        total: items.len(),
        items: items.iter().take(max).collect(),
    }
}

struct Writer<'a> {
    templates: Environment<'a>,
    site: Value,
    folder: &'a Path,
    keep_going: &'a dyn Fn() -> bool,
    pages: u64,
}

impl<'a> Writer<'a> {
    fn page<T: Serialize>(&mut self, template: &str, folder: &str, section: &str, own: T) -> Result<(), RenderError> {
        if !(self.keep_going)() {
            return Err(RenderError::Stopped);
        }
        let depth = if folder.is_empty() { 0 } else { folder.split('/').count() };
        let page = Page { site: &self.site, root: "../".repeat(depth), section, page: own };
        let html = self.templates.get_template(template)?.render(Serde(&page))?;
        let target = self.folder.join(folder);
        std::fs::create_dir_all(&target)?;
        std::fs::write(target.join("index.html"), html)?;
        self.pages += 1;
        Ok(())
    }

    fn front(&mut self, mut sections: Vec<SectionView<'a>>, library: &'a Library) -> Result<(), RenderError> {
        let with_picture = |item: &&Item| item.image.is_some();
        let articles = library.section(Section::Articles);
        let lead = articles.iter().take(FRONT_MAX).find(with_picture).or_else(|| articles.first());
        let lead = lead.or_else(|| library.section(Section::Products).iter().take(FRONT_MAX).find(with_picture));
        for section in &mut sections {
            // What leads the page does not come a second time, unless nothing else would be there.
            if section.items.len() > 1 {
                section.items.retain(|item| lead.is_none_or(|lead| !std::ptr::eq(*item, lead)));
            }
        }
        self.page("index.html", "", "", FrontPage { sections, lead })
    }

    fn section(&mut self, library: &Library, section: Section) -> Result<(), RenderError> {
        let items = library.section(section);
        let last = items.len().div_ceil(PAGE_SIZE);
        let base = section.folder();
        let place = |number: usize| match number {
            1 => base.to_owned(),
            number => format!("{base}/page/{number}"),
        };
        for (position, chunk) in items.chunks(PAGE_SIZE).enumerate() {
            let number = position + 1;
            let own = SectionPage {
                heading: section.title(),
                items: chunk,
                total: items.len(),
                number,
                last,
                newer: (number > 1).then(|| format!("{}/", place(number - 1))),
                older: (number < last).then(|| format!("{}/", place(number + 1))),
            };
            self.page("section.html", &place(number), base, own)?;
        }
        Ok(())
    }

    fn items(&mut self, library: &Library, section: Section) -> Result<(), RenderError> {
        let template = match section {
            Section::Articles => "article.html",
            Section::Products => "product.html",
            _ => "document.html",
        };
        let items = library.section(section);
        for (position, item) in items.iter().enumerate() {
            // The next ones in the list, and after its end the first ones.
            let more = items.iter().cycle().skip(position + 1).take(3.min(items.len() - 1)).collect();
            let own = ItemPage { item, section_title: section.title(), more };
            self.page(template, &item.folder, section.folder(), own)?;
        }
        Ok(())
    }

    fn rest(&mut self, info: &SiteInfo, library: &Library) -> Result<(), RenderError> {
        std::fs::write(self.folder.join("style.css"), STYLE)?;
        let page =
            Page { site: &self.site, root: info.base_path.clone(), section: "", page: ErrorPage { style: STYLE } };
        let html = self.templates.get_template("404.html")?.render(Serde(&page))?;
        std::fs::write(self.folder.join("404.html"), html)?;
        let prefix = format!("{}{}", info.site_url.trim_end_matches('/'), info.base_path);
        let mut urls = vec![SitemapEntry { loc: prefix.clone(), lastmod: &info.built_at }];
        let pages = Section::ALL.into_iter().filter(|section| section.has_pages());
        for item in pages.flat_map(|section| library.section(section)).take(SITEMAP_MAX - 1) {
            urls.push(SitemapEntry { loc: format!("{prefix}{}", item.href), lastmod: &item.updated_at });
        }
        let xml = self.templates.get_template("sitemap.xml")?.render(Serde(&Sitemap { urls }))?;
        std::fs::write(self.folder.join("sitemap.xml"), xml)?;
        let marker = Marker {
            build_id: &info.build_id,
            batch_id: &info.batch_id,
            built_at: &info.built_at,
            entries: library.entries,
        };
        let json = serde_json::to_vec_pretty(&marker).map_err(std::io::Error::from)?;
        std::fs::write(self.folder.join("_freshet.json"), json)?;
        Ok(())
    }
}
