//! Owns the return types of the factories of handlers and workers.

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The return type of a factory: the value itself, or a [`Result`] with it if creating it can fail.
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
    /// Converts to a result.
    ///
    /// # Errors
    /// The reason for which there is no value.
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
