//! Memory that the kernel receives into, whoever it is for. All that is `unsafe` about memory is here.

use std::{
    io,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU16, Ordering},
};

use io_uring::{IoUring, types::BufRingEntry};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// So many, a power of two.
const MANY: u16 = 256;
const SIZE: usize = 64 * 1024;

/// The only group of buffers there is.
pub const GROUP: u16 = 0;

/// Buffers, each either the kernel's to fill or ours until it is given back.
pub struct Buffers {
    offered: NonNull<BufRingEntry>,
    tail: u16,
    memory: NonNull<u8>,
}

impl Buffers {
    /// All of them the kernel's. They stay for as long as the process does.
    pub fn of(ring: &IoUring) -> io::Result<Self> {
        let offered = pages(usize::from(MANY) * size_of::<BufRingEntry>())?.cast();
        let memory = pages(usize::from(MANY) * SIZE)?;
        // SAFETY: the pages are as long as the entries and are never unmapped.
        unsafe { ring.submitter().register_buf_ring_with_flags(offered.as_ptr() as u64, MANY, GROUP, 0)? };
        let mut buffers = Self { offered, tail: 0, memory };
        (0..MANY).for_each(|number| buffers.give_back(number));
        Ok(buffers)
    }

    /// Where the bytes of this one begin.
    pub fn at(&self, number: u16) -> *const u8 {
        self.begin(number)
    }

    fn begin(&self, number: u16) -> *mut u8 {
        // SAFETY: the number came from the kernel, which has it from us, so this is within the pages.
        unsafe { self.memory.as_ptr().add(usize::from(number % MANY) * SIZE) }
    }

    /// It is the kernel's again.
    pub fn give_back(&mut self, number: u16) {
        let begin = self.begin(number);
        // SAFETY: the index is below the number of entries, and the kernel reads an entry only once the tail is behind it, which is written
        // after the entry. The tail lies within the first entry, in a field that `set_*` leave alone.
        unsafe {
            let entry = &mut *self.offered.as_ptr().add(usize::from(self.tail & (MANY - 1)));
            entry.set_addr(begin as u64);
            entry.set_len(SIZE as u32);
            entry.set_bid(number);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.offered.as_ptr()).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

fn pages(bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: new pages at an address of the kernel's choice touch nobody's memory.
    let at = unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)? };
    NonNull::new(at.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
