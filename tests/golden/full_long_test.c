/* torchvision's models at full width, with its seeded random weights: the same logits. The files
 * are made by the test golden.full_long.files; all of these need a Python with torch (README.md).
 */
#include "test.h"

#include "support/pytorch.h"
#include "support/run.h"

#include <stdio.h>

static void check(const char *model)
{
    char path[512];
    bur_context *context = NULL;
    bur_recipe *recipe = NULL;
    bur_device *devices[TEST_MAX_RUN_DEVICES];
    snprintf(path, sizeof path, "%s/tests/golden/%s.safetensors", BURTHEN_BINARY_DIR, model);
    assert_ok(bur_context_create(&context, NULL));
    assert_ok(bur_zoo_create(&recipe, context, model,
                             &(bur_zoo_options){.classes = 1000, .values = true}));
    const int32_t n = test_run_devices(devices, context);
    for (int32_t d = 0; d < n; d++) {
        test_pytorch p;
        test_pytorch_open(&p, devices[d], recipe, path);
        assert_ok(bur_trainer_load(p.trainer, path, false));
        const double difference = test_pytorch_difference(&p);
        print_message("%s on %s: logits differ by %.2g of the largest\n", model,
                      test_run_label(devices[d]), difference);
        assert_true(difference <= 1e-4);
        test_pytorch_close(&p);
    }
    bur_recipe_destroy(recipe);
    bur_context_destroy(context);
}

static void test_golden_full_long__resnet18_gives_torchvisions_logits(void **state)
{
    (void)state;
    check("resnet18");
}

static void test_golden_full_long__resnet50_gives_torchvisions_logits(void **state)
{
    (void)state;
    check("resnet50");
}

static void test_golden_full_long__mobilenet_v2_gives_torchvisions_logits(void **state)
{
    (void)state;
    check("mobilenet-v2");
}

static void test_golden_full_long__efficientnet_b0_gives_torchvisions_logits(void **state)
{
    (void)state;
    check("efficientnet-b0");
}

static void test_golden_full_long__vit_b16_gives_torchvisions_logits(void **state)
{
    (void)state;
    check("vit-b16");
}
