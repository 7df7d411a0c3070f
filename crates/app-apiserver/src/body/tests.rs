//! Bodies that are late, slow, long or many.

use std::convert::Infallible;

use super::*;

fn budget() -> Budget {
    Budget::of_units(BUDGET_BYTES / BUDGET_UNIT_BYTES)
}

fn no_head() -> Parts {
    http::Request::new(()).into_parts().0
}

fn endless() -> Body {
    let chunks = futures_util::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(&[0; 1024])));
    Body::from_stream(chunks)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408() {
    let stalled = Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>());
    let problem = budget().read(&no_head(), stalled, 1000).await.unwrap_err();
    assert_eq!(problem.status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_unannounced_length_is_cut_off_at_the_limit() {
    let problem = budget().read(&no_head(), endless(), 10_000).await.unwrap_err();
    assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(start_paused = true)]
async fn a_body_below_the_minimum_rate_is_408_after_the_grace() {
    let trickle = |bytes: usize| {
        let seconds = tokio::time::interval(Duration::from_secs(1));
        Body::from_stream(futures_util::stream::unfold(seconds, move |mut seconds| async move {
            seconds.tick().await;
            Some((Ok::<_, Infallible>(Bytes::from(vec![0; bytes])), seconds))
        }))
    };
    for (bytes_per_s, ends_after_s) in [(100, 10), (1000, 10), (2100, 30)] {
        let began = Instant::now();
        let problem = budget().read(&no_head(), trickle(bytes_per_s), 1 << 20).await.unwrap_err();
        let ended = (problem.status(), began.elapsed().as_secs());
        assert_eq!(ended, (StatusCode::REQUEST_TIMEOUT, ends_after_s), "{bytes_per_s}");
    }
}

/// Of so many bytes that count.
async fn read(budget: &Budget, counted: usize) -> Result<ReadBody, StatusCode> {
    let body = Body::from(vec![b'x'; FREE_BYTES + counted]);
    budget.read(&no_head(), body, 1 << 20).await.map_err(|problem| problem.status())
}

#[tokio::test]
async fn bodies_share_a_bounded_memory_and_give_it_back_with_their_last_share() {
    let budget = Budget::of_units(2);
    let first = read(&budget, BUDGET_UNIT_BYTES + 1).await.unwrap();
    assert_eq!(read(&budget, 1).await.unwrap_err(), StatusCode::SERVICE_UNAVAILABLE);
    let share = first.share.clone();
    drop(first);
    assert_eq!(read(&budget, 1).await.unwrap_err(), StatusCode::SERVICE_UNAVAILABLE);
    drop(share);
    assert!(read(&budget, 1).await.is_ok());
}

#[tokio::test]
async fn a_short_body_is_read_while_others_take_all_of_the_memory() {
    let budget = Budget::of_units(1);
    let _all = read(&budget, BUDGET_UNIT_BYTES).await.unwrap();
    assert_eq!(read(&budget, 0).await.unwrap().bytes.len(), FREE_BYTES);
}

#[tokio::test]
async fn a_peer_takes_no_more_than_its_part_of_the_memory() {
    let budget = Budget { peers: Arc::new(Peers::new(1, 2)), ..Budget::of_units(10) };
    let read = async |ip: &str, units: usize| {
        let mut parts = no_head();
        parts.extensions.insert(PeerAddress { ip: ip.parse().unwrap(), is_shared: false });
        let body = Body::from(vec![b'x'; FREE_BYTES + units * BUDGET_UNIT_BYTES]);
        budget.read(&parts, body, 1 << 20).await.map_err(|problem| problem.status())
    };
    let held = read("203.0.113.1", 2).await.unwrap();
    assert_eq!(read("203.0.113.1", 1).await.unwrap_err(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(read("203.0.113.2", 2).await.is_ok());
    drop(held);
    assert!(read("203.0.113.1", 2).await.is_ok());
}

#[tokio::test]
async fn shares_together_give_back_both() {
    let budget = Budget::of_units(2);
    let both = read(&budget, 1).await.unwrap().share.and(read(&budget, 1).await.unwrap().share);
    assert_eq!(budget.units.available_permits(), 0);
    drop(both);
    assert_eq!(budget.units.available_permits(), 2);
}

#[tokio::test]
async fn a_body_that_outgrows_the_memory_gives_back_what_it_had() {
    let budget = Budget::of_units(2);
    let outgrown = budget.read(&no_head(), endless(), 1 << 20).await;
    assert_eq!(outgrown.unwrap_err().status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(budget.units.available_permits(), 2);
}

#[tokio::test(start_paused = true)]
async fn of_a_body_that_cannot_be_taken_the_beginning_is_read() {
    let (beginning, is_whole) = read_little(&mut endless()).await;
    assert_eq!((beginning.len(), is_whole), (FREE_BYTES, false));
    assert_eq!(read_little(&mut Body::from("x")).await, (Bytes::from("x"), true));
    let stalled = futures_util::stream::pending::<Result<Bytes, Infallible>>();
    assert_eq!(read_little(&mut Body::from_stream(stalled)).await, (Bytes::new(), false));
}

#[test]
fn json_may_have_parameters_and_a_suffix() {
    for (content_type, fits) in [
        ("application/json", true),
        ("Application/JSON; charset=utf-8", true),
        ("application/vnd.example+json", true),
        ("text/json", false),
        ("application/x-www-form-urlencoded", false),
    ] {
        let value = http::HeaderValue::from_static(content_type);
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
        assert_eq!(require_json(&headers).is_ok(), fits, "{content_type}");
    }
}
