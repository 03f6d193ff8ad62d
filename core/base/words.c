#define _POSIX_C_SOURCE 200809L /* strnlen */
/* Names in tables: lookup and "did you mean". */
#include <burthen/base.h>

#include <string.h>

enum { MAX_WORD = 63 };

int32_t bur_word_find(const char *word, int32_t count,
                      const char *(*name)(const void *user, int32_t i), const void *user)
{
    for (int32_t i = 0; i < count; i++)
        if (strcmp(word, name(user, i)) == 0)
            return i;
    return -1;
}

/* Edits that turn a into b: insert, delete, replace, or swap two neighbours ("trian"); both words
 * are cut at MAX_WORD. Source: optimal string alignment, after Damerau, 1964. */
static int32_t distance(const char *a, const char *b)
{
    const int32_t m = (int32_t)strnlen(a, MAX_WORD), n = (int32_t)strnlen(b, MAX_WORD);
    int32_t rows[3][MAX_WORD + 1]; /* row i is rows[i % 3] */
    for (int32_t j = 0; j <= n; j++)
        rows[0][j] = j;
    for (int32_t i = 1; i <= m; i++) {
        int32_t *row = rows[i % 3];
        const int32_t *above = rows[(i - 1) % 3], *swap = rows[(i + 1) % 3];
        row[0] = i;
        for (int32_t j = 1; j <= n; j++) {
            int32_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < best)
                best = above[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                swap[j - 2] + 1 < best)
                best = swap[j - 2] + 1;
            row[j] = best;
        }
    }
    return rows[m % 3][n];
}

const char *bur_word_nearest(const char *word, int32_t count,
                             const char *(*name)(const void *user, int32_t i), const void *user)
{
    const size_t length = strlen(word);
    const char *nearest = NULL;
    int32_t least = length < 6 ? 2 : (int32_t)length / 3 + 1;
    for (int32_t i = 0; i < count; i++) {
        const char *candidate = name(user, i);
        const int32_t d =
            length >= 3 && strncmp(word, candidate, length) == 0 ? 0 : distance(word, candidate);
        if (d < least) {
            least = d;
            nearest = candidate;
        }
    }
    return nearest;
}
