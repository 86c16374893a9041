//! Vectors of texts: what an upstream answered, in no dialect.
//!
//! Why as written: a vector is some thousand numbers that only pass through; reading them as floats would cost time and
//! could change them. Who needs floats makes them of the text.
//!
//! Never here: bytes of any dialect.

use crate::error::UpstreamFault;
use crate::event::Timings;
use crate::json::{Broken, Kind, Raw, Reader};

/// One for each text, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vectors<'a> {
    /// Arrays of numbers, checked.
    pub(crate) list: Vec<Raw<'a>>,
    /// Of all texts together, if the upstream says so.
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) timings: Timings,
}

/// Passes one array that must hold numbers and nothing else.
pub(crate) fn numbers<'a>(reader: &mut Reader<'a>) -> Result<Raw<'a>, UpstreamFault> {
    if reader.kind()? != Kind::Array {
        return Err(UpstreamFault::protocol("a vector that is no array"));
    }
    let start = reader.position();
    let mut finite = true;
    reader.array(|reader, _| -> Result<(), Broken> {
        finite &= is_finite(reader.number()?);
        Ok(())
    })?;
    if !finite {
        return Err(UpstreamFault::protocol("a vector holds a number beyond all floats"));
    }
    Ok(reader.walked(start, reader.passed()))
}

/// Digits that a float of 64 bits surely has room for: what is longer, or has an exponent, is looked at.
const DIGITS_SAFE: usize = 300;

/// JSON has no infinity, but its readers make one of `1e999`.
fn is_finite(written: &str) -> bool {
    let looked_at = written.len() > DIGITS_SAFE || written.contains(['e', 'E']);
    !looked_at || written.parse::<f64>().is_ok_and(f64::is_finite)
}

/// Gives out a vector's numbers as written.
pub(crate) fn each_number<'a>(vector: Raw<'a>, mut each: impl FnMut(&'a str)) -> Result<(), Broken> {
    Reader::over(vector.as_str(), 1).array(|reader, _| {
        each(reader.number()?);
        Ok(())
    })
}
