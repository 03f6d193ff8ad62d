/* Networks for large images, layer by layer and name by name as torchvision has them, so that its
 * weights fit: ResNet (He, Zhang, Ren and Sun, 2016), MobileNetV2 (Sandler et al., 2018) and
 * EfficientNet (Tan and Le, 2019). */
#include "zoo.h"

#include <stdarg.h>
#include <stdio.h>

/* A network under construction: the recipe, its last value, how wide it is. */
typedef struct network {
    bur_recipe *recipe;
    bur_ref value;
    const bur_zoo_options *options;
} network;

static int32_t scaled(const network *n, int32_t channels)
{
    return bur__zoo_scaled(n->options, channels);
}

/* Puts a layer behind the last value, named as printf would. */
static bur_status put(network *n, bur_layer layer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bur_status put(network *n, bur_layer layer, const char *format, ...)
{
    char name[64];
    const bur_ref input = n->value;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    layer.name = name;
    return bur_layer_apply(n->recipe, &layer, &input, 1, &n->value);
}

/* A convolution without bias that keeps the size but for its stride, by padding on both sides. */
static bur_layer convolution(int32_t filters, int32_t kernel, int32_t stride)
{
    bur_layer layer = bur_conv2d(filters, kernel, BUR_PADDED, BUR_LINEAR);
    for (int i = 0; i < 4; i++)
        layer.pad[i] = (kernel - 1) / 2;
    layer.stride[0] = layer.stride[1] = stride;
    layer.no_bias = true;
    layer.weight_initializer = BUR_INIT_HE_NORMAL;
    return layer;
}

static bur_layer depthwise(int32_t kernel, int32_t stride)
{
    bur_layer layer = convolution(1, kernel, stride);
    layer.kind = BUR_LAYER_DEPTHWISE_CONV2D;
    return layer;
}

/* PyTorch's defaults, not Keras'. */
static bur_layer normalization(void)
{
    bur_layer layer = bur_batch_normalization();
    layer.epsilon = 1e-5F;
    layer.momentum = 0.9F;
    layer.unbiased = true;
    return layer;
}

static bur_status join(network *n, bur_layer layer, bur_ref other, const char *prefix,
                       const char *name)
{
    char full[64];
    const bur_ref both[2] = {n->value, other};
    snprintf(full, sizeof full, "%s%s", prefix, name);
    layer.name = full;
    return bur_layer_apply(n->recipe, &layer, both, 2, &n->value);
}

static bur_status start(network *n, bur_recipe *recipe, bur_ref input,
                        const bur_zoo_options *options)
{
    *n = (network){recipe, input, options};
    return options->sample.rank == 3
               ? BUR_OK
               : bur_fail(BUR_E_SHAPE, "it takes images, height x width x channels");
}

/* What is asked for, else the model's own rate. */
static float dropout_or(const bur_zoo_options *options, float own)
{
    if (options->no_dropout)
        return 0;
    return options->dropout > 0 ? options->dropout : own;
}

/* The mean of each channel, dropout, and the classes. */
static bur_status add_head(network *n, float dropout, const char *name)
{
    BUR_TRY(put(n, bur_global_average_pooling2d(), "avgpool"));
    if (dropout > 0)
        BUR_TRY(put(n, bur_dropout(dropout), "dropout"));
    BUR_TRY(put(n, bur_dense(n->options->classes, n->options->values ? BUR_LINEAR : BUR_SOFTMAX),
                "%s", name));
    return bur_recipe_output(n->recipe, n->value);
}

/* ---- ResNet ---- */

typedef struct resnet {
    int32_t blocks[4];
    bool bottleneck; /* 1x1, 3x3, 1x1 to four times the channels; else 3x3, 3x3 */
} resnet;

/* Convolution and normalisation number `i` of a block, relu behind all but the last. */
static bur_status add_unit(network *n, const char *block, int32_t i, bur_layer layer, bool last)
{
    BUR_TRY(put(n, layer, "%sconv%d", block, (int)i));
    BUR_TRY(put(n, normalization(), "%sbn%d", block, (int)i));
    return last ? BUR_OK : put(n, bur_activate(BUR_RELU), "%srelu%d", block, (int)i);
}

/* The shortcut has a convolution of its own where size or channels change. */
static bur_status add_shortcut(network *n, const char *block, int32_t channels, int32_t stride)
{
    const bur_shape *x = &bur_recipe_desc(n->recipe, n->value)->shape;
    if (stride == 1 && x->dim[3] == channels)
        return BUR_OK;
    BUR_TRY(put(n, convolution(channels, 1, stride), "%sdownsample.0", block));
    return put(n, normalization(), "%sdownsample.1", block);
}

static bur_status add_block(network *n, const resnet *r, const char *block, int32_t channels,
                            int32_t stride)
{
    const int32_t outer = r->bottleneck ? 4 * channels : channels;
    network shortcut = *n;
    BUR_TRY(add_shortcut(&shortcut, block, outer, stride));
    if (r->bottleneck) {
        BUR_TRY(add_unit(n, block, 1, convolution(channels, 1, 1), false));
        BUR_TRY(add_unit(n, block, 2, convolution(channels, 3, stride), false));
        BUR_TRY(add_unit(n, block, 3, convolution(outer, 1, 1), true));
    } else {
        BUR_TRY(add_unit(n, block, 1, convolution(channels, 3, stride), false));
        BUR_TRY(add_unit(n, block, 2, convolution(channels, 3, 1), true));
    }
    return join(n, bur_add(BUR_RELU), shortcut.value, block, "add");
}

/* 7x7 and a pool for large images; 3x3 for small ones, which would be gone before they are seen. */
static bur_status add_stem(network *n)
{
    const bool small = n->options->small_stem;
    BUR_TRY(put(n, convolution(scaled(n, 64), small ? 3 : 7, small ? 1 : 2), "conv1"));
    BUR_TRY(put(n, normalization(), "bn1"));
    BUR_TRY(put(n, bur_activate(BUR_RELU), "relu"));
    if (small)
        return BUR_OK;
    bur_layer pool = bur_max_pooling2d(3);
    pool.padding = BUR_PADDED;
    for (int i = 0; i < 4; i++)
        pool.pad[i] = 1;
    pool.stride[0] = pool.stride[1] = 2;
    return put(n, pool, "maxpool");
}

static bur_status build_resnet(bur_recipe *recipe, bur_ref input, const bur_zoo_options *options,
                               const resnet *r)
{
    network n;
    char block[32];
    BUR_TRY(start(&n, recipe, input, options));
    BUR_TRY(add_stem(&n));
    for (int32_t stage = 0; stage < 4; stage++)
        for (int32_t i = 0; i < r->blocks[stage]; i++) {
            snprintf(block, sizeof block, "layer%d.%d.", (int)stage + 1, (int)i);
            BUR_TRY(add_block(&n, r, block, scaled(&n, 64 << stage), i == 0 && stage > 0 ? 2 : 1));
        }
    return add_head(&n, dropout_or(options, 0), "fc");
}

bur_status bur__zoo_resnet18(bur_recipe *recipe, bur_ref input, const bur_zoo_options *options)
{
    return build_resnet(recipe, input, options, &(const resnet){{2, 2, 2, 2}, false});
}

bur_status bur__zoo_resnet50(bur_recipe *recipe, bur_ref input, const bur_zoo_options *options)
{
    return build_resnet(recipe, input, options, &(const resnet){{3, 4, 6, 3}, true});
}

bur_status bur__zoo_resnet101(bur_recipe *recipe, bur_ref input, const bur_zoo_options *options)
{
    return build_resnet(recipe, input, options, &(const resnet){{3, 4, 23, 3}, true});
}

/* ---- MobileNetV2 ---- */

/* The multiple of 8 nearest to `channels` times the width, no more than a tenth below it. */
static int32_t divisible(const network *n, int32_t channels)
{
    const float width = n->options->width > 0 ? n->options->width : 1;
    const double wanted = (double)width * channels;
    int32_t rounded = (int32_t)(wanted + 4) / 8 * 8;
    rounded = rounded < 8 ? 8 : rounded;
    return rounded < 0.9 * wanted ? rounded + 8 : rounded;
}

/* Convolution, normalisation and activation as torchvision numbers them: PREFIX0, PREFIX1, PREFIX2.
 */
static bur_status add_numbered(network *n, const char *prefix, bur_layer layer,
                               bur_activation activation)
{
    BUR_TRY(put(n, layer, "%s0", prefix));
    BUR_TRY(put(n, normalization(), "%s1", prefix));
    return activation == BUR_LINEAR ? BUR_OK : put(n, bur_activate(activation), "%s2", prefix);
}

static int32_t channels_of(const network *n)
{
    return (int32_t)bur_recipe_desc(n->recipe, n->value)->shape.dim[3];
}

/* Widened, filtered channel by channel, narrowed without activation; a shortcut where it fits. */
static bur_status add_inverted(network *n, int32_t index, int32_t channels, int32_t expansion,
                               int32_t stride)
{
    char prefix[48], block[32];
    int32_t at = 0;
    const bur_ref input = n->value;
    const int32_t before = channels_of(n);
    snprintf(block, sizeof block, "features.%d.", (int)index);
    if (expansion > 1) {
        snprintf(prefix, sizeof prefix, "%sconv.%d.", block, (int)at++);
        BUR_TRY(add_numbered(n, prefix, convolution(before * expansion, 1, 1), BUR_RELU6));
    }
    snprintf(prefix, sizeof prefix, "%sconv.%d.", block, (int)at++);
    BUR_TRY(add_numbered(n, prefix, depthwise(3, stride), BUR_RELU6));
    BUR_TRY(put(n, convolution(channels, 1, 1), "%sconv.%d", block, (int)at));
    BUR_TRY(put(n, normalization(), "%sconv.%d", block, (int)at + 1));
    if (stride != 1 || before != channels)
        return BUR_OK;
    return join(n, bur_add(BUR_LINEAR), input, block, "add");
}

bur_status bur__zoo_mobilenet_v2(bur_recipe *recipe, bur_ref input, const bur_zoo_options *options)
{
    static const struct {
        int32_t expansion, channels, repeats, stride;
    } stages[] = {{1, 16, 1, 1}, {6, 24, 2, 2},  {6, 32, 3, 2}, {6, 64, 4, 2},
                  {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}};
    network n;
    int32_t index = 1;
    BUR_TRY(start(&n, recipe, input, options));
    BUR_TRY(add_numbered(&n, "features.0.",
                         convolution(divisible(&n, 32), 3, options->small_stem ? 1 : 2),
                         BUR_RELU6));
    for (size_t s = 0; s < sizeof stages / sizeof *stages; s++)
        for (int32_t i = 0; i < stages[s].repeats; i++)
            BUR_TRY(add_inverted(&n, index++, divisible(&n, stages[s].channels),
                                 stages[s].expansion, i == 0 ? stages[s].stride : 1));
    const bool wider = options->width > 1;
    BUR_TRY(add_numbered(&n, "features.18.", convolution(wider ? divisible(&n, 1280) : 1280, 1, 1),
                         BUR_RELU6));
    return add_head(&n, dropout_or(options, 0.2F), "classifier.1");
}

/* ---- EfficientNet ---- */

/* Squeeze and excite (Hu, Shen and Sun, 2018): each channel by a factor that its mean and those of
 * the others tell. */
static bur_status add_squeeze_excite(network *n, const char *prefix, int32_t squeezed)
{
    const bur_ref input = n->value;
    bur_layer pool = bur_global_average_pooling2d();
    pool.keep_dims = true;
    bur_layer fc1 = convolution(squeezed, 1, 1), fc2 = convolution(channels_of(n), 1, 1);
    fc1.no_bias = fc2.no_bias = false;
    fc1.activation = BUR_SILU;
    fc2.activation = BUR_SIGMOID;
    BUR_TRY(put(n, pool, "%savgpool", prefix));
    BUR_TRY(put(n, fc1, "%sfc1", prefix));
    BUR_TRY(put(n, fc2, "%sfc2", prefix));
    const bur_ref factor = n->value;
    n->value = input;
    return join(n, bur_multiply(BUR_LINEAR), factor, prefix, "scale");
}

typedef struct mbconv {
    int32_t expansion, kernel, stride, channels;
    float dropped; /* share of samples whose branch is dropped */
} mbconv;

/* MobileNetV2's block with squeeze and excite, and stochastic depth beside the shortcut. */
static bur_status add_mbconv(network *n, const char *block, const mbconv *m)
{
    char prefix[48];
    int32_t at = 0;
    const bur_ref input = n->value;
    const int32_t before = channels_of(n), squeezed = before / 4;
    if (m->expansion > 1) {
        snprintf(prefix, sizeof prefix, "%sblock.%d.", block, (int)at++);
        BUR_TRY(add_numbered(n, prefix, convolution(before * m->expansion, 1, 1), BUR_SILU));
    }
    snprintf(prefix, sizeof prefix, "%sblock.%d.", block, (int)at++);
    BUR_TRY(add_numbered(n, prefix, depthwise(m->kernel, m->stride), BUR_SILU));
    snprintf(prefix, sizeof prefix, "%sblock.%d.", block, (int)at++);
    BUR_TRY(add_squeeze_excite(n, prefix, squeezed < 1 ? 1 : squeezed));
    snprintf(prefix, sizeof prefix, "%sblock.%d.", block, (int)at);
    BUR_TRY(add_numbered(n, prefix, convolution(m->channels, 1, 1), BUR_LINEAR));
    if (m->stride != 1 || before != m->channels)
        return BUR_OK;
    if (m->dropped > 0 && !n->options->no_dropout)
        BUR_TRY(put(n, bur_stochastic_depth(m->dropped), "%sstochastic_depth", block));
    return join(n, bur_add(BUR_LINEAR), input, block, "add");
}

bur_status bur__zoo_efficientnet_b0(bur_recipe *recipe, bur_ref input,
                                    const bur_zoo_options *options)
{
    enum { STAGES = 7, BLOCKS = 16 };
    static const struct {
        int32_t expansion, kernel, stride, channels, repeats;
    } stages[STAGES] = {{1, 3, 1, 16, 1},  {6, 3, 2, 24, 2},  {6, 5, 2, 40, 2}, {6, 3, 2, 80, 3},
                        {6, 5, 1, 112, 3}, {6, 5, 2, 192, 4}, {6, 3, 1, 320, 1}};
    network n;
    char block[32];
    int32_t count = 0;
    BUR_TRY(start(&n, recipe, input, options));
    BUR_TRY(add_numbered(&n, "features.0.",
                         convolution(divisible(&n, 32), 3, options->small_stem ? 1 : 2), BUR_SILU));
    for (int32_t s = 0; s < STAGES; s++)
        for (int32_t i = 0; i < stages[s].repeats; i++) {
            const mbconv m = {stages[s].expansion, stages[s].kernel, i == 0 ? stages[s].stride : 1,
                              divisible(&n, stages[s].channels), 0.2F * (float)count++ / BLOCKS};
            snprintf(block, sizeof block, "features.%d.%d.", (int)s + 1, (int)i);
            BUR_TRY(add_mbconv(&n, block, &m));
        }
    BUR_TRY(add_numbered(&n, "features.8.", convolution(4 * channels_of(&n), 1, 1), BUR_SILU));
    return add_head(&n, dropout_or(options, 0.2F), "classifier.1");
}
