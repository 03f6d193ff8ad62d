#include "opened.h"
#include "device.h"
#include "test.h"

void test_opened_create(test_opened *out)
{
    const bur_device_info *infos = NULL;
    const bur_device_info *opened[16];
    int32_t listed = 0;
    (void)test_expected_devices();
    *out = (test_opened){.count = 0};
    assert_ok(bur_context_create(&out->context, NULL));
    assert_ok(bur_device_list(out->context, &infos, &listed, NULL));
    for (int32_t i = 0; i < listed && out->count < 16; i++) {
        if (!infos[i].trains)
            continue;
        assert_ok(bur_device_open(&out->devices[out->count], out->context, infos[i].name));
        opened[out->count] = bur_device_describe(out->devices[out->count]);
        out->count++;
    }
    assert_true(test_expected_are_there(opened, out->count));
}

void test_opened_destroy(test_opened *opened)
{
    bur_context_destroy(opened->context);
}
