//! Waking an event loop at a time that is finer than the millisecond of its own timeout: an open loop at
//! 10,000 messages a second would otherwise measure its own rounding.

use std::{io, time::Duration};

use mio::{Registry, Token};

/// A timer that makes its token ready once.
#[derive(Debug)]
pub(crate) struct Timer {
    #[cfg(target_os = "linux")]
    descriptor: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl Timer {
    pub(crate) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        use std::os::fd::AsRawFd;

        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let mut source = mio::unix::SourceFd(&descriptor.as_raw_fd());
        registry.register(&mut source, token, mio::Interest::READABLE)?;
        Ok(Self { descriptor })
    }

    /// Wakes the loop after `wait`, and not when it was set to before. Setting it makes it ready anew, so it
    /// is never read.
    pub(crate) fn set(&self, wait: Duration) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let after = Timespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            // 0 would switch it off.
            tv_nsec: i64::from(wait.subsec_nanos()).max(1),
        };
        let times = Itimerspec {
            it_interval: never,
            it_value: after,
        };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &times)?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
impl Timer {
    pub(crate) fn new(_: &Registry, _: Token) -> io::Result<Self> {
        Ok(Self {})
    }

    /// The loop's own timeout has to do.
    pub(crate) fn set(&self, _: Duration) -> io::Result<()> {
        Ok(())
    }
}
