//! What came or goes with messages: files of ours as downloads, by their names; other addresses are told, not linked.

use std::collections::HashMap;

use app_db::media::{self, FileFacts};
use maud::{Markup, html};
use model::Message;
use url::Url;
use uuid::Uuid;

use super::words::{bytes, cut};
use crate::App;
use crate::messages::parse_id;
use crate::problem::Problem;

const NAME_CHARS_MAX: usize = 80;

/// What is known of the files of some messages.
#[derive(Debug, Default)]
pub(super) struct Files(HashMap<Uuid, FileFacts>);

impl Files {
    /// Of each message the first `files_max`.
    pub(super) async fn of(app: &App, messages: &[Message], files_max: usize) -> Result<Self, Problem> {
        let links = messages.iter().flat_map(|message| message.attachments.iter().take(files_max));
        let ids: Vec<Uuid> = links.filter_map(|link| own(link)).collect();
        if ids.is_empty() {
            return Ok(Self::default());
        }
        let facts = media::facts(&*app.database().await?, &ids).await?;
        Ok(Self(facts.into_iter().map(|facts| (facts.id, facts)).collect()))
    }
}

/// A file of ours, by its address.
fn own(link: &str) -> Option<Uuid> {
    parse_id(Url::parse(link).ok()?.path().rsplit_once("/api/media/")?.1)
}

pub(super) fn attachment(link: &str, files: &Files) -> Markup {
    let id = own(link);
    html! {
        @match (id, id.and_then(|id| files.0.get(&id))) {
            (Some(id), Some(facts)) => {
                a href={ "/media/" (id) } {
                    @if facts.filename.is_empty() { "File" } @else { (cut(&facts.filename, NAME_CHARS_MAX)) }
                }
                " " span .quiet { (cut(&facts.content_type, NAME_CHARS_MAX)) ", " (bytes(facts.bytes)) }
            }
            (Some(id), None) => a href={ "/media/" (id) } { "File " (id) },
            (None, _) => code { (link) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_ours_are_links() {
        let id = model::IdGenerator::seeded(1).next(jiff::Timestamp::UNIX_EPOCH, model::Bucket(3));
        let link = format!("https://msg.example/api/media/{id}");
        let unknown = attachment(&link, &Files::default()).into_string();
        assert_eq!(unknown, format!("<a href=\"/media/{id}\">File {id}</a>"));
        let facts = FileFacts {
            id,
            filename: "<b>.pdf".to_owned(),
            content_type: "application/pdf".to_owned(),
            bytes: 12_345,
        };
        let known = attachment(&link, &Files(HashMap::from([(id, facts)]))).into_string();
        assert!(known.contains(">&lt;b&gt;.pdf</a>") && known.contains("application/pdf, 12 kB"), "{known}");
        for foreign in ["https://evil.example/x.png", "javascript:alert(1)", "https://e.example/api/media/x"]
        {
            assert!(!attachment(foreign, &Files::default()).into_string().contains("<a"), "{foreign}");
        }
    }
}
