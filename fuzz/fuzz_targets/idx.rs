//! No bytes of an `.idx` may panic; what is accepted lies inside the `.bin`, in order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use saltworks::tokens::megatron::validate_idx;

fuzz_target!(|input: (u64, &[u8])| {
    let (bin_bytes, idx) = input;
    let Ok(layout) = validate_idx(idx, bin_bytes) else { return };
    assert_eq!(layout.n_tokens * layout.dtype.bytes(), bin_bytes);
    let mut before = 0;
    for document in 0..=layout.n_documents {
        let start = layout.document_start(idx, document);
        assert!(before <= start && start <= layout.n_tokens);
        before = start;
    }
    assert_eq!(before, layout.n_tokens);
});
