/* The memory of a run: regions in chunks, committed when they are made. */
#include "session.h"

#include <inttypes.h>
#include <string.h>

/* Takes the pages of a buffer by writing to them: a lazy driver must answer for its memory now. On
 * the host a page that a control group does not have is a kill, not an error, so what is left is
 * read again before every slice: others may take memory after the plan was made. */
static bur_status commit(const bur_region_memory *region, bur_buffer *buffer, size_t bytes)
{
    enum { SLICE_BYTES = 64 << 20, LEAST_LEFT_BYTES = 1 << 20 };
    bur_host_memory host = {0};
    for (size_t at = 0, slice = 0; at < bytes; at += slice) {
        slice = bytes - at < SLICE_BYTES ? bytes - at : SLICE_BYTES;
        if (region->device->info.unified && bur_host_memory_read(&host) == BUR_OK &&
            host.available_bytes < slice + LEAST_LEFT_BYTES)
            return bur_fail(BUR_E_BUDGET,
                            "of %zu bytes that the plan takes from the host %zu are still to come, "
                            "and %" PRIu64 " are left there",
                            bytes, bytes - at, host.available_bytes);
        BUR_TRY(region->device->backend->fill(buffer, at, 0, slice));
    }
    return BUR_OK;
}

/* Makes and commits one piece of a region. */
static bur_status create_chunk(const bur_region_memory *region, int32_t chunk)
{
    bur_device *device = region->device;
    BUR_TRY(bur__buffer_create(&region->chunks[chunk], device, region->sizes[chunk]));
    BUR_TRY(commit(region, region->chunks[chunk], region->sizes[chunk]));
    return device->backend->sync(device->handle);
}

/* A region that all these plans fit into, with none of its chunks made yet. */
static bur_status size_region(bur_region_memory *region, bur_context *context,
                              const bur_plan *const *plans, int32_t count, bur_region which)
{
    const int32_t n = bur__plan_count_chunks(plans, count, which);
    region->chunk_bytes = plans[0]->chunk_bytes[which];
    if (n == 0)
        return BUR_OK;
    region->chunks = bur_alloc_array(context, (size_t)n, sizeof *region->chunks);
    region->sizes = bur_alloc_array(context, (size_t)n, sizeof *region->sizes);
    if (region->chunks == NULL || region->sizes == NULL)
        return BUR_E_NOMEM;
    region->n_chunks = n;
    for (int32_t i = 0; i < n; i++)
        region->sizes[i] = bur__plan_chunk_size(plans, count, which, i);
    return BUR_OK;
}

/* Makes the chunks of a region, unless it grows. */
static bur_status create_region(bur_region_memory *region)
{
    for (int32_t i = 0; i < region->n_chunks && !region->grows; i++)
        BUR_TRY(create_chunk(region, i));
    return BUR_OK;
}

bur_status bur__memory_need(bur_memory *memory, bur_region region, size_t offset)
{
    const bur_region_memory *r = &memory->regions[region];
    const int32_t chunk = r->chunk_bytes == 0 ? 0 : (int32_t)(offset / r->chunk_bytes);
    return r->chunks[chunk] != NULL ? BUR_OK : create_chunk(r, chunk);
}

static void destroy_region(bur_region_memory *region, bur_context *context)
{
    for (int32_t i = 0; i < region->n_chunks; i++)
        bur__buffer_destroy(region->device, region->chunks[i], region->sizes[i]);
    bur_free(context, region->chunks);
    bur_free(context, region->sizes);
    region->chunks = NULL;
    region->sizes = NULL;
    region->n_chunks = 0;
}

static bur_status create(bur_memory **out, bur_device *device, const bur_plan *const *plans,
                         int32_t count, bool grows)
{
    if (out == NULL || device == NULL || plans == NULL || count < 1)
        return bur_fail(BUR_E_ARG, "bur_memory_create: no plan or NULL argument");
    bur_memory *memory = bur_alloc(device->context, sizeof *memory);
    if (memory == NULL)
        return BUR_E_NOMEM;
    memory->context = device->context;
    memory->device = device;
    bur_status status = BUR_OK;
    for (int32_t r = 0; r < BUR_REGION_COUNT && status == BUR_OK; r++) {
        memory->regions[r].device = device;
        memory->regions[r].grows = grows && r != BUR_REGION_HOST;
        status = size_region(&memory->regions[r], memory->context, plans, count, (bur_region)r);
    }
    if (status == BUR_OK && memory->regions[BUR_REGION_HOST].n_chunks > 0)
        status = bur_device_open(&memory->regions[BUR_REGION_HOST].device, device->context, "cpu");
    for (int32_t r = 0; r < BUR_REGION_COUNT && status == BUR_OK; r++)
        status = create_region(&memory->regions[r]);
    if (status != BUR_OK) {
        bur_memory_destroy(memory);
        return status;
    }
    *out = memory;
    return BUR_OK;
}

