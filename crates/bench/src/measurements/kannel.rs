//! Kannel as a messaging peer: sendsms over HTTP in, its spool on, and an HTTP SMSC out to the same sink; as many
//! clients and the same window of messages on their way. It is skipped where it is not installed (Debian: `kannel`).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use chaos::port;
use chaos::wait::until;
use http::Method;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::end_to_end::{MANY, WINDOW};
use crate::bench::Bench;
use crate::connection::{Loop, request};
use crate::people::{self, BODY, KNOWN};
use crate::sink::Sink;

const START_LIMIT: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(120);

pub(super) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (Some(bearerbox), Some(smsbox)) = (find("bearerbox"), find("smsbox")) else {
        bench.skip(
            "kannel: bearerbox and smsbox are not installed (Debian: apt-get install kannel)".to_owned(),
        );
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let sink = Sink::start().await?;
    let (admin, boxes, sendsms) = (port::free()?, port::free()?, port::free()?);
    let file = folder.path().join("kannel.conf");
    std::fs::create_dir(folder.path().join("spool"))?;
    std::fs::write(&file, configuration(folder.path(), &sink, admin, boxes, sendsms))?;
    let _bearerbox = start(&bearerbox, &file)?;
    listening(boxes).await?;
    let _smsbox = start(&smsbox, &file)?;
    listening(sendsms).await?;

    let text: String = url::form_urlencoded::byte_serialize(BODY.as_bytes()).collect();
    let make = Arc::new(move |n| {
        let to = people::nth(n, KNOWN).replace('+', "%2B");
        let path =
            format!("/cgi-bin/sendsms?username=bench&password=bench&from=%2B12025550100&to={to}&text={text}");
        request(Method::GET, &path, &[], String::new())
    });
    let address = ([127, 0, 0, 1], sendsms).into();
    // Its SMSC takes a second to begin.
    let warm_up = Loop { count: 1_000, ..Loop::new(address, LIMIT, make.clone(), 202) }.run().await?.count;
    sink.wait_count(warm_up, LIMIT).await?;
    let delivered = sink.counter();
    let gate = Arc::new(move |answered: usize| warm_up + answered < delivered() + WINDOW);
    let began = Instant::now();
    let answered = Loop {
        connections: MANY,
        gate: Some(gate),
        first: warm_up,
        ..Loop::new(address, bench.plan.time, make, 202)
    }
    .run()
    .await?;
    sink.wait_count(warm_up + answered.count, LIMIT).await?;
    let rate = answered.count as f64 / began.elapsed().as_secs_f64();
    bench.samples.add("peer Kannel end to end/s", rate);
    Ok(())
}

fn find(name: &str) -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&on_path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn start(program: &Path, file: &Path) -> anyhow::Result<Child> {
    let mut command = Command::new(program);
    // Only panics are said: what a log of every message would cost is not measured.
    command.args(["-v", "4"]).arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.kill_on_drop(true).spawn()?)
}

async fn listening(port: u16) -> anyhow::Result<()> {
    until("Kannel listens", START_LIMIT, async || {
        Ok(TcpStream::connect(("127.0.0.1", port)).await.is_ok().then_some(()))
    })
    .await
}

fn configuration(folder: &Path, sink: &Sink, admin: u16, boxes: u16, sendsms: u16) -> String {
    format!(
        r#"group = core
admin-port = {admin}
admin-password = bench
admin-interface = 127.0.0.1
smsbox-port = {boxes}
smsbox-interface = 127.0.0.1
box-allow-ip = 127.0.0.1
store-type = spool
store-location = "{spool}"
sms-outgoing-queue-limit = 1000000

group = smsc
smsc = http
smsc-id = sink
system-type = generic
send-url = "{sink}/send?from=%P&to=%p&text=%b"
status-success-regex = "sid"
max-pending-submits = 256

group = smsbox
smsbox-id = bench
bearerbox-host = 127.0.0.1
bearerbox-port = {boxes}
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
max-pending-requests = 1024

group = sendsms-user
username = bench
password = bench
max-messages = 10
concatenation = true
"#,
        spool = folder.join("spool").display(),
        sink = sink.url(),
    )
}
