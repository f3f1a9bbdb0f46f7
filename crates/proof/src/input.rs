//! `Signature-Input` and `Signature` (RFC 9421 §4), read as structured fields
//! (RFC 9651) without copying what is in them.

use crate::reason::Case;
use sfv::visitor::{
    DictionaryVisitor, EntryVisitor, InnerListVisitor, ItemVisitor, ParameterVisitor,
};
use sfv::{BareItemFromInput, ItemSerializer, KeyRef, Parser, StringRef};
use std::borrow::Cow;

/// The most that a proof may take: 16 KiB of `Signature-Input`, 64 components,
/// 16 labels. Real ones are below 1 KiB.
const MAX_BYTES: usize = 16 * 1024;
const MAX_COMPONENTS: usize = 64;
const MAX_LABELS: usize = 16;
const MAX_PARAMETERS: usize = 16;

/// A parameter of a component or of a signature.
pub(crate) type Parameter<'a> = (&'a KeyRef, BareItemFromInput<'a>);

/// A component identifier (RFC 9421 §2).
#[derive(Debug, Clone)]
pub(crate) struct Component<'a> {
    pub(crate) name: Cow<'a, StringRef>,
    pub(crate) parameters: Vec<Parameter<'a>>,
}

/// One member of `Signature-Input`.
#[derive(Debug, Clone)]
pub(crate) struct SignatureInput<'a> {
    pub(crate) label: &'a KeyRef,
    pub(crate) components: Vec<Component<'a>>,
    pub(crate) parameters: Vec<Parameter<'a>>,
}

impl<'a> Component<'a> {
    pub(crate) fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Whether both are the same component: parameters have no order here.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.parameters.len() == other.parameters.len()
            && self
                .parameters
                .iter()
                .all(|parameter| other.parameters.contains(parameter))
    }

    /// The identifier in its canonical form.
    pub(crate) fn write(&self, out: &mut String) {
        let _ = ItemSerializer::with_buffer(out)
            .bare_item(self.name.as_ref())
            .finish();
        write_parameters(&self.parameters, out);
    }
}

impl<'a> SignatureInput<'a> {
    pub(crate) fn parameter(&self, name: &str) -> Option<&BareItemFromInput<'a>> {
        find(&self.parameters, name)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.parameter(name)?.as_string().map(StringRef::as_str)
    }

    pub(crate) fn integer(&self, name: &str) -> Option<u64> {
        u64::try_from(i64::from(self.parameter(name)?.as_integer()?)).ok()
    }

    /// Whether a component without parameters, so the whole of it, is covered.
    pub(crate) fn covers(&self, name: &str) -> bool {
        self.components
            .iter()
            .any(|component| component.parameters.is_empty() && component.name() == name)
    }

    /// The inner list in its canonical form: the value of `@signature-params`.
    pub(crate) fn write(&self, out: &mut String) {
        out.push('(');
        for (position, component) in self.components.iter().enumerate() {
            if position > 0 {
                out.push(' ');
            }
            component.write(out);
        }
        out.push(')');
        write_parameters(&self.parameters, out);
    }
}

fn find<'p, 'a>(parameters: &'p [Parameter<'a>], name: &str) -> Option<&'p BareItemFromInput<'a>> {
    parameters
        .iter()
        .find(|(key, _)| key.as_str() == name)
        .map(|(_, value)| value)
}

fn write_parameters(parameters: &[Parameter<'_>], out: &mut String) {
    for (key, value) in parameters {
        out.push(';');
        out.push_str(key.as_str());
        if *value != BareItemFromInput::Boolean(true) {
            out.push('=');
            let _ = ItemSerializer::with_buffer(out).bare_item(value).finish();
        }
    }
}

/// Reads all members of `Signature-Input`.
pub(crate) fn parse_input(field: &[u8]) -> Result<Vec<SignatureInput<'_>>, Case> {
    if field.len() > MAX_BYTES {
        return Err(Case::InputSyntax);
    }
    Parser::new(field)
        .parse_dictionary_with_visitor(Inputs(Vec::with_capacity(1)))
        .map_err(|_| Case::InputSyntax)
}

/// Reads the member of `Signature` with this label.
pub(crate) fn parse_signature(field: &[u8], label: &str) -> Result<Vec<u8>, Case> {
    if field.len() > MAX_BYTES {
        return Err(Case::SignatureSyntax);
    }
    Parser::new(field)
        .parse_dictionary_with_visitor(Signatures { label, found: None })
        .ok()
        .flatten()
        .ok_or(Case::SignatureSyntax)
}

/// A structured field is not what RFC 9421 makes of it.
#[derive(Debug, thiserror::Error)]
#[error("not a signature field")]
struct Unfit;

