/* Weights from files: our own, or PyTorch's, whose convolutions are [out, in, y, x] and whose dense
 * layers are [out, in]. */
#include "trainer.h"
#include "../graph/recipe.h"

#include <stdlib.h>
#include <string.h>

/* A file for the first `count` state tensors of a session. */
typedef struct source {
    bur_context *context;
    const bur_safetensors *file;
    const bur_recipe *recipe;
    bur_session *session;
    int32_t count;
    bool state;      /* optimizer state, too */
    bool is_pytorch; /* by metadata "format": "pt", which safetensors.torch writes */
} source;

/* Whether PyTorch has the tensor's output channels first and we have them last. */
static bool is_turned(const source *s, const bur_state_tensor *tensor)
{
    return s->is_pytorch && bur__recipe_is_kernel(s->recipe, tensor->parameter);
}

/* [y, x, in, out] or [in, out] as [out, in, y, x] or [out, in]. */
static bur_shape shape_in_file(const source *s, const bur_state_tensor *tensor)
{
    const bur_shape *ours = &tensor->desc.shape;
    const int32_t last = ours->rank - 1;
    bur_shape shape = *ours;
    if (!is_turned(s, tensor))
        return shape;
    shape.dim[0] = ours->dim[last];
    shape.dim[1] = ours->dim[last - 1];
    for (int32_t i = 2; i <= last; i++)
        shape.dim[i] = ours->dim[i - 2];
    return shape;
}

/* The last product of a model makes its classes. */
static bool makes_classes(const source *s, int32_t parameter)
{
    for (int32_t i = parameter + 1; i < bur_recipe_parameter_count(s->recipe); i++)
        if (bur__recipe_is_kernel(s->recipe, i))
            return false;
    return bur__recipe_is_kernel(s->recipe, parameter);
}

static bur_status check_tensor(const source *s, const bur_state_tensor *tensor)
{
    char a[BUR_SHAPE_TEXT], b[BUR_SHAPE_TEXT];
    const int32_t index = bur_safetensors_find(s->file, tensor->name);
    if (index < 0)
        return bur_fail(BUR_E_FORMAT, "the file has no tensor '%s'", tensor->name);
    const bur_desc *found = bur_safetensors_desc(s->file, index);
    const bur_shape wanted = shape_in_file(s, tensor);
    if (found->dtype == tensor->desc.dtype && bur_shape_equal(&found->shape, &wanted))
        return BUR_OK;
    return bur_fail(
        BUR_E_FORMAT, "'%s' is %s %s in the file, %s %s in the model%s%s", tensor->name,
        bur_dtype_name((bur_dtype)found->dtype), bur_shape_format(a, sizeof a, &found->shape),
        bur_dtype_name((bur_dtype)tensor->desc.dtype), bur_shape_format(b, sizeof b, &wanted),
        s->is_pytorch ? ", as PyTorch lays it out" : "",
        makes_classes(s, tensor->parameter) ? "; it makes the model's classes" : "");
}

/* from[out, in, place] to to[place, in, out]. */
static void turn(float *to, const float *from, const bur_shape *ours)
{
    const int64_t out = ours->dim[ours->rank - 1], in = ours->dim[ours->rank - 2];
    int64_t places = 1;
    for (int32_t i = 0; i < ours->rank - 2; i++)
        places *= ours->dim[i];
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t p = 0; p < places; p++)
                to[(p * in + i) * out + o] = *from++;
}

/* A parameter that is loaded without its average is its first average. */
static bur_status load_tensor(const source *s, int32_t index, void *data, void *turned)
{
    const bur_state_tensor *tensor = bur_session_state_at(s->session, index);
    const int32_t average = s->state ? -1 : bur__average_of(s->session, tensor->parameter);
    BUR_TRY(bur_safetensors_read(s->file, bur_safetensors_find(s->file, tensor->name), data,
                                 bur_desc_bytes(&tensor->desc)));
    if (is_turned(s, tensor)) {
        turn(turned, data, &tensor->desc.shape);
        data = turned;
    }
    BUR_TRY(bur_session_write_state(s->session, index, data));
    return average < 0 ? BUR_OK : bur_session_write_state(s->session, average, data);
}

/* Everything is checked before the first tensor is written. */
static bur_status load(const source *s)
{
    size_t most = 0;
    for (int32_t i = 0; i < s->count; i++) {
        const bur_state_tensor *tensor = bur_session_state_at(s->session, i);
        const size_t bytes = bur_desc_bytes(&tensor->desc);
        BUR_TRY(check_tensor(s, tensor));
        most = bytes > most ? bytes : most;
    }
    char *data = bur_alloc_array(s->context, s->is_pytorch ? 2 : 1, most);
    if (data == NULL)
        return BUR_E_NOMEM;
    bur_status status = BUR_OK;
    for (int32_t i = 0; i < s->count && status == BUR_OK; i++)
        status = load_tensor(s, i, data, data + (s->is_pytorch ? most : 0));
    bur_free(s->context, data);
    return status;
}

bur_status bur_trainer_load(bur_trainer *trainer, const char *path, bool state)
{
    if (trainer == NULL || path == NULL)
        return bur_fail(BUR_E_ARG, "bur_trainer_load: NULL argument");
    bur_safetensors *file = NULL;
    BUR_TRY(bur_safetensors_open(&file, trainer->context, path));
    const char *format = bur_safetensors_metadata(file, "format");
    bur_session *session = bur_trainer_session(trainer);
    const source s = {.context = trainer->context,
                      .file = file,
                      .recipe = trainer->recipe,
                      .session = session,
                      .count = bur__saved_count(session, state),
                      .state = state,
                      .is_pytorch = format != NULL && strcmp(format, "pt") == 0};
    const bur_status status = load(&s);
    const char *updates = bur_safetensors_metadata(file, "updates");
    if (status == BUR_OK && state && updates != NULL)
        trainer->updates = strtoll(updates, NULL, 10);
    bur_safetensors_close(file);
    if (status != BUR_OK)
        return bur_fail_in(status, "%s", path);
    return bur__trainer_snapshot(trainer, true);
}
