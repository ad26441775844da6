//! Lists of the endpoint: a page, or all of them one after the other.

use anyhow::{Context as _, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::client::Client;
use super::output::{self, Format};
use super::words::count;

/// How much of a list is asked for.
#[derive(Clone, Debug, Args)]
pub(super) struct PageArgs {
    /// Most to show, 1 to 1000
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Go on behind an earlier page: its `nextCursor`
    #[arg(long, value_name = "CURSOR", conflicts_with = "all")]
    cursor: Option<String>,
    /// Follow the list to its end
    #[arg(long)]
    all: bool,
}

impl PageArgs {
    /// The whole list.
    pub const fn everything() -> PageArgs {
        PageArgs { limit: None, cursor: None, all: true }
    }
}

/// The envelope of every list, with the items as they came.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    total: Option<u64>,
    limit: Option<u64>,
    offset: Option<u64>,
    next_cursor: Option<String>,
}

/// A list as the service returned it.
pub(super) struct Listing {
    body: String,
    shown: u64,
    total: Option<u64>,
    next: Option<String>,
}

impl Listing {
    /// Asks for a list.
    pub async fn get(
        client: &Client,
        path: &[&str],
        query: &[(String, String)],
        page: &PageArgs,
    ) -> anyhow::Result<Listing> {
        let mut query = query.to_vec();
        // All of a list comes in the largest pages there are.
        let limit = page.limit.or(page.all.then_some(1000));
        query.extend(limit.map(|n| ("limit".into(), n.to_string())));
        let mut bodies = Vec::new();
        let mut cursor = page.cursor.clone();
        loop {
            let at = cursor.as_ref().map(|c| ("cursor".to_owned(), c.clone()));
            let asked: Vec<_> = query.iter().cloned().chain(at).collect();
            let body = client.api(path, &asked).await?;
            let next = read(&body)?.next_cursor;
            bodies.push(body);
            if !page.all || next.is_none() {
                break;
            }
            if next == cursor {
                bail!("the service at {} gives the same page again and again", client.url());
            }
            cursor = next;
        }
        Listing::of(bodies)
    }

    fn of(mut bodies: Vec<String>) -> anyhow::Result<Listing> {
        let body = match bodies.len() {
            1 => bodies.remove(0),
            _ => {
                let pages = bodies.iter().map(|body| read(body)).collect::<anyhow::Result<Vec<_>>>()?;
                let data: Vec<&RawValue> = pages.iter().flat_map(|page| page.data.iter().copied()).collect();
                let last = pages.last().context("no page")?;
                let whole = Page { data, total: last.total, limit: last.limit, offset: Some(0), next_cursor: None };
                serde_json::to_string(&whole)?
            }
        };
        let page = read(&body)?;
        let (shown, total, next) = (page.data.len() as u64, page.total, page.next_cursor);
        Ok(Listing { body, shown, total, next })
    }

    /// The items.
    pub fn items(&self) -> anyhow::Result<Vec<&RawValue>> {
        Ok(read(&self.body)?.data)
    }

    /// Prints it, for people by `table`; what is not shown is told on standard error.
    pub fn print(&self, format: Format, what: &str, table: impl FnOnce(&[Value]) -> String) -> anyhow::Result<()> {
        output::print(format, &self.body, || {
            let items =
                self.items()?.iter().map(|raw| serde_json::from_str(raw.get())).collect::<Result<Vec<_>, _>>()?;
            Ok(if items.is_empty() { String::new() } else { table(&items) })
        })?;
        if format == Format::Table {
            eprintln!("{}", self.footer(what));
        }
        Ok(())
    }

    fn footer(&self, what: &str) -> String {
        let rest = self.next.as_ref().map(|next| format!("; --all shows the rest, --cursor {next} the next page"));
        match self.total {
            Some(0) => format!("no {what}s"),
            Some(total) if total > self.shown => {
                format!("{} of {}{}", self.shown, count(total, what), rest.unwrap_or_default())
            }
            _ => count(self.shown, what) + &rest.unwrap_or_default(),
        }
    }
}

fn read(body: &str) -> anyhow::Result<Page<'_>> {
    serde_json::from_str(body).context("the service's answer is not a list")
}

/// Text of a member of a member…, or empty.
pub(super) fn text(item: &Value, path: &[&str]) -> String {
    match path.iter().try_fold(item, |value, name| value.get(name)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
