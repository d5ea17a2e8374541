//! Signals that a program which maps files has to know of, and what was true before it started. Unix alone; elsewhere
//! nothing here does anything.
//!
//! A page of a mapped file that is no longer there (the file was truncated, the disk or network failed) is SIGBUS; a file
//! that would exceed the limit on the size of files is SIGXFSZ. By default both end the process without a word.

use std::io;
use std::path::PathBuf;

/// A page of mapped memory that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostPage {
    /// The mapped file, where the system tells.
    pub file: Option<PathBuf>,
}

/// Calls `report` on a thread of its own when a page of mapped memory cannot be read. The thread that read it never
/// returns, so `report` has to end the process.
///
/// # Errors
/// [`io::Error`] if the system gives no pipe, no thread, or no handler.
pub fn on_lost_page(report: impl FnOnce(LostPage) + Send + 'static) -> io::Result<()> {
    system::on_lost_page(report)
}

/// Makes writing beyond the limit on the size of files an error of that write, which the engine reports with a remedy.
pub fn ignore_file_size_signal() {
    system::ignore_file_size_signal();
}

/// Whether standard output was closed when the process started.
pub fn stdout_was_closed() -> bool {
    system::stdout_was_closed()
}

#[cfg(unix)]
#[allow(unsafe_code, reason = "signal handlers, and a look at descriptors before Rust's runtime changes them")]
mod system {
    use std::fs;
    use std::io::{self, Read};
    use std::mem;
    use std::os::fd::IntoRawFd;
    use std::path::PathBuf;
    use std::ptr;
    use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
    use std::thread;

    use super::LostPage;

    /// The end of the pipe that the handler writes addresses to; below 0 while there is none.
    static ADDRESSES: AtomicI32 = AtomicI32::new(-1);

    static STDOUT_CLOSED: AtomicBool = AtomicBool::new(false);

    /// Runs before `main`: Rust's runtime opens the null device in place of a closed descriptor.
    extern "C" fn look_at_stdout() {
        // SAFETY: asks for the flags of a descriptor and touches no memory; no other thread runs yet.
        let flags = unsafe { libc::fcntl(1, libc::F_GETFD) };
        STDOUT_CLOSED.store(flags == -1, Ordering::Relaxed);
    }

    // SAFETY: both sections are lists of functions that the loader calls once, before `main` and on the only thread; this
    // one may be called with arguments, which C functions may ignore, and needs nothing of Rust's runtime.
    #[used]
    #[cfg_attr(target_vendor = "apple", unsafe(link_section = "__DATA,__mod_init_func"))]
    #[cfg_attr(not(target_vendor = "apple"), unsafe(link_section = ".init_array"))]
    static BEFORE_MAIN: extern "C" fn() = look_at_stdout;

    pub fn stdout_was_closed() -> bool {
        STDOUT_CLOSED.load(Ordering::Relaxed)
    }

    pub fn ignore_file_size_signal() {
        // SAFETY: no handler of ours or of Rust's runtime is replaced; ignoring a signal calls no code.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    }

    /// Hands the address to the reporting thread and stops for good: the instruction cannot be completed.
    ///
    /// Only functions that POSIX allows in signal handlers are called: `write`, `pause`, `signal`, `raise`.
    extern "C" fn lost(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the system passes a valid `info` for SA_SIGINFO handlers; `si_addr` is set for SIGBUS of a fault, which a
        // code above 0 tells. The calls are async-signal-safe and get memory that lives on this stack.
        unsafe {
            if (*info).si_code <= 0 {
                // Sent by another process: as without a handler, once this one returns.
                libc::signal(signal, libc::SIG_DFL);
                libc::raise(signal);
                return;
            }
            let address = ((*info).si_addr() as usize).to_ne_bytes();
            libc::write(ADDRESSES.load(Ordering::Relaxed), address.as_ptr().cast(), address.len());
            loop {
                libc::pause();
            }
        }
    }

    pub fn on_lost_page(report: impl FnOnce(LostPage) + Send + 'static) -> io::Result<()> {
        let (mut reader, writer) = io::pipe()?;
        thread::Builder::new().name("lost pages".into()).spawn(move || {
            let mut address = [0; size_of::<usize>()];
            if reader.read_exact(&mut address).is_ok() {
                report(LostPage { file: mapped_at(usize::from_ne_bytes(address)) });
            }
        })?;
        ADDRESSES.store(writer.into_raw_fd(), Ordering::Relaxed);
        // SAFETY: the action is zeroed, which is valid for its type, and every field that is read is set; the handler has
        // the signature that SA_SIGINFO asks for. On Linux Rust's runtime uses SIGBUS for overflows of stacks alone, which
        // are SIGSEGV there.
        let failed = unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = lost as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &action, ptr::null_mut()) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// The file that is mapped at an address, as Linux tells.
    fn mapped_at(address: usize) -> Option<PathBuf> {
        in_maps(&fs::read_to_string("/proc/self/maps").ok()?, address)
    }

    /// Lines are `start-end permissions offset device inode path`.
    pub(super) fn in_maps(maps: &str, address: usize) -> Option<PathBuf> {
        let holds = |line: &&str| {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let number = |text: &str| usize::from_str_radix(text, 16).ok();
            range.and_then(|(start, end)| Some(number(start)? <= address && address < number(end)?)) == Some(true)
        };
        let line = maps.lines().find(holds)?;
        let path = line.splitn(6, ' ').nth(5)?.trim_start();
        let path = path.strip_suffix(" (deleted)").unwrap_or(path);
        path.starts_with('/').then(|| path.into())
    }
}

#[cfg(not(unix))]
mod system {
    pub fn on_lost_page(_: impl FnOnce(super::LostPage) + Send + 'static) -> std::io::Result<()> {
        Ok(())
    }

    pub fn ignore_file_size_signal() {}

    pub fn stdout_was_closed() -> bool {
        false
    }
}

#[cfg(all(test, unix))]
mod tests {
    #[test]
    fn the_file_at_an_address_is_found() {
        let maps = "7f00-7f10 r-xp 00000000 08:01 12   /usr/lib/a.so\n\
                    8000-9000 r--s 00000000 08:01 34                         /models/a b.safetensors\n\
                    9000-a000 r--s 00000000 08:01 35      /models/gone (deleted)\n\
                    a000-b000 rw-p 00000000 00:00 0 \n\
                    b000-c000 rw-p 00000000 00:00 0      [heap]\n";
        let at = |address: usize| super::system::in_maps(maps, address);
        assert_eq!(at(0x8fff), Some("/models/a b.safetensors".into()));
        assert_eq!(at(0x9000), Some("/models/gone".into()));
        assert_eq!([at(0x7000), at(0xa000), at(0xb001), at(0xc000)], [None, None, None, None]);
    }
}
