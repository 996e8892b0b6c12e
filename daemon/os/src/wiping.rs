//! An allocator that gives no memory back before it is wiped, so that what a library copied,
//! buffered or outgrew does not outlive its use (threats.md D1, D11).
//!
//! What foreign code allocates by itself, and what lies on stacks, is not wiped.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    arch::asm,
};

/// The system's allocator with every freed block overwritten by zeros. For `#[global_allocator]`.
#[derive(Debug, Clone, Copy, Default)]
pub struct WipingAllocator;

// `realloc` stays the trait's own: a new block, a copy, and the old one freed here. The system's
// would leave what it moved away from, and the end that it cut off, as they were.
#[expect(unsafe_code, reason = "an allocator can't be had otherwise")]
// SAFETY: each call is the system allocator's with the same arguments; wiping writes to a block
// that the caller gives up, within its size.
unsafe impl GlobalAlloc for WipingAllocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is as long as its layout says, and nobody uses it any more. The empty
        // instruction counts as a reader, or the compiler would drop writes right before a free.
        unsafe {
            block.write_bytes(0, layout.size());
            asm!("/* {0} */", in(reg) block, options(readonly, nostack, preserves_flags));
            System.dealloc(block, layout);
        }
    }
}
