use crate::error::UpstreamFault;
use crate::stream::{Metered, Reply};
#[derive(Debug)]
pub(crate) struct Relay;
impl Relay {
    pub(crate) fn new(_: usize) -> Self {
        Self
    }
    pub(crate) fn feed(
        &mut self,
        _: Option<&[u8]>,
        _: &Reply,
        _: &mut Metered,
        _: &mut Vec<u8>,
    ) -> Result<bool, UpstreamFault> {
        Ok(false)
    }
}
pub(crate) fn whole(_: &Reply, _: &[u8], _: &mut Vec<u8>) -> Result<Metered, UpstreamFault> {
    Err(UpstreamFault::broken(""))
}
