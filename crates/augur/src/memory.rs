//! How soon the allocator gives back to the system what was freed: [`give_back_soon`].
#![expect(unsafe_code, reason = "the allocator's options are functions of C; each use says why it is sound")]

use std::ffi::{c_int, c_long};

/// `mi_option_purge_delay` of mimalloc's `mi_option_t`, in its versions 2 and 3 alike.
const PURGE_DELAY: c_int = 15;

/// Milliseconds for which freed pages are kept for the next use, instead of a second. With 10 ms a scheduler of 32,000 pods has at
/// its peak ten MiB more than with none, at no less CPU time.
const SOON: c_long = 0;

unsafe extern "C" {
    // mimalloc is linked as the program's allocator.
    fn mi_option_set(option: c_int, value: c_long);
}

/// Has freed pages given back at once: lists and bursts need much for a moment, and a scheduler stands beside
/// other components of the cluster. Costs page faults where much is freed and allocated again at once.
pub fn give_back_soon() {
    // SAFETY: the function stores a number in a table, by an index that is in it; it is meant to be called at any time.
    unsafe { mi_option_set(PURGE_DELAY, SOON) };
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        fn mi_option_get(option: c_int) -> c_long;
    }

    #[test]
    fn the_allocator_knows_the_option_by_its_number() {
        // SAFETY: it reads a number of a table, by an index that is in it.
        let delay = || unsafe { mi_option_get(PURGE_DELAY) };
        // Its default; the numbers beside it are those of options that are on or off.
        assert_eq!(delay(), 1000);
        give_back_soon();
        assert_eq!(delay(), SOON);
    }
}
