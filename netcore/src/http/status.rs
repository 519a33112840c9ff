//! Owns the status codes of responses and their words. Must never decide which of them is sent.

/// The status of a response.
///
/// ```
/// use netcore::http::Status;
///
/// assert_eq!(Status::NOT_FOUND.code(), 404);
/// assert_eq!(Status::NOT_FOUND.reason(), "Not Found");
/// assert_eq!(Status::new(200), Some(Status::OK));
/// assert_eq!(Status::new(1000), None);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Status(u16);

/// The constants and their reason phrases, from one list.
macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal)*) => {
        impl Status {
            $(
                #[doc = concat!(stringify!($code), " ", $reason)]
                pub const $name: Self = Self($code);
            )*

            /// The reason phrase; empty for a code without a constant here.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    _ => "",
                }
            }
        }
    };
}

statuses! {
    CONTINUE 100 "Continue"
    SWITCHING_PROTOCOLS 101 "Switching Protocols"
    OK 200 "OK"
    CREATED 201 "Created"
    ACCEPTED 202 "Accepted"
    NO_CONTENT 204 "No Content"
    PARTIAL_CONTENT 206 "Partial Content"
    MOVED_PERMANENTLY 301 "Moved Permanently"
    FOUND 302 "Found"
    SEE_OTHER 303 "See Other"
    NOT_MODIFIED 304 "Not Modified"
    TEMPORARY_REDIRECT 307 "Temporary Redirect"
    PERMANENT_REDIRECT 308 "Permanent Redirect"
    BAD_REQUEST 400 "Bad Request"
    UNAUTHORIZED 401 "Unauthorized"
    FORBIDDEN 403 "Forbidden"
    NOT_FOUND 404 "Not Found"
    METHOD_NOT_ALLOWED 405 "Method Not Allowed"
    NOT_ACCEPTABLE 406 "Not Acceptable"
    REQUEST_TIMEOUT 408 "Request Timeout"
    CONFLICT 409 "Conflict"
    GONE 410 "Gone"
    LENGTH_REQUIRED 411 "Length Required"
    PRECONDITION_FAILED 412 "Precondition Failed"
    CONTENT_TOO_LARGE 413 "Content Too Large"
    URI_TOO_LONG 414 "URI Too Long"
    UNSUPPORTED_MEDIA_TYPE 415 "Unsupported Media Type"
    RANGE_NOT_SATISFIABLE 416 "Range Not Satisfiable"
    EXPECTATION_FAILED 417 "Expectation Failed"
    MISDIRECTED_REQUEST 421 "Misdirected Request"
    UNPROCESSABLE_CONTENT 422 "Unprocessable Content"
    UPGRADE_REQUIRED 426 "Upgrade Required"
    PRECONDITION_REQUIRED 428 "Precondition Required"
    TOO_MANY_REQUESTS 429 "Too Many Requests"
    HEADER_FIELDS_TOO_LARGE 431 "Request Header Fields Too Large"
    INTERNAL_SERVER_ERROR 500 "Internal Server Error"
    NOT_IMPLEMENTED 501 "Not Implemented"
    BAD_GATEWAY 502 "Bad Gateway"
    SERVICE_UNAVAILABLE 503 "Service Unavailable"
    GATEWAY_TIMEOUT 504 "Gateway Timeout"
    VERSION_NOT_SUPPORTED 505 "HTTP Version Not Supported"
    INSUFFICIENT_STORAGE 507 "Insufficient Storage"
}

impl Status {
    /// The status with this code; `None` unless the code has three digits and is of a class from 1 to 5.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code >= 100 && code < 600 {
            Some(Self(code))
        } else {
            None
        }
    }

    /// The code, of three digits.
    #[must_use]
    pub const fn code(self) -> u16 {
        self.0
    }

    /// A response with this status never has a body: 1xx, 204 and 304.
    #[must_use]
    pub const fn is_bodiless(self) -> bool {
        self.0 < 200 || self.0 == 204 || self.0 == 304
    }

    /// The three digits.
    pub(super) const fn digits(self) -> [u8; 3] {
        [
            b'0' + (self.0 / 100) as u8,
            b'0' + (self.0 / 10 % 10) as u8,
            b'0' + (self.0 % 10) as u8,
        ]
    }
}
