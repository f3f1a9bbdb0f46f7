//! The tables of a store, and whose they are.

use super::fault::{PostgresFault, out_of_range};
use super::link::LOCK;
use super::session::Session;
use crate::writer::Fault;
use procura_types::InstallationId;

/// The format of the tables that this program makes, and the newest it reads.
pub(super) const FORMAT: i32 = 1;

/// `meta` is the row that a group locks first. It is written once, so that locking it is
/// a mark on one row of one page, however many versions of the head there are.
///
/// `head` and `seal` are rewritten by each group. The small one is what everybody looks
/// at; old versions of it make way within its page. What is sealed looks random, so
/// nothing is gained by trying to compress it; the sealed head stays in its row.
const TABLES: &str = "
    CREATE SCHEMA procura;
    CREATE TABLE procura.meta(
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        format integer NOT NULL, installation bytea NOT NULL, sentinel bytea);
    CREATE TABLE procura.head(
        one boolean PRIMARY KEY DEFAULT true CHECK (one),
        seq bigint NOT NULL, bytes bigint NOT NULL, marks bigint NOT NULL)
        WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500,
              autovacuum_vacuum_scale_factor = 0);
    CREATE TABLE procura.seal(
        one boolean PRIMARY KEY DEFAULT true CHECK (one), sealed bytea)
        WITH (fillfactor = 10, toast_tuple_target = 8160,
              autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0);
    ALTER TABLE procura.seal ALTER COLUMN sealed SET STORAGE EXTERNAL;
    CREATE TABLE procura.rows(
        key bytea PRIMARY KEY, version bigint NOT NULL, value bytea NOT NULL);
    ALTER TABLE procura.rows ALTER COLUMN value SET STORAGE EXTERNAL;
    CREATE TABLE procura.logs(number integer PRIMARY KEY, name text NOT NULL UNIQUE);
    CREATE TABLE procura.entries(
        log integer NOT NULL, index bigint NOT NULL, version bigint NOT NULL,
        value bytea NOT NULL, PRIMARY KEY (log, index));
    ALTER TABLE procura.entries ALTER COLUMN value SET STORAGE EXTERNAL;
    CREATE TABLE procura.journal(
        seq bigint PRIMARY KEY, batch bytea NOT NULL, changes bytea NOT NULL);
    CREATE INDEX ON procura.journal(batch);
    INSERT INTO procura.head(seq, bytes, marks) VALUES (0, 0, 0);
    INSERT INTO procura.seal(sealed) VALUES (NULL);
";

const IS_THERE: &str = "SELECT to_regclass('procura.meta') IS NOT NULL";
const META: &str = "SELECT format, installation FROM procura.meta";
const OWN: &str = "INSERT INTO procura.meta(format, installation) VALUES ($1, $2)";

async fn is_there(session: &Session) -> Result<bool, Fault> {
    let rows = session.rows(IS_THERE, &[]).await?;
    let row = rows.first().ok_or_else(|| out_of_range("an answer"))?;
    Ok(row.try_get(0)?)
}

const UNTOUCHED: &str = "SELECT seq = 0 FROM procura.head";
const DISCARD: &str = "DROP SCHEMA procura CASCADE";

/// Whose store it is, if there is one.
pub(super) async fn owner(session: &Session) -> Result<Option<InstallationId>, Fault> {
    if !is_there(session).await? {
        return Ok(None);
    }
    let rows = session.rows(META, &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| out_of_range("the row that names the installation"))?;
    let id: Vec<u8> = row.try_get(1)?;
    let id = <[u8; 16]>::try_from(id).map_err(|_| out_of_range("the id of the installation"))?;
    Ok(Some(InstallationId::from_bytes(id)))
}

/// Removes a store in which nothing was ever committed; whether it was one.
pub(super) async fn discard(session: &Session) -> Result<bool, Fault> {
    session.run(&session.begin()).await?;
    session.rows(LOCK, &[]).await?;
    let rows = session.rows(UNTOUCHED, &[]).await?;
    let untouched: bool = match rows.first() {
        Some(row) => row.try_get(0)?,
        None => false,
    };
    if untouched {
        session.run(DISCARD).await?;
    }
    session.run("COMMIT").await?;
    Ok(untouched)
}

/// Makes the tables in one transaction.
pub(super) async fn create(
    session: &Session,
    at: &str,
    installation: &InstallationId,
) -> Result<(), PostgresFault> {
    let make = async {
        if is_there(session).await? {
            return Ok(false);
        }
        session.run(&session.begin()).await?;
        session.run(TABLES).await?;
        let id = installation.as_bytes().as_slice();
        session.change(OWN, &[&FORMAT, &id]).await?;
        session.run("COMMIT").await?;
        Ok(true)
    };
    let at = at.to_owned();
    match make.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(PostgresFault::AlreadyExists { at }),
        Err(fault) => Err(PostgresFault::of(&at, fault)),
    }
}

/// Looks whether the tables are there, in a format that is known, and whose.
pub(super) async fn check(
    session: &Session,
    at: &str,
    expected: &InstallationId,
) -> Result<(), PostgresFault> {
    let of = |fault| PostgresFault::of(at, fault);
    let at = || at.to_owned();
    if !is_there(session).await.map_err(of)? {
        return Err(PostgresFault::Missing { at: at() });
    }
    let rows = session.rows(META, &[]).await.map_err(of)?;
    let row = rows
        .first()
        .ok_or_else(|| of(out_of_range("the row that names the installation")))?;
    let read = || -> Result<(i32, Vec<u8>), Fault> { Ok((row.try_get(0)?, row.try_get(1)?)) };
    let (found, id) = read().map_err(of)?;
    if found > FORMAT {
        return Err(PostgresFault::NewerFormat {
            found,
            supported: FORMAT,
        });
    }
    let id: [u8; 16] = id
        .try_into()
        .map_err(|_| of(out_of_range("the id of the installation")))?;
    let found = InstallationId::from_bytes(id);
    if found != *expected {
        return Err(PostgresFault::OtherInstallation {
            expected: *expected,
            found,
        });
    }
    Ok(())
}
