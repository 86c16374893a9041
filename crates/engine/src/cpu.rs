//! Does this processor have what the native code was compiled for?
//!
//! Why here: without the check the first matrix product ends the process with SIGILL, which tells nobody anything.
//! Never here: choosing another code path; there is only one build.

/// The instructions that are missing, or nothing.
pub(crate) fn missing() -> Vec<&'static str> {
    needed().into_iter().filter(|(_, present)| !present).map(|(name, _)| name).collect()
}

#[cfg(target_arch = "x86_64")]
fn needed() -> Vec<(&'static str, bool)> {
    use std::arch::is_x86_feature_detected as has;
    vec![("AVX2", has!("avx2")), ("FMA", has!("fma")), ("F16C", has!("f16c")), ("BMI2", has!("bmi2"))]
}

/// Other architectures are compiled for their baseline.
#[cfg(not(target_arch = "x86_64"))]
fn needed() -> Vec<(&'static str, bool)> {
    Vec::new()
}
