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

/// One at a time: a file may be as large as a webhook, and an array of them as large as memory.
pub(crate) async fn insert(client: &Client, files: &[(Uuid, &NewFile)]) -> Result<(), Error> {
    for (message_id, file) in files {
        let statement = client
            .prepare_cached(
                "insert into media (bucket, id, message_id, filename, content_type, bytes)
                 values ($1, $2, $3, $4, $5, $6)",
            )
            .await?;
        let bucket = Bucket::of(file.id).as_i16();
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&bucket, &file.id, &message_id, &file.filename, &file.content_type, &file.bytes];
        client.execute(&statement, &values).await?;
    }
    Ok(())
}

/// One file.
///
/// # Errors
/// As the database gives them.
pub async fn find(client: &Client, id: Uuid) -> Result<Option<StoredFile>, Error> {
    let statement = client
        .prepare_cached("select filename, content_type, bytes from media where id = $1 and bucket = $2")
        .await?;
    let row = client.query_opt(&statement, &[&id, &Bucket::of(id).as_i16()]).await?;
    Ok(row.map(|row| StoredFile { filename: row.get(0), content_type: row.get(1), bytes: row.get(2) }))
}

/// What these files are, as far as they are stored; in no order.
///
/// # Errors
/// As the database gives them.
pub async fn facts(client: &Client, ids: &[Uuid]) -> Result<Vec<FileFacts>, Error> {
    let buckets: Vec<i16> = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    let statement = client
        .prepare_cached(
            "select m.id, m.filename, m.content_type, octet_length(m.bytes)::bigint
             from unnest($1::uuid[], $2::smallint[]) as k(id, bucket)
             join media m on m.id = any(array[k.id]) and m.bucket = k.bucket",
        )
        .await?;
    let rows = client.query(&statement, &[&ids, &buckets]).await?;
    let facts = |row: &tokio_postgres::Row| FileFacts {
        id: row.get(0),
        filename: row.get(1),
        content_type: row.get(2),
        bytes: row.get(3),
    };
    Ok(rows.iter().map(facts).collect())
}