struct Inputs<'a>(Vec<SignatureInput<'a>>);
struct InputEntry<'v, 'a>(&'v mut SignatureInput<'a>);
struct ComponentItem<'v, 'a>(&'v mut Vec<Component<'a>>);
struct Parameters<'v, 'a>(&'v mut Vec<Parameter<'a>>);

impl<'a> DictionaryVisitor<'a> for Inputs<'a> {
    type Out = Vec<SignatureInput<'a>>;
    type Error = Unfit;

    fn entry(&mut self, label: &'a KeyRef) -> Result<impl EntryVisitor<'a>, Unfit> {
        // RFC 9651 lets the last of two equal keys win. Two readers that differ
        // on it would see different signatures, so it is refused.
        if self.0.len() >= MAX_LABELS || self.0.iter().any(|known| known.label == label) {
            return Err(Unfit);
        }
        self.0.push(SignatureInput {
            label,
            components: Vec::with_capacity(8),
            parameters: Vec::with_capacity(6),
        });
        self.0.last_mut().map(InputEntry).ok_or(Unfit)
    }

    fn finish(self) -> Result<Self::Out, Unfit> {
        Ok(self.0)
    }
}

impl<'a> EntryVisitor<'a> for InputEntry<'_, 'a> {
    type Error = Unfit;

    fn item(self) -> Result<impl ItemVisitor<'a>, Unfit> {
        Err::<sfv::visitor::Ignored, _>(Unfit)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'a>, Unfit> {
        Ok(self)
    }
}

impl<'a> InnerListVisitor<'a> for InputEntry<'_, 'a> {
    type Error = Unfit;

    fn item(&mut self) -> Result<impl ItemVisitor<'a>, Unfit> {
        if self.0.components.len() >= MAX_COMPONENTS {
            return Err(Unfit);
        }
        Ok(ComponentItem(&mut self.0.components))
    }

    fn finish(self) -> Result<impl ParameterVisitor<'a>, Unfit> {
        Ok(Parameters(&mut self.0.parameters))
    }
}

impl<'a> ItemVisitor<'a> for ComponentItem<'_, 'a> {
    type Out = ();
    type Error = Unfit;

    fn bare_item(
        self,
        item: BareItemFromInput<'a>,
    ) -> Result<impl ParameterVisitor<'a, Out = ()>, Unfit> {
        let BareItemFromInput::String(name) = item else {
            return Err(Unfit);
        };
        self.0.push(Component {
            name,
            parameters: Vec::new(),
        });
        self.0
            .last_mut()
            .map(|component| Parameters(&mut component.parameters))
            .ok_or(Unfit)
    }
}

impl<'a> ParameterVisitor<'a> for Parameters<'_, 'a> {
    type Out = ();
    type Error = Unfit;

    fn parameter(&mut self, key: &'a KeyRef, value: BareItemFromInput<'a>) -> Result<(), Unfit> {
        // As with labels: the last would win, and readers may differ.
        if self.0.len() >= MAX_PARAMETERS || find(self.0, key.as_str()).is_some() {
            return Err(Unfit);
        }
        self.0.push((key, value));
        Ok(())
    }

    fn finish(self) -> Result<(), Unfit> {
        Ok(())
    }
}

struct Signatures<'l> {
    label: &'l str,
    found: Option<Vec<u8>>,
}
struct SignatureEntry<'v>(Option<&'v mut Option<Vec<u8>>>);

impl<'a> DictionaryVisitor<'a> for Signatures<'_> {
    type Out = Option<Vec<u8>>;
    type Error = Unfit;

    fn entry(&mut self, label: &'a KeyRef) -> Result<impl EntryVisitor<'a>, Unfit> {
        if label.as_str() != self.label {
            return Ok(SignatureEntry(None));
        }
        if self.found.is_some() {
            return Err(Unfit);
        }
        Ok(SignatureEntry(Some(&mut self.found)))
    }

    fn finish(self) -> Result<Self::Out, Unfit> {
        Ok(self.found)
    }
}

impl<'a> EntryVisitor<'a> for SignatureEntry<'_> {
    type Error = Unfit;

    fn item(self) -> Result<impl ItemVisitor<'a>, Unfit> {
        Ok(self)
    }

    fn inner_list(self) -> Result<impl InnerListVisitor<'a>, Unfit> {
        Err::<sfv::visitor::Ignored, _>(Unfit)
    }
}

impl<'a> ItemVisitor<'a> for SignatureEntry<'_> {
    type Out = ();
    type Error = Unfit;

    fn bare_item(
        self,
        item: BareItemFromInput<'a>,
    ) -> Result<impl ParameterVisitor<'a, Out = ()>, Unfit> {
        let BareItemFromInput::ByteSequence(bytes) = item else {
            return Err(Unfit);
        };
        if let Some(found) = self.0 {
            *found = Some(bytes);
        }
        Ok(sfv::visitor::Ignored)
    }
}
