//! The schema, version by version, inside the program.
//!
//! Why here: a file on disk states its version in `user_version`; whatever is missing is applied in one transaction, so
//! a crash in between leaves the old schema whole. `application_id` tells our file from somebody else's.
//!
//! Never here: going back. A file newer than the program is refused and left alone.

use sqlx::{Row, SqlitePool};

use crate::{Result, StoreError};

/// Index + 1 is the version that a file brings the schema to.
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/sqlite/0001_conversations.sql")];

/// "GATE" as a number: `PRAGMA application_id` of our files.
const APPLICATION_ID: i64 = 0x4741_5445;

pub(super) async fn run(pool: &SqlitePool) -> Result<()> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    let application: i64 = sqlx::query("PRAGMA application_id").fetch_one(&mut *tx).await?.try_get(0)?;
    let found: i64 = sqlx::query("PRAGMA user_version").fetch_one(&mut *tx).await?.try_get(0)?;
    let tables: i64 =
        sqlx::query("SELECT count(*) FROM sqlite_schema").fetch_one(&mut *tx).await?.try_get(0)?;
    let ours = application == APPLICATION_ID || (found == 0 && tables == 0);
    if !ours {
        return Err(StoreError::Unusable("the file is a database of another program".to_owned()));
    }
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    let done = usize::try_from(found).unwrap_or(0);
    for sql in MIGRATIONS.iter().skip(done) {
        sqlx::raw_sql(*sql).execute(&mut *tx).await?;
    }
    if found < known {
        // Pragmas take no bound values; both are numbers of this file.
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {known};"
        )))
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await?;
    Ok(())
}
