//! Owns what the factories of handlers and workers may return.

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a factory returns: the value itself, or a [`Result`] with it where making it can fail.
///
/// ```
/// use netcore::FactoryResult;
///
/// fn made<T>(by: impl FactoryResult<T>) -> Option<T> {
///     by.into_result().ok()
/// }
/// assert_eq!(made::<u32>(7), Some(7));
/// assert_eq!(made::<u32>("7".parse::<u32>()), Some(7));
/// assert_eq!(made::<u32>("seven".parse::<u32>()), None);
/// ```
pub trait FactoryResult<T> {
    /// As a result.
    ///
    /// # Errors
    /// Why there is no value.
    fn into_result(self) -> Result<T, BoxError>;
}

impl<T> FactoryResult<T> for T {
    fn into_result(self) -> Result<T, BoxError> {
        Ok(self)
    }
}

impl<T, E: Into<BoxError>> FactoryResult<T> for Result<T, E> {
    fn into_result(self) -> Result<T, BoxError> {
        self.map_err(Into::into)
    }
}
