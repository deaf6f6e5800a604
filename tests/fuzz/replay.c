/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main() of the fuzz targets in builds without libFuzzer: gives every file of the given folders
 * (or the given files) to the target once, so that the normal tests replay the corpus.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -errno;
    struct stat st;
    if (fstat(fileno(file), &st) < 0) {
        int r = -errno;
        fclose(file);
        return r;
    }
    /* Exactly as large as the input, so that AddressSanitizer sees a read behind its end. */
    size_t size = (size_t) st.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (data == NULL || fread(data, 1, size, file) != size) {
        free(data);
        fclose(file);
        return -EIO;
    }
    fclose(file);
    (void) LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 0;
}

/* Returns how many inputs were replayed, or -errno. */
static int replay_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode)) {
        int r = replay_file(path);
        return r < 0 ? r : 1;
    }
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -errno;
    int replayed = 0;
    for (const struct dirent *entry; replayed >= 0 && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        char name[PATH_MAX];
        if (snprintf(name, sizeof(name), "%s/%s", path, entry->d_name) >= (int) sizeof(name)) {
            replayed = -ENAMETOOLONG;
            break;
        }
        int r = replay_file(name);
        replayed = r < 0 ? r : replayed + 1;
    }
    closedir(dir);
    return replayed;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int r = replay_path(argv[i]);
        if (r < 0) {
            fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
            return 1;
        }
        total += r;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? 0 : 1;
}
