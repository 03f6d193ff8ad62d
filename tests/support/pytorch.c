#include "pytorch.h"
#include "run.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <core/train/trainer.h>

/* A tensor of the file, f32; free() it. */
static float *read_tensor(const bur_safetensors *file, const char *name, bur_shape *shape)
{
    const int32_t index = bur_safetensors_find(file, name);
    if (index < 0)
        fail_msg("the file has no tensor '%s'", name);
    const bur_desc *desc = bur_safetensors_desc(file, index);
    assert_int_equal(desc->dtype, BUR_F32);
    *shape = desc->shape;
    float *values = test_run_memory(bur_desc_bytes(desc));
    assert_ok(bur_safetensors_read(file, index, values, bur_desc_bytes(desc)));
    return values;
}

/* One sample's shape of a batch's. */
static bur_shape sample_of(const bur_shape *batch)
{
    bur_shape sample = {.rank = batch->rank - 1};
    for (int32_t i = 0; i < sample.rank; i++)
        sample.dim[i] = batch->dim[i + 1];
    return sample;
}

void test_pytorch_open(test_pytorch *out, bur_device *device, const bur_recipe *recipe,
                       const char *path)
{
    bur_context *context = bur_device_context(device);
    bur_safetensors *file = NULL;
    bur_shape x = {0}, logits = {0};
    *out = (test_pytorch){.batch = 0};
    assert_ok(bur_safetensors_open(&file, context, path));
    out->x = read_tensor(file, "x", &x);
    out->wanted = read_tensor(file, "logits", &logits);
    bur_safetensors_close(file);
    out->batch = x.dim[0];
    assert_ok(bur_shape_count(&out->n_logits, &logits));
    out->logits = test_run_memory((size_t)out->n_logits * sizeof *out->logits);
    const bur_dataset_info info = {.name = "pytorch",
                                   .count = out->batch,
                                   .sample = sample_of(&x),
                                   .target = sample_of(&logits)};
    assert_ok(
        bur_dataset_from_arrays(&out->data.train, context, &info, BUR_F32, out->x, out->wanted));
    const bur_fit_options options = {.batch = out->batch, .seed = 1};
    assert_ok(bur_trainer_create(&out->trainer, device, recipe, &out->data, &options));
}

void test_pytorch_close(test_pytorch *p)
{
    bur_trainer_destroy(p->trainer);
    bur_data_close(&p->data);
    free(p->x);
    free(p->wanted);
    free(p->logits);
}

double test_pytorch_difference(test_pytorch *p)
{
    const bur_scalars scalars = {.inverse_weight_sum = 1};
    bur_session *session = NULL;
    assert_ok(bur__trainer_session(p->trainer, BUR_PREDICT, p->batch, &session));
    assert_ok(bur_session_write_batch(session, p->x, NULL));
    assert_ok(bur_session_accumulate(session, &scalars));
    assert_ok(bur_session_read_output(session, p->logits, (size_t)p->n_logits * sizeof *p->logits));
    double most = 0, largest = 0;
    for (int64_t i = 0; i < p->n_logits; i++) {
        most = fmax(most, fabs((double)p->logits[i] - (double)p->wanted[i]));
        largest = fmax(largest, fabs((double)p->wanted[i]));
        assert_true(isfinite(p->logits[i]));
    }
    assert_true(largest > 0);
    return most / largest;
}
