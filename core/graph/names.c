/* Names and defaults of losses, optimizers and initialisers. */
#include <burthen/graph.h>

#include <string.h>

static const char *const loss_names[] = {
#define ROW(name, text) [BUR_LOSS_##name] = text,
    BUR_LOSS_MAP(ROW)
#undef ROW
};

static const char *const optimizer_names[] = {
#define ROW(name, text, op, slots) [BUR_##name] = #text,
    BUR_OPTIMIZER_MAP(ROW)
#undef ROW
};

static const char *const initializer_names[] = {
#define ROW(name, text) [BUR_INIT_##name] = text,
    BUR_INITIALIZER_MAP(ROW)
#undef ROW
};

static const bur_optimizer optimizer_defaults[] = {
    [BUR_SGD] = {BUR_SGD, 0.01F, {0}},
    [BUR_MOMENTUM] = {BUR_MOMENTUM, 0.01F, {.momentum = 0.9F}},
    [BUR_ADAM] = {BUR_ADAM, 0.001F, {.beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-7F}},
    [BUR_NESTEROV] = {BUR_NESTEROV, 0.01F, {.momentum = 0.9F, .nesterov = 1}},
    [BUR_RMSPROP] = {BUR_RMSPROP, 0.001F, {.beta2 = 0.9F, .epsilon = 1e-7F}},
    [BUR_ADAGRAD] = {BUR_ADAGRAD, 0.001F, {.epsilon = 1e-7F, .initial = 0.1F}},
    [BUR_ADAMW] = {BUR_ADAMW,
                   0.001F,
                   {.beta1 = 0.9F, .beta2 = 0.999F, .epsilon = 1e-7F, .weight_decay = 0.004F}},
};

const char *bur_loss_name(bur_loss loss)
{
    return (unsigned)loss < BUR_LOSS_COUNT ? loss_names[loss] : "unknown";
}

const char *bur_optimizer_name(bur_optimizer_kind kind)
{
    return (unsigned)kind < BUR_OPTIMIZER_COUNT ? optimizer_names[kind] : "unknown";
}

const char *bur_initializer_name(bur_initializer initializer)
{
    return (unsigned)initializer < BUR_INITIALIZER_COUNT ? initializer_names[initializer]
                                                         : "unknown";
}

bur_optimizer bur_optimizer_default(bur_optimizer_kind kind)
{
    return optimizer_defaults[(unsigned)kind < BUR_OPTIMIZER_COUNT ? kind : BUR_ADAM];
}

static const char *name_at(const void *names, int32_t i)
{
    return ((const char *const *)names)[i];
}

/* The index of `name`, or an error that lists what there is. */
static bur_status find(int32_t *out, const char *what, const char *name, const char *const *names,
                       int32_t count)
{
    *out = bur_word_find(name, count, name_at, names);
    if (*out >= 0)
        return BUR_OK;
    char list[128] = "";
    for (int32_t i = 0; i < count; i++) {
        strncat(list, i == 0 ? "" : ", ", sizeof list - strlen(list) - 1);
        strncat(list, names[i], sizeof list - strlen(list) - 1);
    }
    return bur_fail(BUR_E_NAME, "no %s '%s'; there are %s", what, name, list);
}

bur_status bur_loss_find(bur_loss *out, const char *name)
{
    int32_t index = -1;
    BUR_TRY(find(&index, "loss", name, loss_names, BUR_LOSS_COUNT));
    *out = (bur_loss)index;
    return BUR_OK;
}

bur_status bur_optimizer_find(bur_optimizer_kind *out, const char *name)
{
    int32_t index = -1;
    BUR_TRY(find(&index, "optimizer", name, optimizer_names, BUR_OPTIMIZER_COUNT));
    *out = (bur_optimizer_kind)index;
    return BUR_OK;
}
