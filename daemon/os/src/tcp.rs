//! What a TCP socket still has to deliver, and how many may wait at one.

use std::{io, net::TcpListener, os::fd::RawFd};

/// As many as a burst of clients of one machine. The system may allow fewer (`net.core.somaxconn`).
const MOST_WAITING: i32 = 4096;

/// Lets many clients wait until they are accepted, instead of the standard library's 128. Linux drops
/// those beyond without telling: one that says nothing at first then never learns that nobody knows of it.
pub fn let_many_wait(listener: &TcpListener) -> io::Result<()> {
    // Listening again changes that number and nothing else.
    Ok(rustix::net::listen(listener, MOST_WAITING)?)
}

/// Bytes that were written to a TCP socket and not acknowledged by its peer's system yet. `None`
/// where the system does not tell. Whoever asks keeps the socket open meanwhile; for any other
/// descriptor the number means nothing.
#[must_use]
pub fn undelivered(socket: RawFd) -> Option<usize> {
    imp::undelivered(socket)
}

#[cfg(target_os = "linux")]
mod imp {
    use std::{
        ffi::c_int,
        os::fd::{BorrowedFd, RawFd},
    };

    use rustix::ioctl::{Getter, Opcode, ioctl};

    /// SIOCOUTQ, which shares its number with the terminal's.
    const OUTPUT_QUEUE: Opcode = 0x5411;

    #[expect(unsafe_code, reason = "there is no safe call for this question")]
    pub(super) fn undelivered(socket: RawFd) -> Option<usize> {
        if socket < 0 {
            return None;
        }
        // SAFETY: the descriptor is not -1, is used within this call only, and is not closed. If
        // it isn't open, the system says so.
        let socket = unsafe { BorrowedFd::borrow_raw(socket) };
        // SAFETY: this request writes one int, and takes nothing.
        let queue: c_int = unsafe { ioctl(socket, Getter::<OUTPUT_QUEUE, c_int>::new()) }.ok()?;
        usize::try_from(queue).ok()
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::os::fd::RawFd;

    pub(super) const fn undelivered(_: RawFd) -> Option<usize> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    use super::undelivered;

    #[test]
    #[cfg(target_os = "linux")]
    fn what_the_peer_does_not_take_is_undelivered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        assert_eq!(undelivered(near.as_raw_fd()), Some(0));
        near.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(more) = near.write(&[0; 1 << 16]) {
            written += more;
        }
        assert!(undelivered(near.as_raw_fd()).is_some_and(|left| left > 0));
        far.read_exact(&mut vec![0; written]).unwrap();
        while undelivered(near.as_raw_fd()) != Some(0) {
            std::thread::yield_now();
        }
        assert_eq!(undelivered(-1), None);
    }
}
