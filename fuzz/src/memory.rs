//! How much memory a piece of code needs. It owns this package's allocator, which counts; whatever links this
//! package is a fuzzer or its replay. It must never be linked into a product.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Bytes an input may cost whatever its length: messages of errors, first allocations.
pub const FLOOR: usize = 16 * 1024;

/// Runs `work` and says how many bytes more than at its beginning were in use at once, at most. Counts the whole
/// process: run one at a time.
pub fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage().saturating_sub(before))
}

/// Runs `work`, which reads `input` bytes and may have `factor` times as many in use at once, and [`FLOOR`].
///
/// # Panics
/// It used more.
pub fn within<T>(input: usize, factor: usize, work: impl FnOnce() -> T) -> T {
    let (result, used) = peak(work);
    let bound = input.saturating_mul(factor).saturating_add(FLOOR);
    assert!(used <= bound, "{input} bytes cost {used}, more than {bound}");
    result
}
