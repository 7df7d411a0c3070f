use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use super::{Embedded, EmbeddedError};

/// A folder that every user may enter.
fn open_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

async fn run(embedded: &Embedded, sql: &str) -> Vec<String> {
    let (client, connection) = tokio_postgres::connect(&embedded.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let rows = client.simple_query(sql).await.unwrap();
    rows.iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .collect()
}

fn kill(pid: i32) {
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[tokio::test]
async fn what_was_stored_is_there_at_the_next_start() {
    let dir = open_dir();
    let data_dir = dir.path().join("data");
    let first = Embedded::start(&data_dir).await.unwrap();
    assert!(first.version().starts_with("PostgreSQL "), "{}", first.version());
    assert_eq!(first.notes(), [""; 0]);
    run(&first, "create table kept (word text); insert into kept values ('here')").await;
    first.stop().await.unwrap();

    let second = Embedded::start(&data_dir).await.unwrap();
    assert_eq!(run(&second, "select word from kept").await, ["here"]);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn commits_are_durable_and_no_network_is_listened_on() {
    let dir = open_dir();
    let embedded = Embedded::start(dir.path()).await.unwrap();
    let settings = "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings where name in \
                    ('fsync', 'full_page_writes', 'synchronous_commit', 'listen_addresses')";
    let found = run(&embedded, settings).await;
    assert_eq!(found, ["fsync=on full_page_writes=on listen_addresses= synchronous_commit=on"]);
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_folder_in_use_is_refused_with_the_process_that_uses_it() {
    let dir = open_dir();
    let embedded = Embedded::start(dir.path()).await.unwrap();
    let refused = Embedded::start(dir.path()).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("in use by process {}", std::process::id())), "{refused}");
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn another_process_finds_the_running_server() {
    let dir = open_dir();
    assert_eq!(Embedded::url_of_running(dir.path()), None);
    let embedded = Embedded::start(dir.path()).await.unwrap();
    assert_eq!(Embedded::url_of_running(dir.path()), Some(embedded.url()));
    embedded.stop().await.unwrap();
    // What another test starts just now holds for a moment what we had open.
    testkit::until("nobody is found", async || Embedded::url_of_running(dir.path()).is_none().then_some(()))
        .await;
}

#[tokio::test]
async fn a_dropped_server_makes_room_for_the_next() {
    let dir = open_dir();
    let first = Embedded::start(dir.path()).await.unwrap();
    let pid = first.pid().unwrap();
    drop(first);
    let second = Embedded::start(dir.path()).await.unwrap();
    assert_ne!(second.pid().unwrap(), pid);
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_restarts_with_what_was_committed() {
    let dir = open_dir();
    let mut embedded = Embedded::start(dir.path()).await.unwrap();
    run(&embedded, "create table kept (word text); insert into kept values ('committed')").await;
    kill(embedded.pid().unwrap());
    embedded.ended().await;
    embedded.restart().await.unwrap();
    assert_eq!(run(&embedded, "select word from kept").await, ["committed"]);
    embedded.stop().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_that_lost_its_supervisor_is_taken_over() {
    let dir = open_dir();
    let first = Embedded::start(dir.path()).await.unwrap();
    let server = first.pid().unwrap();
    let supervisor = i32::try_from(first.server.supervisor.id().unwrap()).unwrap();
    let children = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).unwrap();
    kill(supervisor);
    children.split(' ').filter_map(|pid| pid.parse().ok()).filter(|pid| *pid != server).for_each(kill);
    drop(first);
    // Only a live process has a working directory; one that ended may wait as a zombie for init.
    let works_in = || fs::read_link(format!("/proc/{server}/cwd"));
    assert!(works_in().is_ok(), "the server outlives them");

    let second = Embedded::start(dir.path()).await.unwrap();
    assert!(works_in().is_err(), "the old server is gone");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_stale_pid_that_now_is_another_process_does_not_hinder() {
    let dir = open_dir();
    let first = Embedded::start(dir.path()).await.unwrap();
    let pid_file = dir.path().join("postgres/cluster/postmaster.pid");
    let text = fs::read_to_string(&pid_file).unwrap();
    first.stop().await.unwrap();
    let server_line = text.split_once('\n').unwrap().1;
    // A process of the server's own user, as a reused id may be: PostgreSQL alone would refuse to start.
    let mut other = super::Account::choose(Path::new("/")).await.unwrap().command("cat");
    let mut other = other.stdin(std::process::Stdio::piped()).spawn().unwrap();
    fs::write(&pid_file, format!("{}\n{server_line}", other.id().unwrap())).unwrap();

    let second = Embedded::start(dir.path()).await.unwrap();
    assert!(other.try_wait().unwrap().is_none(), "the other process was left alone");
    second.stop().await.unwrap();
    other.kill().await.unwrap();
}

#[tokio::test]
async fn an_unfinished_cluster_is_made_anew() {
    let dir = open_dir();
    let unfinished = dir.path().join("postgres/cluster.unfinished");
    let first = Embedded::start(dir.path()).await.unwrap();
    first.stop().await.unwrap();
    fs::rename(dir.path().join("postgres/cluster"), &unfinished).unwrap();
    fs::remove_file(unfinished.join("PG_VERSION")).unwrap();

    let second = Embedded::start(dir.path()).await.unwrap();
    assert!(!unfinished.exists());
    second.stop().await.unwrap();
}

#[tokio::test]
async fn a_cluster_of_another_version_is_refused_with_advice() {
    let dir = open_dir();
    Embedded::start(dir.path()).await.unwrap().stop().await.unwrap();
    fs::write(dir.path().join("postgres/cluster/PG_VERSION"), "9\n").unwrap();
    let refused = Embedded::start(dir.path()).await.unwrap_err();
    assert!(matches!(refused, EmbeddedError::OtherVersion { cluster: 9, .. }), "{refused}");
    assert!(refused.to_string().contains("install the server of PostgreSQL 9"), "{refused}");
}

#[tokio::test]
async fn a_broken_setting_is_reported_with_what_the_server_says() {
    let dir = open_dir();
    Embedded::start(dir.path()).await.unwrap().stop().await.unwrap();
    let settings = dir.path().join("postgres/cluster/postgresql.conf");
    fs::write(&settings, "shared_buffers = plenty\n").unwrap();
    let refused = Embedded::start(dir.path()).await.unwrap_err().to_string();
    assert!(refused.contains("shared_buffers") && refused.contains("postgres.log"), "{refused}");
}

#[tokio::test]
async fn any_folder_name_works() {
    let dir = open_dir();
    let data_dir = dir.path().join("a, b's \"ü\" 100%:5432");
    let embedded = Embedded::start(&data_dir).await.unwrap();
    assert_eq!(run(&embedded, "select current_database()").await, ["app"]);
    embedded.stop().await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_works() {
    let dir = open_dir();
    let data_dir = dir.path().join("d".repeat(120));
    for _ in 0..2 {
        let embedded = Embedded::start(&data_dir).await.unwrap();
        assert_eq!(run(&embedded, "select current_database()").await, ["app"]);
        let socket_dir = fs::read_link(data_dir.join("postgres/socket-elsewhere")).unwrap();
        assert_eq!(fs::metadata(&socket_dir).unwrap().permissions().mode() & 0o777, 0o700);
        embedded.stop().await.unwrap();
        fs::remove_dir(&socket_dir).unwrap();
    }
}

#[tokio::test]
async fn a_folder_that_the_servers_user_cannot_enter_works() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let data_dir = dir.path().join("data");
    let embedded = Embedded::start(&data_dir).await.unwrap();
    assert_eq!(run(&embedded, "select current_database()").await, ["app"]);
    let link = fs::read_link(data_dir.join("postgres"));
    // Only root starts the server as somebody else.
    assert_eq!(link.is_ok(), is_root());
    assert_eq!(embedded.notes().len(), usize::from(is_root()));
    embedded.stop().await.unwrap();

    // The second start goes by the link.
    let embedded = Embedded::start(&data_dir).await.unwrap();
    assert_eq!(embedded.notes(), [""; 0]);
    embedded.stop().await.unwrap();
    if let Ok(moved) = link {
        fs::remove_dir_all(&moved).unwrap();
        let refused = Embedded::start(&data_dir).await.unwrap_err().to_string();
        assert!(refused.contains("which is gone"), "{refused}");
    }
}

#[tokio::test]
async fn a_throwaway_server_leaves_nothing() {
    let embedded = Embedded::start_throwaway().await.unwrap();
    assert_eq!(run(&embedded, "select current_database()").await, ["app"]);
    let home = embedded.place.home.path.clone();
    assert!(home.exists());
    embedded.stop().await.unwrap();
    assert!(!home.exists());
}
