/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that reports its jail at skepd's start, by running the real worker for that, and then
 * ends at once in every start; or, as old_worker, says hello like a worker of the first release.
 * skep-worker's folder is in the one above.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char self[PATH_MAX - 32], worker[PATH_MAX];

    if (argc < 4 || strcmp(argv[3], "--report") != 0) {
#ifdef OLD_HELLO
        /* FromWorker { hello { protocol: 1 } } on the channel. */
        static const char hello[] = { 4, 0, 0, 0, 0x0a, 2, 0x08, 1 };
        if (write(3, hello, sizeof hello) == (ssize_t) sizeof hello)
            (void) pause();
#endif
        return 1;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return 1;
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    (void) snprintf(worker, sizeof worker, "%s/../skep-worker", self);
    (void) execv(worker, argv);
    return 1;
}
