//! One question to the kernel's `sock_diag` (sock_diag(7)): the socket with these four numbers.

use std::net::{IpAddr, SocketAddr};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{SOCK_DIAG, SocketAddrNetlink},
    },
};

use super::{Unknown, system};

const HEADER: usize = 16;
const REQUEST: usize = 56;
const MESSAGE: usize = 72;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const SEQUENCE: u32 = 1;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const TCP_ESTABLISHED: u8 = 1;
const TCP_LISTEN: u8 = 10;
const INET_DIAG_CGROUP_ID: u16 = 21;

/// A connected TCP socket of this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    /// Names the socket in `/proc/PID/fd`.
    pub(super) inode: u32,
    pub(super) uid: u32,
    /// The inode of the folder of the control group (version 2) that it was made in.
    pub(super) cgroup: Option<u64>,
    /// Whether neither side has said that it sends nothing more.
    pub(super) established: bool,
}

/// The socket whose own address is `own` and that is connected to `far`.
pub(super) fn find(own: SocketAddr, far: SocketAddr) -> Result<Socket, Unknown> {
    let (own, far) = (canonical(own), canonical(far));
    let request = request(own, far);
    let mut reply = [0; 4096];
    let length = exchange(&request, &mut reply).map_err(|error| match error {
        Errno::NOENT => Unknown::NoSuchSocket,
        error => system("ask for the sockets of this machine", error),
    })?;
    parse(&reply[..length], own, far)
}

/// An IPv4 address in its IPv6 form is the same one, and the kernel finds the socket by either.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn exchange(request: &[u8], reply: &mut [u8]) -> rustix::io::Result<usize> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(SOCK_DIAG),
    )?;
    // Connected to the kernel, so that nobody else can answer.
    rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    rustix::net::send(&socket, request, SendFlags::empty())?;
    // The answer is there when the question was taken.
    let (length, _) = rustix::net::recv(&socket, reply, RecvFlags::DONTWAIT)?;
    Ok(length)
}

fn request(own: SocketAddr, far: SocketAddr) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0; HEADER + REQUEST];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    // nlmsghdr
    put(0, &((HEADER + REQUEST) as u32).to_ne_bytes());
    put(4, &SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(6, &NLM_F_REQUEST.to_ne_bytes());
    put(8, &SEQUENCE.to_ne_bytes());
    // inet_diag_req_v2: family, protocol, extensions, padding, states
    put(
        16,
        &[if own.is_ipv4() { AF_INET } else { AF_INET6 }, IPPROTO_TCP],
    );
    put(20, &u32::MAX.to_ne_bytes());
    // inet_diag_sockid
    put(24, &own.port().to_be_bytes());
    put(26, &far.port().to_be_bytes());
    for (at, address) in [(28, own.ip()), (44, far.ip())] {
        match address {
            IpAddr::V4(address) => put(at, &address.octets()),
            IpAddr::V6(address) => put(at, &address.octets()),
        }
    }
    // No cookie: any socket with these addresses.
    put(64, &[0xff; 8]);
    bytes
}

/// Reads the first message. The kernel falls back to a socket that listens on `own`, so what it
/// names is compared with what was asked for.
fn parse(reply: &[u8], own: SocketAddr, far: SocketAddr) -> Result<Socket, Unknown> {
    let strange = || {
        system(
            "understand what the kernel says about a socket",
            Errno::BADMSG,
        )
    };
    let length = word(reply, 0).ok_or_else(strange)? as usize;
    let message = reply.get(..length).ok_or_else(strange)?;
    let kind = half(message, 4).ok_or_else(strange)?;
    if kind == NLMSG_ERROR {
        let code = word(message, HEADER).ok_or_else(strange)?.cast_signed();
        return Err(match Errno::from_raw_os_error(code.saturating_neg()) {
            Errno::NOENT => Unknown::NoSuchSocket,
            error => system("ask for the sockets of this machine", error),
        });
    }
    if kind != SOCK_DIAG_BY_FAMILY || length < HEADER + MESSAGE {
        return Err(strange());
    }
    let (message, attributes) = message[HEADER..].split_at(MESSAGE);
    let end = |port: usize, address: usize| {
        let port = u16::from_be_bytes([message[port], message[port + 1]]);
        address_at(message, address).map(|ip| SocketAddr::new(ip, port))
    };
    let found = (end(4, 8), end(6, 24));
    if message[1] == TCP_LISTEN || found != (Some(own), Some(far)) {
        return Err(Unknown::NoSuchSocket);
    }
    let (uid, inode) = (word(message, 64), word(message, 68));
    match (uid, inode) {
        // Nobody holds it any more; the kernel finishes the connection by itself.
        (_, Some(0)) => Err(Unknown::Ended),
        (Some(uid), Some(inode)) => Ok(Socket {
            inode,
            uid,
            cgroup: cgroup(attributes),
            established: message[1] == TCP_ESTABLISHED,
        }),
        _ => Err(strange()),
    }
}

fn address_at(message: &[u8], at: usize) -> Option<IpAddr> {
    match message[0] {
        AF_INET => {
            let octets: [u8; 4] = message.get(at..at + 4)?.try_into().ok()?;
            Some(octets.into())
        }
        AF_INET6 => {
            let octets: [u8; 16] = message.get(at..at + 16)?.try_into().ok()?;
            Some(IpAddr::from(octets).to_canonical())
        }
        _ => None,
    }
}

fn cgroup(mut attributes: &[u8]) -> Option<u64> {
    loop {
        let length = usize::from(half(attributes, 0)?);
        let attribute = attributes.get(4..length)?;
        if half(attributes, 2)? == INET_DIAG_CGROUP_ID {
            return attribute.try_into().ok().map(u64::from_ne_bytes);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_ne_bytes(bytes))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair(address: &str) -> (TcpListener, TcpStream, TcpStream) {
        let listener = TcpListener::bind(address).unwrap();
        let far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        (listener, near, far)
    }

    #[test]
    fn a_connected_socket_is_found_by_either_family() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (_listener, near, far) = pair(address);
            let found = find(near.peer_addr().unwrap(), near.local_addr().unwrap()).unwrap();
            assert_eq!(found.uid, crate::effective_uid());
            let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&far));
            let link = std::fs::read_link(link).unwrap();
            assert_eq!(link.to_str(), Some(&*format!("socket:[{}]", found.inode)));
        }
    }

    #[test]
    fn a_listener_on_the_port_of_a_client_that_is_gone_is_not_taken_for_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listens = listener.local_addr().unwrap();
        let other = SocketAddr::new(listens.ip(), 9);
        assert_eq!(find(listens, other), Err(Unknown::NoSuchSocket));
    }

    #[test]
    fn a_reply_that_is_cut_anywhere_is_refused_and_never_read_beyond() {
        let (_listener, near, _far) = pair("127.0.0.1:0");
        let (own, far) = (near.peer_addr().unwrap(), near.local_addr().unwrap());
        let mut reply = [0; 4096];
        let length = exchange(&request(own, far), &mut reply).unwrap();
        assert!(parse(&reply[..length], own, far).is_ok());
        for cut in 0..length {
            assert!(parse(&reply[..cut], own, far).is_err(), "{cut}");
            let mut short = reply;
            short[..4].copy_from_slice(&u32::try_from(cut).unwrap().to_ne_bytes());
            let _ = parse(&short[..length], own, far);
        }
    }
}
