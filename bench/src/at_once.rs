//! Ten thousand secrets brought in by one call, and a thousand listed among a hundred
//! thousand in a hundred namespaces.

use crate::Outcome;
use crate::report::{Figure, median};
use procura_client::{Listed, Page, SessionClient};
use procura_types::wire::{ImportItem, PortableSecret, SecretImport, ValueB64};
use procura_types::{Namespace, SecretPath};
use std::time::Instant;

/// Runs of the import; the one in the middle counts.
const RUNS: usize = 3;
const AT_ONCE: usize = 10_000;
const NAMESPACES: usize = 100;
const EACH: usize = 1_000;
/// Lists that are asked for; the one in the middle counts.
const LISTS: usize = 101;

/// Measures both, in namespaces of their own.
pub(crate) async fn measure(calls: &SessionClient) -> Outcome<Vec<Figure>> {
    let mut seconds = Vec::new();
    for run in 0..RUNS {
        let namespace: Namespace = format!("at-once-{run}").parse()?;
        calls.create_namespace(&namespace).await?;
        let import = secrets(AT_ONCE)?;
        let begun = Instant::now();
        let imported = calls.import_secrets(&namespace, &import).await?;
        seconds.push(begun.elapsed().as_secs_f64());
        if imported.written != AT_ONCE {
            return Err(format!("{} of {AT_ONCE} were written", imported.written).into());
        }
    }
    for number in 0..NAMESPACES {
        let namespace: Namespace = format!("of-many-{number}").parse()?;
        calls.create_namespace(&namespace).await?;
        calls.import_secrets(&namespace, &secrets(EACH)?).await?;
    }
    let mut millis = Vec::new();
    for number in 0..LISTS {
        let namespace: Namespace = format!("of-many-{}", number % NAMESPACES).parse()?;
        let page: Page<SecretPath> = Page {
            limit: Some(u32::try_from(EACH)?),
            ..Page::first()
        };
        let begun = Instant::now();
        let list = calls
            .secrets(&namespace, None, Listed::Readable, &page)
            .await?;
        millis.push(begun.elapsed().as_secs_f64() * 1000.0);
        if list.secrets.len() != EACH {
            return Err(format!("{} of {EACH} were listed", list.secrets.len()).into());
        }
    }
    Ok(vec![
        Figure::plain("import_10k", median(seconds), "s"),
        Figure::plain("list_1k_of_100k", median(millis), "ms"),
    ])
}

fn secrets(count: usize) -> Outcome<SecretImport> {
    let mut secrets = Vec::with_capacity(count);
    for number in 0..count {
        let path = format!("service-{:02}/key-{number:05}", number % 50).parse()?;
        let value = format!("{number:064}");
        let secret = PortableSecret {
            env: Some(format!("SERVICE_KEY_{number}").parse()?),
            ..PortableSecret::new(path, ValueB64::encode(value.as_bytes()))
        };
        secrets.push(ImportItem {
            secret,
            expect_version: Some(0),
        });
    }
    Ok(SecretImport {
        secrets,
        dry_run: false,
    })
}
