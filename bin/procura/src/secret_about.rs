//! What is said of a secret: typed with its value, or changed with `secret set`.

use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use clap::{Args, ValueEnum};
use procura_types::wire::{SecretField, SecretSet};
use procura_types::{DeliveryWay, SecretOwner, SecretPath, Tag, Timestamp};

/// What is said of a secret
#[derive(Debug, Args)]
pub(crate) struct About {
    /// For people; not secret
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A word to find it by, once for each; those from before are replaced
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<Tag>,
    /// Who it belongs to, for people
    #[arg(long, value_name = "TEXT")]
    owner: Option<SecretOwner>,
    /// From when on it is not handed over any more, such as 2027-03-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    expires: Option<Timestamp>,
    /// Until when it should be replaced
    #[arg(long, value_name = "TIME")]
    rotate_by: Option<Timestamp>,
    /// How it may be handed over: env, file, stdin, http; or broker-only [default: all but broker-only]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    deliver: Vec<DeliveryWay>,
}

impl About {
    const fn is_empty(&self) -> bool {
        self.description.is_none()
            && self.tags.is_empty()
            && self.owner.is_none()
            && self.expires.is_none()
            && self.rotate_by.is_none()
            && self.deliver.is_empty()
    }

    /// As the API takes it.
    pub(crate) fn said(self) -> Result<SecretSet, Failure> {
        let usage = |error: procura_types::Malformed| Failure::usage(error.to_string());
        let tags = (!self.tags.is_empty()).then_some(self.tags);
        let ways = (!self.deliver.is_empty()).then_some(self.deliver);
        Ok(SecretSet {
            description: self.description,
            tags: tags.map(TryInto::try_into).transpose().map_err(usage)?,
            owner: self.owner,
            expires: self.expires,
            rotate_by: self.rotate_by,
            delivery: ways.map(TryInto::try_into).transpose().map_err(usage)?,
            clear: Vec::new(),
        })
    }
}

/// Something that can be taken back.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Field {
    Description,
    Tags,
    Owner,
    Expires,
    RotateBy,
    Deliver,
}

impl From<Field> for SecretField {
    fn from(field: Field) -> Self {
        match field {
            Field::Description => Self::Description,
            Field::Tags => Self::Tags,
            Field::Owner => Self::Owner,
            Field::Expires => Self::Expires,
            Field::RotateBy => Self::RotateBy,
            Field::Deliver => Self::Delivery,
        }
    }
}

/// Change what is said of a secret, without a new version
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  procura secret set stripe/key --tag payments --owner 'Ann' --rotate-by 2027-03-01T00:00:00Z\n  procura secret set stripe/key --deliver env,http\n  procura secret set stripe/key --clear rotate-by,owner"
)]
pub(crate) struct Set {
    /// The secret
    path: SecretPath,
    #[command(flatten)]
    about: About,
    /// Say no more of it: description, tags, owner, expires, rotate-by, deliver
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        value_enum,
        hide_possible_values = true
    )]
    clear: Vec<Field>,
}

impl Set {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.clear.is_empty() && self.about.is_empty() {
            return Err(Failure::usage("there is nothing to set")
                .next("procura secret set --help, which shows what can be"));
        }
        let set = SecretSet {
            clear: self.clear.into_iter().map(SecretField::from).collect(),
            ..self.about.said()?
        };
        let row = context
            .operator()
            .await?
            .set_secret(&context.namespace, &self.path, &set)
            .await?;
        if context.json {
            return output::json(&row);
        }
        output::say(format!("set {} in {}", row.path, context.namespace));
        Ok(())
    }
}
