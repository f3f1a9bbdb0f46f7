use crate::DisplayName;
use serde::{Deserialize, Serialize};

/// `PUT …/display-name`: what something is called by people, beside its label.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DisplayNamePut {
    /// The name; null takes it away. It has to be there, so that nothing is taken away
    /// by a body that forgot it.
    #[serde(deserialize_with = "Option::deserialize")]
    pub display_name: Option<DisplayName>,
}
