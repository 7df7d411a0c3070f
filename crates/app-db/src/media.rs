//! Attachments whose bytes came with an inbound message.

use model::Bucket;
use uuid::Uuid;

use crate::{Client, Error};

/// A file to store with its message. Its id has the message's bucket.
#[derive(Clone, Debug)]
pub struct NewFile {
    pub id: Uuid,
    pub filename: String,
    pub content_type: String,
    pub bytes: Vec<u8>,
}

/// A stored file.
#[derive(Clone, Debug)]
pub struct StoredFile {
    pub filename: String,
    pub content_type: String,
    pub bytes: Vec<u8>,
}

/// What a file is, without its bytes.
#[derive(Clone, Debug)]
pub struct FileFacts {
    pub id: Uuid,
    pub filename: String,
    pub content_type: String,
    pub bytes: i64,
}

/// Files of one statement, together or alone: a file may be as large as a webhook.
const BATCH_FILES: usize = 100;
const BATCH_BYTES: usize = 1 << 20;

/// Small ones together, large ones alone: an array of large ones would be as large as memory.
pub(crate) async fn insert(client: &Client, files: &[(Uuid, &NewFile)]) -> Result<(), Error> {
    let mut rest = files;
    while !rest.is_empty() {
        let (batch, after) = rest.split_at(batch_len(rest.iter().map(|(_, file)| file.bytes.len())));
        insert_batch(client, batch).await?;
        rest = after;
    }
    Ok(())
}

/// How many of the files, of these sizes, go into the next statement; at least one.
fn batch_len(sizes: impl Iterator<Item = usize>) -> usize {
    let mut bytes: usize = 0;
    let fits = |size: &usize| {
        bytes = bytes.saturating_add(*size);
        bytes <= BATCH_BYTES
    };
    sizes.take(BATCH_FILES).take_while(fits).count().max(1)
}

pub(crate) const INSERT: &str = "insert into media (bucket, id, message_id, filename, content_type, bytes)
             select * from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bytea[])";

async fn insert_batch(client: &Client, files: &[(Uuid, &NewFile)]) -> Result<(), Error> {
    let statement = client.prepare_cached(INSERT).await?;
    let buckets: Vec<i16> = files.iter().map(|(_, file)| Bucket::of(file.id).as_i16()).collect();
    let ids: Vec<Uuid> = files.iter().map(|(_, file)| file.id).collect();
    let message_ids: Vec<Uuid> = files.iter().map(|(message_id, _)| *message_id).collect();
    let filenames: Vec<&str> = files.iter().map(|(_, file)| file.filename.as_str()).collect();
    let content_types: Vec<&str> = files.iter().map(|(_, file)| file.content_type.as_str()).collect();
    let bytes: Vec<&[u8]> = files.iter().map(|(_, file)| file.bytes.as_slice()).collect();
    client.execute(&statement, &[&buckets, &ids, &message_ids, &filenames, &content_types, &bytes]).await?;
    Ok(())
}

pub(crate) const FIND: &str = "select filename, content_type, bytes from media where id = $1 and bucket = $2";

/// One file.
///
/// # Errors
/// As the database gives them.
pub async fn find(client: &Client, id: Uuid) -> Result<Option<StoredFile>, Error> {
    let statement = client.prepare_cached(FIND).await?;
    let row = client.query_opt(&statement, &[&id, &Bucket::of(id).as_i16()]).await?;
    Ok(row.map(|row| StoredFile { filename: row.get(0), content_type: row.get(1), bytes: row.get(2) }))
}

pub(crate) const FACTS: &str = "select m.id, m.filename, m.content_type, octet_length(m.bytes)::bigint
             from unnest($1::uuid[], $2::smallint[]) as k(id, bucket)
             join media m on m.id = any(array[k.id]) and m.bucket = k.bucket";

/// What these files are, as far as they are stored; in no order.
///
/// # Errors
/// As the database gives them.
pub async fn facts(client: &Client, ids: &[Uuid]) -> Result<Vec<FileFacts>, Error> {
    let buckets: Vec<i16> = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    let statement = client.prepare_cached(FACTS).await?;
    let rows = client.query(&statement, &[&ids, &buckets]).await?;
    let facts = |row: &tokio_postgres::Row| FileFacts {
        id: row.get(0),
        filename: row.get(1),
        content_type: row.get(2),
        bytes: row.get(3),
    };
    Ok(rows.iter().map(facts).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_go_together_and_large_ones_alone() {
        for (sizes, expected) in [
            (vec![1; 3], 3),
            (vec![1; 500], BATCH_FILES),
            (vec![BATCH_BYTES, 1], 1),
            (vec![1, BATCH_BYTES], 1),
            (vec![30 << 20, 1, 1], 1),
        ] {
            assert_eq!(batch_len(sizes.into_iter()), expected);
        }
    }
}
