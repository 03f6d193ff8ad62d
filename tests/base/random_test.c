#include "test.h"

/* Known answers of Philox4x32-10 from the paper's reference code (Random123, kat_vectors). */
static void test_base_random__philox_gives_the_published_vectors(void **state)
{
    (void)state;
    uint32_t out[4];
    bur_philox(out, (uint32_t[]){0, 0, 0, 0}, (uint32_t[]){0, 0});
    const uint32_t zeros[] = {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u};
    assert_memory_equal(out, zeros, sizeof zeros);
    bur_philox(out, (uint32_t[]){0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
               (uint32_t[]){0xa4093822u, 0x299f31d0u});
    const uint32_t pi[] = {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u};
    assert_memory_equal(out, pi, sizeof pi);
}
