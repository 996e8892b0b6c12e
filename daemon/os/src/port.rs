//! Who listens on a TCP port.

/// A process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Whose it is.
    pub uid: u32,
    /// Its process id; unknown when it is another user's.
    pub pid: Option<u32>,
    /// Its program's name, without arguments.
    pub command: Option<String>,
}

/// Who keeps `127.0.0.1:port` from being bound: this process, if it holds the listening socket, whoever has
/// passed it that. Only Linux tells; elsewhere, and when nobody listens, there is no answer.
#[must_use]
pub fn port_holder(port: u16) -> Option<Holder> {
    #[cfg(target_os = "linux")]
    return linux::port_holder(port);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = port;
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{
        fs,
        net::{IpAddr, Ipv4Addr, Ipv6Addr},
    };

    use super::Holder;
    use crate::process::command_of;

    const LISTEN: &str = "0A";

    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Socket {
        pub(super) uid: u32,
        pub(super) inode: u32,
    }

    pub(super) fn port_holder(port: u16) -> Option<Holder> {
        let socket = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .find_map(|table| {
                let table = fs::read_to_string(table).ok()?;
                table.lines().skip(1).find_map(|line| listener(line, port))
            })?;
        let pid = match is_ours(socket.inode) {
            true => Some(std::process::id()),
            false => crate::attribution::holder_of(socket.inode, socket.uid),
        };
        Some(Holder {
            uid: socket.uid,
            pid,
            command: pid.and_then(command_of),
        })
    }

    fn is_ours(inode: u32) -> bool {
        let link = format!("socket:[{inode}]");
        let open = fs::read_dir("/proc/self/fd").into_iter().flatten();
        open.flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|target| target.as_os_str() == link.as_str())
    }

    /// One line of the table (proc(5)): number, local address, remote address, state, queues,
    /// timer, retransmits, uid, timeout, inode.
    pub(super) fn listener(line: &str, port: u16) -> Option<Socket> {
        let mut fields = line.split_whitespace();
        let (address, local_port) = fields.nth(1)?.split_once(':')?;
        if u16::from_str_radix(local_port, 16).ok()? != port || fields.nth(1)? != LISTEN {
            return None;
        }
        let address = parse_address(address)?.to_canonical();
        if !address.is_unspecified() && address != IpAddr::V4(Ipv4Addr::LOCALHOST) {
            return None;
        }
        let uid = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        Some(Socket { uid, inode })
    }

    /// Words of 32 bits, each written as the number it is on this machine.
    fn parse_address(text: &str) -> Option<IpAddr> {
        let word = |at: usize| {
            let digits = text.get(at * 8..at * 8 + 8)?;
            u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
        };
        match text.len() {
            8 => Some(Ipv4Addr::from(word(0)?).into()),
            32 => {
                let bytes = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
                Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into())
            }
            _ => None,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_found_with_its_process() {
        for address in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let holder = port_holder(listener.local_addr().unwrap().port()).unwrap();
            assert_eq!(holder.pid, Some(std::process::id()));
            assert_eq!(holder.uid, crate::effective_uid());
            assert!(holder.command.is_some());
        }
    }

    /// The test's own process stands for the service manager, one that it starts for the daemon.
    #[test]
    fn a_socket_that_was_passed_to_this_process_is_its_own() {
        const PORT: &str = "BASCULE_TEST_PASSED_PORT";
        if let Some(port) = std::env::var_os(PORT) {
            let port = port.to_str().unwrap().parse().unwrap();
            assert_eq!(port_holder(port).unwrap().pid, Some(std::process::id()));
            return;
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let passed = std::os::fd::OwnedFd::from(listener.try_clone().unwrap());
        let name = "port::tests::a_socket_that_was_passed_to_this_process_is_its_own";
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact"])
            .env(PORT, port.to_string())
            .stdin(passed)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
        assert_eq!(port_holder(port).unwrap().pid, Some(std::process::id()));
    }

    #[test]
    fn what_does_not_listen_on_the_loopback_port_is_not_blamed() {
        let line = |address: &str, state: &str| {
            format!(
                "0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 1000 0 4242 1"
            )
        };
        let loopback = format!("{:08X}:21C2", u32::from_ne_bytes([127, 0, 0, 1]));
        let elsewhere = format!("{:08X}:21C2", u32::from_ne_bytes([192, 0, 2, 1]));
        let found = linux::listener(&line(&loopback, "0A"), 8642);
        assert_eq!(
            found,
            Some(linux::Socket {
                uid: 1000,
                inode: 4242
            })
        );
        assert_eq!(
            linux::listener(&line(&loopback, "01"), 8642),
            None,
            "a connection"
        );
        assert_eq!(
            linux::listener(&line(&loopback, "0A"), 8643),
            None,
            "another port"
        );
        assert_eq!(
            linux::listener(&line(&elsewhere, "0A"), 8642),
            None,
            "another address"
        );
        assert_eq!(linux::listener("", 8642), None);
    }
}
