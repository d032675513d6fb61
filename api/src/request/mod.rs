//! How a request is read: JSON, form, query and path, each with its rejections in the envelope.

pub(crate) mod fields;
pub(crate) mod json;
pub(crate) mod path;
pub(crate) mod places;
pub(crate) mod query;
pub(crate) mod upload;

pub(crate) use fields::Fields;
pub(crate) use json::JsonBody;
pub(crate) use path::{PathId, PathLeg};
pub(crate) use query::Query;
pub(crate) use upload::{File, Upload};
