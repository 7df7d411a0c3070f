//! The ledger's file: NDJSON that is only appended to. A line is a message, or `{"finished": key}` once its
//! receipts are delivered. Written before the answer, so a killed simulator has every message that it accepted;
//! not synced, since it is the process that dies in tests, not the machine.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::message::Accepted;

#[derive(Debug)]
pub(super) struct LedgerFile(File);

#[derive(Serialize, Deserialize)]
struct Finished {
    finished: Box<str>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Finished(Finished),
    Message(Box<Accepted>),
}

impl LedgerFile {
    /// Reads what is there. A last line without its end was being written when the process died, hence was never
    /// answered: it is cut off.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Accepted>, HashSet<Box<str>>)> {
        let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let (mut messages, mut finished) = (Vec::new(), HashSet::new());
        let mut reader = BufReader::new(&file);
        let (mut text, mut whole_bytes, mut number) = (Vec::new(), 0_u64, 0_u64);
        loop {
            text.clear();
            let read = reader.read_until(b'\n', &mut text)?;
            if read == 0 || text.last() != Some(&b'\n') {
                break;
            }
            number += 1;
            whole_bytes += read as u64;
            match serde_json::from_slice(&text) {
                Ok(Line::Message(message)) => messages.push(*message),
                Ok(Line::Finished(line)) => {
                    finished.insert(line.finished);
                }
                Err(_) => {
                    let problem = format!("{}: line {number} is not of a ledger", path.display());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
                }
            }
        }
        drop(reader);
        if file.metadata()?.len() > whole_bytes {
            file.set_len(whole_bytes)?;
        }
        Ok((Self(file), messages, finished))
    }

    pub(super) fn append_messages(&mut self, messages: &[Arc<Accepted>]) -> io::Result<()> {
        let mut lines = Vec::with_capacity(512 * messages.len());
        for message in messages {
            serde_json::to_writer(&mut lines, &**message)?;
            lines.push(b'\n');
        }
        self.0.write_all(&lines)
    }

    pub(super) fn append_finished(&mut self, receipts_key: String) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Finished { finished: receipts_key.into() })?;
        line.push(b'\n');
        self.0.write_all(&line)
    }

    pub(super) fn truncate(&mut self) -> io::Result<()> {
        self.0.set_len(0)
    }
}
