/* Into how many parts a training batch is split for speed. */
#include "../graph/graph.h"
#include <burthen/plan.h>

enum { LEAST_PART = 16 }; /* samples: below, kernels have too little work */

/* Each part reads the weights and adds to the gradients anew: they must be small beside what a part
 * saves, which is about the cache it fills. */
enum { LEAST_ROOM_PER_PARAMETERS = 8 };

/* The part of the last level that a step may count on: other processors use it, too. */
static size_t cache_share_bytes(const bur_device_info *info)
{
    const uint64_t third = info->cache_bytes / 3, most = UINT64_C(12) << 20;
    return (size_t)(third < most ? third : most);
}

/* Whether parts can be faster at all: what can be told without planning. */
static bur_status may_split(bool *out, const bur_recipe *recipe, const bur_graph_options *options,
                            size_t room)
{
    bur_graph *graph = NULL;
    size_t parameters = 0;
    *out = false;
    for (int32_t i = 0; i < bur_recipe_parameter_count(recipe); i++)
        parameters += bur_desc_bytes(&bur_recipe_parameter_at(recipe, i)->desc);
    if (room == 0 || parameters > room / LEAST_ROOM_PER_PARAMETERS ||
        options->batch < 2 * LEAST_PART)
        return BUR_OK;
    BUR_TRY(bur_graph_create(&graph, recipe, options));
    *out = !bur_graph_needs_whole_batch(graph);
    bur_graph_destroy(graph);
    return BUR_OK;
}

static bur_status plan_part(size_t *arena_bytes, const bur_recipe *recipe,
                            const bur_graph_options *options, const bur_target *target,
                            const bur_target *fallback)
{
    bur_graph *graph = NULL;
    bur_plan *plan = NULL;
    BUR_TRY(bur_graph_create(&graph, recipe, options));
    const bur_status status = bur_plan_create(&plan, graph, target, fallback);
    if (status == BUR_OK)
        *arena_bytes = bur_plan_get_summary(plan)->arena_bytes;
    bur_plan_destroy(plan);
    bur_graph_destroy(graph);
    return status;
}

/* The next number of equal parts to look at: an arena of `bytes` at `parts` shrinks at most in
 * proportion, so that none between them fits. */
static int64_t next_parts(int64_t batch, int64_t parts, size_t bytes, size_t room)
{
    const int64_t least = (int64_t)((double)parts * (double)bytes / (double)room);
    int64_t next = least > parts ? least : parts + 1;
    while (next <= batch / LEAST_PART && batch % next != 0)
        next++;
    return next;
}

bur_status bur_plan_choose_parts(int64_t *out, const bur_recipe *recipe,
                                 const bur_graph_options *options, const bur_target *target,
                                 const bur_target *fallback)
{
    if (out == NULL || recipe == NULL || options == NULL || target == NULL)
        return bur_fail(BUR_E_ARG, "bur_plan_choose_parts: NULL argument");
    const size_t room = cache_share_bytes(target->info);
    bur_graph_options part = *options;
    bool may = false;
    BUR_TRY(may_split(&may, recipe, options, room));
    for (int64_t parts = 1; may && (parts == 1 || options->batch / parts >= LEAST_PART);) {
        size_t arena_bytes = 0;
        part.batch = options->batch / parts;
        part.accumulate = parts > 1;
        BUR_TRY(plan_part(&arena_bytes, recipe, &part, target, fallback));
        if (arena_bytes <= room) {
            *out = parts;
            return BUR_OK;
        }
        parts = next_parts(options->batch, parts, arena_bytes, room);
    }
    *out = 1;
    return BUR_OK;
}
