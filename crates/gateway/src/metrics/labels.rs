//! The labels of the metrics, and what decides their values.
//!
//! Why here: a label set is a closed world; seen together, it is plain that no value of a caller's can become one.
//!
//! Never here: counting.

use std::sync::Arc;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use wire::UpstreamFaultKind;

use crate::audit::Record;
use crate::error::{Clock, Error};

/// How far a request had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// Before it was sent to an upstream.
    Queued,
    /// Sent; nothing has come back.
    FirstByte,
    /// Between the first byte and the last.
    Stream,
}

/// What an upstream did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum UpstreamErrorKind {
    /// Not reachable, or silent for its probes.
    Down,
    /// Refused by its own limits.
    Busy,
    /// Answered with an error or with nonsense.
    Broken,
    /// Stopped in the middle.
    Cut,
    /// One of our clocks ran out.
    Timeout,
}

impl Phase {
    pub(super) const ALL: [Self; 3] = [Self::Queued, Self::FirstByte, Self::Stream];

    pub(super) fn of(record: &Record) -> Self {
        match (record.ms_queued, record.ms_first_byte) {
            (_, Some(_)) => Self::Stream,
            (Some(_), None) => Self::FirstByte,
            (None, None) => Self::Queued,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::FirstByte => "first_byte",
            Self::Stream => "stream",
        }
    }
}

impl UpstreamErrorKind {
    pub(super) const ALL: [Self; 5] = [Self::Down, Self::Busy, Self::Broken, Self::Cut, Self::Timeout];

    pub(super) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::UpstreamDown => Some(Self::Down),
            Error::Deadline(Clock::Load | Clock::FirstByte | Clock::Idle | Clock::Total) => {
                Some(Self::Timeout)
            }
            Error::Upstream(fault) => match fault.kind {
                UpstreamFaultKind::RateLimited | UpstreamFaultKind::Overloaded => Some(Self::Busy),
                UpstreamFaultKind::Broken | UpstreamFaultKind::Protocol => Some(Self::Broken),
                UpstreamFaultKind::InvalidRequest { .. } | UpstreamFaultKind::ModelNotFound => None,
            },
            _ => None,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Busy => "busy",
            Self::Broken => "broken",
            Self::Cut => "cut",
            Self::Timeout => "timeout",
        }
    }
}

impl EncodeLabelValue for Phase {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

impl EncodeLabelValue for UpstreamErrorKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.as_str(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RouteCode {
    pub(super) route: &'static str,
    pub(super) code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByRoute {
    pub(super) route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByReason {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByPhase {
    pub(super) phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseKind {
    pub(super) phase: Phase,
    pub(super) kind: UpstreamErrorKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByUpstream {
    pub(super) upstream: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByModel {
    pub(super) model: Arc<str>,
}

/// Names of rules come from the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RuleAction {
    pub(super) rule: Arc<str>,
    pub(super) action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DirectionModel {
    pub(super) direction: &'static str,
    pub(super) model: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Build {
    pub(super) version: &'static str,
}
