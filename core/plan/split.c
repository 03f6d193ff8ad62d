/* Into how many parts a training batch is split for speed. */
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

static bur_status plan_part(bur_plan_summary *out, bool *whole, const bur_recipe *recipe,
                            const bur_graph_options *options, const bur_target *target,
                            const bur_target *fallback)
{
    bur_graph *graph = NULL;
    bur_plan *plan = NULL;
    BUR_TRY(bur_graph_create(&graph, recipe, options));
    *whole = bur_graph_needs_whole_batch(graph);
    const bur_status status = bur_plan_create(&plan, graph, target, fallback);
    if (status == BUR_OK)
        *out = *bur_plan_get_summary(plan);
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
    for (int64_t parts = 1; room > 0 && (parts == 1 || options->batch / parts >= LEAST_PART);) {
        bur_plan_summary summary = {0};
        bool whole = false;
        part.batch = options->batch / parts;
        part.accumulate = parts > 1;
        BUR_TRY(plan_part(&summary, &whole, recipe, &part, target, fallback));
        if (whole)
            break;
        if (summary.arena_bytes <= room) {
            *out = parts;
            return BUR_OK;
        }
        if (summary.bytes[BUR_BYTES_PARAMETERS] > room / LEAST_ROOM_PER_PARAMETERS)
            break;
        parts = next_parts(options->batch, parts, summary.arena_bytes, room);
    }
    *out = 1;
    return BUR_OK;
}