bur_status bur_memory_create(bur_memory **out, bur_device *device, const bur_plan *const *plans,
                             int32_t count)
{
    return create(out, device, plans, count, false);
}

bur_status bur_memory_create_growing(bur_memory **out, bur_device *device,
                                     const bur_plan *const *plans, int32_t count)
{
    return create(out, device, plans, count, true);
}

void bur_memory_destroy(bur_memory *memory)
{
    if (memory == NULL)
        return;
    for (int32_t r = 0; r < BUR_REGION_COUNT; r++)
        destroy_region(&memory->regions[r], memory->context);
    bur_free(memory->context, memory);
}

/* What both regions have, chunk by chunk; both lie in mapped memory. */
static bur_status copy_region(const bur_region_memory *to, const bur_region_memory *from)
{
    const bur_backend *backend = to->device->backend;
    for (int32_t i = 0; i < to->n_chunks && i < from->n_chunks; i++) {
        const size_t a = to->sizes[i], b = from->sizes[i];
        if (from->chunks[i] == NULL)
            continue;
        if (to->chunks[i] == NULL)
            BUR_TRY(create_chunk(to, i));
        memcpy(backend->map(to->chunks[i]), backend->map(from->chunks[i]), a < b ? a : b);
    }
    return BUR_OK;
}

static bool same_sizes(const bur_region_memory *a, const bur_region_memory *b)
{
    return a->n_chunks == b->n_chunks &&
           (a->n_chunks == 0 ||
            memcmp(a->sizes, b->sizes, (size_t)a->n_chunks * sizeof *a->sizes) == 0);
}

/* Makes `sized`, of another size, with what the persistent region holds, and puts it into its
 * place: plans of one recipe agree on the offsets, and what only one of them has stands at the
 * end. */
static bur_status replace_persistent(bur_region_memory *region, bur_region_memory *sized)
{
    if (same_sizes(region, sized))
        return BUR_OK;
    BUR_TRY(create_region(sized));
    BUR_TRY(copy_region(sized, region));
    const bur_region_memory old = *region;
    *region = *sized;
    *sized = old;
    return BUR_OK;
}

/* The arena holds nothing between steps: it goes before anything comes. */
static bur_status replace(bur_memory *memory, bur_region_memory *sized)
{
    bur_region_memory *const regions = memory->regions;
    destroy_region(&regions[BUR_REGION_ARENA], memory->context);
    BUR_TRY(replace_persistent(&regions[BUR_REGION_PERSISTENT], &sized[BUR_REGION_PERSISTENT]));
    destroy_region(&sized[BUR_REGION_PERSISTENT], memory->context);
    regions[BUR_REGION_ARENA] = sized[BUR_REGION_ARENA];
    sized[BUR_REGION_ARENA] = (bur_region_memory){.device = memory->device};
    return create_region(&regions[BUR_REGION_ARENA]);
}

void bur__memory_give_back(bur_memory *memory)
{
    destroy_region(&memory->regions[BUR_REGION_ARENA], memory->context);
}

bur_status bur__memory_replan(bur_memory *memory, const bur_plan *const *plans, int32_t count)
{
    bur_region_memory sized[BUR_REGION_COUNT] = {0};
    bur_status status = BUR_OK;
    bool same_pieces = true;
    for (int32_t r = 0; r < BUR_REGION_COUNT && status == BUR_OK; r++) {
        sized[r].device = memory->regions[r].device;
        sized[r].grows = memory->regions[r].grows;
        status = size_region(&sized[r], memory->context, plans, count, (bur_region)r);
        same_pieces = same_pieces && sized[r].chunk_bytes == memory->regions[r].chunk_bytes;
    }
    if (status == BUR_OK && (memory->device->backend->map == NULL ||
                             sized[BUR_REGION_HOST].n_chunks > 0 || !same_pieces))
        status = bur_fail(BUR_E_UNSUPPORTED, "the memory of %s is not replaced while it is in use",
                          memory->device->info.name);
    if (status == BUR_OK)
        status = replace(memory, sized);
    for (int32_t r = 0; r < BUR_REGION_COUNT; r++)
        destroy_region(&sized[r], memory->context);
    return status;
}

bur_place bur__session_place(const bur_session *session, int32_t buffer)
{
    const bur_plan_buffer *b = &session->plan->buffers[buffer];
    const bur_region_memory *region = &session->memory->regions[b->region];
    if (region->chunk_bytes == 0)
        return (bur_place){region->chunks[0], b->offset};
    return (bur_place){region->chunks[b->offset / region->chunk_bytes],
                       b->offset % region->chunk_bytes};
}
