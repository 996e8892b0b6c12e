//! A timer on the wall clock that also fires when that clock is set. Without it a deadline is missed
//! by as much as the clock was set forward. Only Linux has such a thing.

use std::{io, os::fd::OwnedFd};

use rustix::{
    io::Errno,
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

/// A timer. One thread may wait for it while another one sets it.
#[derive(Debug)]
pub struct WallTimer(OwnedFd);

impl WallTimer {
    /// A timer that is not set.
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?;
        Ok(Self(timer))
    }

    /// Fires at this time of the wall clock, in seconds and nanoseconds since the epoch, or when
    /// the clock is set.
    pub fn set(&self, second: i64, nanosecond: i32) -> io::Result<()> {
        let value = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                // Zero would turn it off.
                tv_sec: second.max(1),
                tv_nsec: nanosecond.clamp(0, 999_999_999).into(),
            },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        match timerfd_settime(&self.0, flags, &value) {
            // The clock was set since the timer was; it is set all the same.
            Ok(_) | Err(Errno::CANCELED) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Blocks until it fires, for either reason; whoever wants to know which looks at the clock.
    pub fn wait(&self) -> io::Result<()> {
        loop {
            match rustix::io::read(&self.0, &mut [0; 8]) {
                Ok(_) | Err(Errno::CANCELED) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::Arc, sync::mpsc, thread};

    #[test]
    fn a_timer_fires_when_its_time_has_come_and_can_be_set_while_somebody_waits() {
        let timer = Arc::new(WallTimer::new().unwrap());
        timer.set(i64::from(i32::MAX), 0).unwrap();
        let (fired, heard) = mpsc::channel();
        let waiting = Arc::clone(&timer);
        thread::spawn(
            move || {
                while waiting.wait().is_ok() && fired.send(()).is_ok() {}
            },
        );
        assert!(heard.try_recv().is_err());
        for past in [(0, -1), (1, 0)] {
            timer.set(past.0, past.1).unwrap();
            heard.recv().unwrap();
        }
        assert!(heard.try_recv().is_err());
    }
}
