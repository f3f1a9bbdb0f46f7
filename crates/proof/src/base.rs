//! The signature base: the text that is signed (RFC 9421 §2.5).

use crate::component;
use crate::input::SignatureInput;
use crate::message::Message;
use crate::reason::Case;

/// Builds the signature base of one member of `Signature-Input`.
pub(crate) fn build(message: &Message<'_>, input: &SignatureInput<'_>) -> Result<String, Case> {
    let mut base = String::with_capacity(640);
    for (position, component) in input.components.iter().enumerate() {
        let before = input.components.get(..position).unwrap_or(&[]);
        if before.iter().any(|earlier| earlier.same(component)) {
            return Err(Case::ComponentUnsupported);
        }
        component.write(&mut base);
        base.push_str(": ");
        component::write_value(message, component, &mut base)?;
        base.push('\n');
    }
    base.push_str("\"@signature-params\": ");
    input.write(&mut base);
    Ok(base)
}
