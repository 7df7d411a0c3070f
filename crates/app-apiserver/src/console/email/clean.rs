//! Foreign HTML, cleaned within bounds of size, depth and time, off the threads that answer requests. What exceeds them
//! is not cleaned: the parser takes time quadratic in the depth of elements, formatting and attributes, and cannot be
//! interrupted between two reads of its input.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ammonia::Builder;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Elements within each other.
const DEPTH_MAX: usize = 256;
/// Start tags and end tags. Mails have a few thousand.
const TAGS_MAX: usize = 20_000;
/// For reading the HTML. A mail of the usual form takes some milliseconds.
const TIME_MAX: Duration = Duration::from_millis(300);
/// For one of the [`AT_ONCE`] to end.
const WAIT_MAX: Duration = Duration::from_millis(500);
const AT_ONCE: usize = 2;
/// Between two looks at the clock.
const CHUNK_BYTES: usize = 256;

static CLEANERS: Semaphore = Semaphore::const_new(AT_ONCE);

/// The HTML as `cleaner` leaves it. Nothing where it exceeds a bound. Dropped, it stops.
pub(super) async fn clean(cleaner: Builder<'static>, html: String) -> Option<String> {
    let permit = timeout(WAIT_MAX, CLEANERS.acquire()).await.ok()?.ok()?;
    let stop = StopOnDrop::default();
    let is_stopped = Arc::clone(&stop.0);
    let work = move || {
        // Held by the work, which may outlive its client for one chunk.
        let _permit = permit;
        if !is_shallow(&html) {
            return None;
        }
        let until = Instant::now() + TIME_MAX;
        let source = Bounded { rest: html.as_bytes(), until, is_stopped };
        cleaner.clean_from_reader(source).ok().map(|document| document.to_string())
    };
    // A panic of the parser is a mail that cannot be shown.
    tokio::task::spawn_blocking(work).await.ok().flatten()
}

#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The HTML in chunks, until its time is over or its client gone.
struct Bounded<'a> {
    rest: &'a [u8],
    until: Instant,
    is_stopped: Arc<AtomicBool>,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_stopped.load(Ordering::Relaxed) || Instant::now() > self.until {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let end = buffer.len().min(CHUNK_BYTES);
        self.rest.read(&mut buffer[..end])
    }
}

/// Elements without an end tag.
const VOID: &[&str] = &[
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
];
/// Elements whose end tag may be left out.
const OPTIONAL_END: &[&str] = &["dd", "dt", "li", "option", "p", "tbody", "td", "tfoot", "th", "thead", "tr"];
/// Elements that hold no tags.
const RAW: &[&str] = &["script", "style", "textarea", "title", "xmp"];
/// An element for which the cleaner looks at all elements around it.
const SLOW: &str = "selectedcontent";

/// Whether tags and depth are within bounds, by a look that is linear and knows less than the parser: crafted markup may
/// pass, and then meets the bound of time.
fn is_shallow(html: &str) -> bool {
    let mut open: Vec<String> = Vec::new();
    let mut tags = 0;
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let is_end = rest.starts_with('/');
        let tag = rest.strip_prefix('/').unwrap_or(rest);
        if !tag.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let name_end = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
        let name = tag[..name_end].to_ascii_lowercase();
        tags += 1;
        if tags > TAGS_MAX || name == SLOW {
            return false;
        }
        if is_end {
            if let Some(place) = open.iter().rposition(|other| *other == name) {
                open.truncate(place);
            }
            continue;
        }
        let end = tag.find('>').unwrap_or(tag.len());
        if tag[..end].ends_with('/') || VOID.contains(&name.as_str()) {
            continue;
        }
        if RAW.contains(&name.as_str()) {
            rest = after_raw(&tag[end..], &name);
            continue;
        }
        let is_optional = |other: &&String| OPTIONAL_END.contains(&other.as_str());
        let ended = open.iter().rev().take_while(is_optional).position(|other| *other == name);
        if let Some(above) = ended {
            open.truncate(open.len() - above - 1);
        }
        open.push(name);
        if open.len() > DEPTH_MAX {
            return false;
        }
    }
    true
}

