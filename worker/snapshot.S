/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The startup snapshot that skep-mksnapshot wrote, as read-only bytes of skep-worker. Declared in
 * snapshot.h; CMake gives the file's path. V8 wants the blob aligned to a pointer; whole pages
 * keep it apart from other data.
 */
    .section .rodata.skep_snapshot, "a", %progbits
    .balign 4096
    .globl skep_snapshot
    .hidden skep_snapshot
    .type skep_snapshot, %object
skep_snapshot:
    .incbin SKEP_SNAPSHOT_FILE
skep_snapshot_end:
    .size skep_snapshot, skep_snapshot_end - skep_snapshot

    .balign 8
    .globl skep_snapshot_size
    .hidden skep_snapshot_size
    .type skep_snapshot_size, %object
    .size skep_snapshot_size, 8
skep_snapshot_size:
    .quad skep_snapshot_end - skep_snapshot

/* There is no code here that would keep control-flow protection off: tell the linker so. */
#if defined(__CET__)
#include <cet.h>
#endif
    .section .note.GNU-stack, "", %progbits
