//! The body of an answer.

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use procura_gate::{Ending, Standing};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Any error of a body.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer: the service's, which ends with the standing of whoever asked
/// for it, or the layer's own.
pub struct AnswerBody<B>(Kind<B>);

enum Kind<B> {
    Own(Option<Bytes>),
    Inner { body: B, ending: Option<Ending> },
}

/// An answer ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("whoever asked for the answer may not have the rest of it")]
struct Ended;

impl<B: Body<Data = Bytes> + Unpin> AnswerBody<B> {
    pub(crate) const fn own(text: Bytes) -> Self {
        Self(Kind::Own(Some(text)))
    }

    pub(crate) fn of(body: B, standing: &Standing) -> Self {
        let ending = standing.ending_of(&body);
        Self(Kind::Inner { body, ending })
    }
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let kind = &mut self.get_mut().0;
        match kind {
            Kind::Own(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Kind::Inner { body, ending } => {
                if let Some(over) = ending
                    && over.as_mut().poll(cx).is_ready()
                {
                    // Whoever asks on gets nothing.
                    *kind = Kind::Own(None);
                    return Poll::Ready(Some(Err(Ended.into())));
                }
                Pin::new(body)
                    .poll_frame(cx)
                    .map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Own(text) => text.is_none(),
            Kind::Inner { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Own(text) => {
                let length = text.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Kind::Inner { body, .. } => body.size_hint(),
        }
    }
}