/// What follows the content of a raw element.
fn after_raw<'a>(content: &'a str, name: &str) -> &'a str {
    let mut rest = content;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        if rest.get(..name.len()).is_some_and(|end| end.eq_ignore_ascii_case(name)) {
            return rest;
        }
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_of_the_usual_form_are_shallow() {
        let row = "<tr><td align=left><p>a<p>b<br><img src=x></td><td><a href='y'>c</a></td></tr>";
        let newsletter = format!("<!-- <div> --><style>a<b></style><table>{}</table>", row.repeat(1500));
        assert!(is_shallow(&newsletter));
        assert!(is_shallow(&"<tr><td>a<td>b".repeat(1000)) && is_shallow(&"<li>x<p>y".repeat(1000)));
        assert!(is_shallow(&format!("{}x{}", "<div>".repeat(DEPTH_MAX), "</div>".repeat(DEPTH_MAX))));
        assert!(
            is_shallow(&"a < b ".repeat(50_000)) && is_shallow("<") && is_shallow("</") && is_shallow("<a")
        );
    }

    #[test]
    fn markup_beyond_a_bound_is_not_shallow() {
        assert!(!is_shallow(&"<div>".repeat(DEPTH_MAX + 1)));
        assert!(!is_shallow(&"<p><b>".repeat(DEPTH_MAX)));
        assert!(!is_shallow(&"<b></b>".repeat(TAGS_MAX / 2 + 1)));
        assert!(!is_shallow("<SelectedContent>"));
    }

    /// 500 kB each, of what makes the parser slow.
    fn slow_markup() -> Vec<String> {
        let numbered =
            |piece: &dyn Fn(usize) -> String| (0..500_000 / piece(99_999).len()).map(piece).collect();
        vec![
            "<div>".repeat(100_000),
            "<b>".repeat(166_666),
            "<table>".repeat(71_428),
            "<table><b>x</b>".repeat(33_333),
            "</p>".repeat(125_000),
            "<selectedcontent>".repeat(29_411),
            format!("<a{}>", " x".repeat(250_000)),
            numbered(&|n| format!("<b a={n}>")),
            numbered(&|n| format!("<p><b a={n}>")),
            numbered(&|n| format!("<a b{n}=c>x</a>")),
            format!("<a {}>", numbered(&|n| format!("b{n}=c "))),
            // The look is mistaken in these: it takes for text what are elements.
            format!("<svg><style>{}", "<g>".repeat(166_000)),
            format!("<svg><style>{}", (0..40_000).map(|n| format!("<b a={n}>")).collect::<String>()),
            format!("<svg><title>{}", "<div>".repeat(100_000)),
            format!("<!--><!--{}", "<div>".repeat(100_000)),
        ]
    }

    #[tokio::test]
    async fn any_markup_is_cleaned_or_refused_before_long() {
        for html in slow_markup() {
            let start: String = html.chars().take(40).collect();
            let began = Instant::now();
            let cleaned = clean(Builder::default(), html).await;
            let took = began.elapsed();
            println!("{took:>9.1?} {} {start}", if cleaned.is_some() { "cleaned" } else { "refused" });
            // Without bounds these take up to minutes.
            assert!(took < Duration::from_secs(10), "{took:?} {start}");
        }
    }

    #[tokio::test]
    async fn usual_markup_is_cleaned() {
        let cleaned = clean(Builder::default(), "<p>a<script>b</script>".to_owned()).await;
        assert_eq!(cleaned.as_deref(), Some("<p>a</p>"));
    }

    #[test]
    fn reading_ends_with_its_client() {
        let stop = StopOnDrop::default();
        let is_stopped = Arc::clone(&stop.0);
        let until = Instant::now() + Duration::from_secs(3600);
        let mut source = Bounded { rest: &[b'x'; 1000], until, is_stopped };
        let mut buffer = [0; 4096];
        assert_eq!(source.read(&mut buffer).unwrap(), CHUNK_BYTES);
        drop(stop);
        assert_eq!(source.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
