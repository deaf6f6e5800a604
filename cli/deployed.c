/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/deployed.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/output.h"

static void print_version(ProtobufCBinaryData version)
{
    size_t size = version.len < DEPLOY_VERSION_SHOWN ? version.len : DEPLOY_VERSION_SHOWN;

    output_text(stdout, version.data, size);
}

void deployed_print(const void *message)
{
    const Skep__Admin__Deployed *deployed = message;
    char size[OUTPUT_NUMBER_BYTES];

    output_text(stdout, deployed->tenant.data, deployed->tenant.len);
    (void) printf(" serves version ");
    print_version(deployed->version);
    if (deployed->unchanged)
        (void) printf(" already: nothing has changed");
    else
        (void) printf(" now: %" PRIu32 " file%s, %s, loaded in %" PRIu64 " ms", deployed->files,
                      deployed->files == 1 ? "" : "s",
                      output_kib((deployed->bytes + 1023) / 1024, size),
                      (deployed->boot_us + 999) / 1000);
    (void) printf("\n");
    for (size_t i = 0; i < deployed->n_routes; i++) {
        (void) printf("  route   ");
        output_text(stdout, deployed->routes[i].data, deployed->routes[i].len);
        (void) printf("\n");
    }
    for (size_t i = 0; i < deployed->n_migrations; i++) {
        (void) printf("  applied ");
        output_text(stdout, deployed->migrations[i].data, deployed->migrations[i].len);
        (void) printf("\n");
    }
    if (deployed->previous.len > 0) {
        (void) printf("  before  ");
        print_version(deployed->previous);
        (void) printf(" (skep rollback ");
        output_text(stdout, deployed->tenant.data, deployed->tenant.len);
        (void) printf(")\n");
    }
    for (size_t i = 0; i < deployed->n_notes; i++) {
        (void) fprintf(stderr, "note: ");
        output_text(stderr, deployed->notes[i].data, deployed->notes[i].len);
        (void) fprintf(stderr, "\n");
    }
}
