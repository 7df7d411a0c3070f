//! PgBouncer between us and the database: session mode works, transaction mode is refused before a setting of ours
//! reaches a session that others share.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Stdio;

use app_db::{Error, gauges, migrate, pool};
use testkit::{TestDatabase, free_port, until};
use tokio::process::{Child, Command};

struct Pooler {
    url: String,
    _running: Child,
    _folder: tempfile::TempDir,
}

/// Nothing where PgBouncer is not installed: then there is nothing to recognise.
async fn pooler(database: &TestDatabase, mode: &str) -> Option<Pooler> {
    let binary =
        ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| Path::new(path).exists());
    let Some(binary) = binary else {
        eprintln!("skipped: PgBouncer is not installed");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let server = url::Url::parse(&database.url).unwrap();
    let host = server.host_str().unwrap().replace("%2F", "/").replace("%2f", "/");
    let name = server.path().trim_start_matches('/');
    let port = free_port();
    let file = folder.path().join("pgbouncer.ini");
    let server_port = server.port().unwrap_or(5432);
    std::fs::write(
        &file,
        format!(
            "[databases]\n{name} = host={host} port={server_port} dbname={name} user=app\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = {mode}\nmax_client_conn = 50\ndefault_pool_size = 10\n"
        ),
    )
    .unwrap();
    let mut command = Command::new(binary);
    if rustix::process::geteuid().is_root() {
        // It does not run as root, and must reach the server's socket.
        command.arg("--user").arg(owner_of(Path::new(&host)).await);
    }
    command.arg(&file).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let running = command.spawn().unwrap();
    until("PgBouncer listens", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()).await;
    let url = format!("postgres://app@127.0.0.1:{port}/{name}?sslmode=disable");
    Some(Pooler { url, _running: running, _folder: folder })
}

async fn owner_of(folder: &Path) -> String {
    let uid = std::fs::metadata(folder).unwrap().uid().to_string();
    let output = Command::new("id").args(["-nu", &uid]).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn a_pooler_in_session_mode_is_as_good_as_the_server() {
    let database = testkit::database().await;
    let Some(pooler) = pooler(&database, "session").await else { return };
    let pool = app_db::connect(&pooler.url, 4).unwrap();
    let mut client = pool::get(&pool).await.unwrap();
    let now = gauges::database_time(&client).await.unwrap();
    migrate::run(&mut client).await.unwrap();
    let limit: String = client.query_one("show lock_timeout", &[]).await.unwrap().get(0);
    assert_eq!(limit, "8s");
    let readiness = app_db::readiness::look(&pool, || now).await;
    assert!(readiness.is_ready(), "{readiness:?}");
}

#[tokio::test]
async fn a_pooler_in_transaction_mode_is_refused_and_no_setting_leaks() {
    let database = testkit::database().await;
    for mode in ["transaction", "statement"] {
        let Some(pooler) = pooler(&database, mode).await else { return };
        let pool = app_db::connect(&pooler.url, 4).unwrap();
        for _ in 0..3 {
            let refused = pool::get(&pool).await.unwrap_err();
            assert!(
                matches!(&refused, Error::Unusable(why) if why.contains("session mode")),
                "{mode}: {refused:?}"
            );
        }
        let (client, connection) = tokio_postgres::connect(&pooler.url, tokio_postgres::NoTls).await.unwrap();
        let running = tokio::spawn(connection);
        for (setting, default) in [("enable_seqscan", "on"), ("statement_timeout", "0"), ("TimeZone", "")] {
            let answer = client.simple_query(&format!("show {setting}")).await.unwrap();
            let value = answer.iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            assert!(default.is_empty() || value == Some(default), "{mode}: {setting} is {value:?}");
        }
        running.abort();
    }
}
