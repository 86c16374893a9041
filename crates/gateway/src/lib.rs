//! CONTRACT STUB
pub mod config;

/// CONTRACT: how the program runs a gateway.
///
/// `Gateway::start(config)` binds every listener (an error names the address), starts probes and the audit writer, and
/// returns a handle: `api_addresses()`, `admin_address()`, `reload(config) -> Result<(), ReloadError>` (listen addresses may not
/// change), `reopen_audit()`, `drain().await` (stop accepting, let streams run `clocks.drain`, then error events, then return).
pub struct Contract;
