//! Where something stands in a trace, as W3C's headers say it.

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// `00-<32 hex>-<16 hex>-<2 hex>`
pub const TRACEPARENT: &str = "traceparent";
/// What others in the trace want to be handed on.
pub const TRACESTATE: &str = "tracestate";
/// W3C: at least so many characters are handed on. More are not.
const MAX_TRACESTATE_CHARS: usize = 512;

/// The headers of something in a trace: a request, a message, a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    traceparent: String,
    tracestate: Option<String>,
}

impl TraceContext {
    /// Reads headers. `None`: there are none that mean anything; who sent them is not told.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let traceparent = header(TRACEPARENT).filter(|text| is_traceparent(text))?.to_owned();
        let fits =
            |text: &&str| text.len() <= MAX_TRACESTATE_CHARS && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        Some(Self { traceparent, tracestate: header(TRACESTATE).filter(fits).map(ToOwned::to_owned) })
    }

    /// Of a `traceparent` alone.
    pub fn of_traceparent(traceparent: &str) -> Option<Self> {
        Self::read(|name| (name == TRACEPARENT).then_some(traceparent))
    }

    /// Where the running task stands; see [`follow`].
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }

    /// Where `span` stands. `None`: spans are not sent, or this one is filtered out.
    fn of(span: &Span) -> Option<Self> {
        if !super::are_sent() {
            return None;
        }
        let mut written = Written::default();
        TraceContextPropagator::new().inject_context(&span.context(), &mut written);
        let tracestate = written.tracestate.filter(|text| !text.is_empty());
        Some(Self { traceparent: written.traceparent?, tracestate })
    }

    /// The headers, for whoever is next.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [(TRACEPARENT, Some(self.traceparent.as_str())), (TRACESTATE, self.tracestate.as_deref())]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
    }

    /// `00-…`
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }

    pub(super) fn to_opentelemetry(&self) -> Context {
        // Not the thread's own as its parent: this came from elsewhere.
        TraceContextPropagator::new().extract_with_context(&Context::new(), self)
    }
}

tokio::task_local! {
    /// Where the running task stands.
    static CURRENT: TraceContext;
}

/// Runs `work` inside `span`, as a part of `parent`'s trace. What it calls and publishes meanwhile ([`TraceContext::current`])
/// follows the span, or `parent` itself where spans are not sent.
pub async fn follow<T>(span: Span, parent: Option<TraceContext>, work: impl Future<Output = T>) -> T {
    if let Some(parent) = parent.as_ref().filter(|_| super::are_sent()) {
        // An error says that the span is filtered out: then it has no place anywhere.
        drop(span.set_parent(parent.to_opentelemetry()));
    }
    match TraceContext::of(&span).or(parent) {
        Some(here) => CURRENT.scope(here, work.instrument(span)).await,
        None => work.instrument(span).await,
    }
}

impl Extractor for TraceContext {
    fn get(&self, key: &str) -> Option<&str> {
        self.headers().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    fn keys(&self) -> Vec<&str> {
        self.headers().map(|(name, _)| name).collect()
    }
}

#[derive(Default)]
struct Written {
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl Injector for Written {
    fn set(&mut self, key: &str, value: String) {
        match key {
            TRACEPARENT => self.traceparent = Some(value),
            TRACESTATE => self.tracestate = Some(value),
            _ => (),
        }
    }
}

/// Version 00, in lower case, and neither id is zero: what others would refuse is not sent on.
fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, span, flags] = parts.as_slice() else { return false };
    let is_hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let is_set = |part: &str| part.bytes().any(|byte| byte != b'0');
    *version == "00" && is_hex(trace, 32) && is_set(trace) && is_hex(span, 16) && is_set(span) && is_hex(flags, 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TraceContextExt;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_read_is_what_is_sent_on() {
        let both = |name: &str| Some(if name == TRACEPARENT { GOOD } else { "vendor=a,other=b" });
        let context = TraceContext::read(both).unwrap();
        assert_eq!(context.headers().collect::<Vec<_>>(), [(TRACEPARENT, GOOD), (TRACESTATE, "vendor=a,other=b")]);
        let alone = TraceContext::of_traceparent(GOOD).unwrap();
        assert_eq!(alone.headers().collect::<Vec<_>>(), [(TRACEPARENT, GOOD)]);
        assert_eq!(alone.to_opentelemetry().span().span_context().trace_id().to_string(), GOOD[3..35]);
    }

    #[test]
    fn what_means_nothing_is_not_sent_on() {
        let upper = GOOD.to_uppercase();
        let bad = [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            &upper,
        ];
        for text in bad {
            assert_eq!(TraceContext::of_traceparent(text), None, "{text:?}");
        }
        let hostile = TraceContext::read(|name| Some(if name == TRACEPARENT { GOOD } else { "a=\r\nb" })).unwrap();
        assert_eq!(hostile.headers().count(), 1, "the state alone is left behind");
    }

    #[tokio::test]
    async fn without_a_collector_the_clients_own_travels_on() {
        let sent = TraceContext::of_traceparent(GOOD);
        let seen = follow(Span::none(), sent.clone(), async { TraceContext::current() }).await;
        assert_eq!(seen, sent);
        assert_eq!(follow(Span::none(), None, async { TraceContext::current() }).await, None);
        assert_eq!(TraceContext::current(), None, "outside");
    }
}
