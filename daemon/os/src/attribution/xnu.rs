//! Pure: what the kernel of macOS writes about a socket and about arguments, as `bsd/sys/proc_info.h` and
//! `KERN_PROCARGS2` lay it out. Read at offsets, so that nothing here depends on being on a Mac.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `sizeof(struct socket_fdinfo)`.
pub(super) const SOCKET_FDINFO: usize = 792;

/// `soi_kind` of a TCP socket.
const SOCKINFO_TCP: i32 = 2;
const INI_IPV4: u8 = 1;
const INI_IPV6: u8 = 2;
/// `TSI_S_ESTABLISHED`; what comes after it has an end that was closed.
const ESTABLISHED: i32 = 4;

/// A TCP socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    /// Its own address, IPv4 in its own form.
    pub(super) own: SocketAddr,
    /// The one that it is connected to.
    pub(super) far: SocketAddr,
    pub(super) established: bool,
}

/// Reads a `struct socket_fdinfo`. `None` for what is no TCP socket.
pub(super) fn socket(info: &[u8]) -> Option<Socket> {
    /// Where `soi_proto` begins, behind the file and what all sockets have.
    const TCP: usize = 264;
    if number(info, 256)? != SOCKINFO_TCP {
        return None;
    }
    let version = *info.get(TCP + 24)?;
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = info.get(at..at + 16)?.try_into().ok()?;
        if version & INI_IPV4 != 0 {
            let octets: [u8; 4] = octets[12..].try_into().ok()?;
            Some(Ipv4Addr::from(octets).into())
        } else if version & INI_IPV6 != 0 {
            Some(IpAddr::from(Ipv6Addr::from(octets)).to_canonical())
        } else {
            None
        }
    };
    // An `int` that holds the port as it is on the wire.
    let port = |at: usize| -> Option<u16> {
        let bytes = number(info, at)?.to_ne_bytes();
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    };
    Some(Socket {
        own: SocketAddr::new(address(TCP + 48)?, port(TCP + 4)?),
        far: SocketAddr::new(address(TCP + 32)?, port(TCP)?),
        established: number(info, TCP + 80)? == ESTABLISHED,
    })
}

/// The arguments in what `KERN_PROCARGS2` gives, each with a NUL behind it, and whether that is all of
/// them. What comes behind are variables, which nobody may see.
pub(super) fn arguments(bytes: &[u8]) -> Option<(&[u8], bool)> {
    let count = usize::try_from(number(bytes, 0)?).ok()?;
    let rest = bytes.get(4..)?;
    // The path of the program, with NULs up to a whole word.
    let path = rest.iter().position(|byte| *byte == 0)?;
    let padding = rest[path..].iter().position(|byte| *byte != 0)?;
    let rest = &rest[path + padding..];
    let mut end = 0;
    for _ in 0..count {
        match rest[end..].iter().position(|byte| *byte == 0) {
            Some(length) => end += length + 1,
            None => return Some((&rest[..end], false)),
        }
    }
    Some((&rest[..end], true))
}

fn number(bytes: &[u8], at: usize) -> Option<i32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(i32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(version: u8, own: &[u8], far: &[u8]) -> Vec<u8> {
        let mut info = vec![0; SOCKET_FDINFO];
        let mut put = |at: usize, value: &[u8]| info[at..at + value.len()].copy_from_slice(value);
        put(256, &SOCKINFO_TCP.to_ne_bytes());
        put(264, &9000_u16.to_be_bytes());
        put(268, &50_123_u16.to_be_bytes());
        put(288, &[version]);
        put(312 - far.len(), far);
        put(328 - own.len(), own);
        put(344, &ESTABLISHED.to_ne_bytes());
        info
    }

    #[test]
    fn both_ends_are_read_and_a_mapped_address_is_the_one_it_stands_for() {
        let expected = Some(Socket {
            own: "127.0.0.1:50123".parse().unwrap(),
            far: "127.0.0.2:9000".parse().unwrap(),
            established: true,
        });
        let four = info(INI_IPV4, &[127, 0, 0, 1], &[127, 0, 0, 2]);
        assert_eq!(socket(&four), expected);
        let mapped = |last| [[0; 10].as_slice(), &[0xff, 0xff, 127, 0, 0, last]].concat();
        assert_eq!(socket(&info(INI_IPV6, &mapped(1), &mapped(2))), expected);
        let six = info(INI_IPV6, &[[0; 15].as_slice(), &[1]].concat(), &[9; 16]);
        let six = socket(&six).unwrap();
        assert_eq!(six.own, "[::1]:50123".parse().unwrap());
    }

    #[test]
    fn what_is_cut_or_no_tcp_socket_is_none() {
        let whole = info(INI_IPV4, &[127, 0, 0, 1], &[127, 0, 0, 1]);
        for cut in 0..348 {
            assert_eq!(socket(&whole[..cut]), None, "{cut}");
        }
        assert_eq!(socket(&vec![0; SOCKET_FDINFO]), None);
        let neither = info(0, &[127, 0, 0, 1], &[127, 0, 0, 1]);
        assert_eq!(socket(&neither), None);
    }

    #[test]
    fn arguments_end_before_the_variables() {
        let text = |count: i32, rest: &[u8]| [&count.to_ne_bytes()[..], rest].concat();
        let all = text(3, b"/usr/bin/rclone\0\0\0\0rclone\0sync\0\0SECRET=x\0");
        assert_eq!(arguments(&all), Some((&b"rclone\0sync\0\0"[..], true)));
        let cut = text(3, b"/r\0rclone\0sy");
        assert_eq!(arguments(&cut), Some((&b"rclone\0"[..], false)));
        for wrong in [
            text(-1, b"/r\0r\0"),
            text(1, b"/r"),
            text(1, b"/r\0\0"),
            vec![1],
        ] {
            assert_eq!(arguments(&wrong), None, "{wrong:?}");
        }
    }
}
