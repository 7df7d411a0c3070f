//! Who listens on an address, as far as this system tells us: by /proc on Linux, elsewhere nothing.

use std::fs;
use std::net::SocketAddr;

/// `process 123 (nginx)`. Nothing where that cannot be seen, as with another user's process.
pub(super) fn of(address: SocketAddr) -> Option<String> {
    let inode = ["tcp", "tcp6"].iter().find_map(|table| {
        let text = fs::read_to_string(format!("/proc/net/{table}")).ok()?;
        listening_inode(&text, address.port())
    })?;
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().into_string().ok()?.parse::<u32>().ok()).find_map(|pid| {
        let mut files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
        files
            .find(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str()))?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some(format!("process {pid} ({})", name.trim()))
    })
}

/// Lines are `sl local_address rem_address st ... inode`; state 0A is LISTEN, numbers are hexadecimal.
fn listening_inode(table: &str, port: u16) -> Option<String> {
    let suffix = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == "0A";
        listens.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
    })
}
