/* The memory of a run: regions in chunks, committed when they are made. */
#include "session.h"

#include <inttypes.h>
#include <string.h>

static size_t chunk_size(const bur_region_memory *region, int32_t chunk)
{
    if (region->chunk_bytes == 0)
        return region->total_bytes;
    const size_t before = (size_t)chunk * region->chunk_bytes, left = region->total_bytes - before;
    return left < region->chunk_bytes ? left : region->chunk_bytes;
}

/* Takes the pages of a buffer by writing to them: a lazy driver must answer for its memory now. On
 * the host a page that a control group does not have is a kill, not an error, so what is left is
 * read again before every slice: others may take memory after the plan was made. */
static bur_status commit(const bur_region_memory *region, bur_buffer *buffer, size_t bytes)
{
    enum { SLICE_BYTES = 64 << 20, LEAST_LEFT_BYTES = 8 << 20 };
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
    BUR_TRY(bur__buffer_create(&region->chunks[chunk], device, chunk_size(region, chunk)));
    BUR_TRY(commit(region, region->chunks[chunk], chunk_size(region, chunk)));
    return device->backend->sync(device->handle);
}

/* Makes the pieces of a region, unless it grows. */
static bur_status create_region(bur_region_memory *region, bur_context *context)
{
    if (region->total_bytes == 0)
        return BUR_OK;
    const size_t chunk = region->chunk_bytes == 0 ? region->total_bytes : region->chunk_bytes;
    const int32_t n = (int32_t)((region->total_bytes + chunk - 1) / chunk);
    region->chunks = bur_alloc_array(context, (size_t)n, sizeof *region->chunks);
    if (region->chunks == NULL)
        return BUR_E_NOMEM;
    region->n_chunks = n;
    for (int32_t i = 0; i < n && !region->grows; i++)
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
        bur__buffer_destroy(region->device, region->chunks[i], chunk_size(region, i));
    bur_free(context, region->chunks);
    region->chunks = NULL;
    region->n_chunks = 0;
}

/* How large the regions are that all these plans fit into. */
static void size_regions(bur_region_memory *regions, const bur_plan *const *plans, int32_t count)
{
    for (int32_t r = 0; r < BUR_REGION_COUNT; r++) {
        regions[r].total_bytes = 0;
        for (int32_t i = 0; i < count; i++) {
            if (plans[i]->region_bytes[r] > regions[r].total_bytes)
                regions[r].total_bytes = plans[i]->region_bytes[r];
            regions[r].chunk_bytes = plans[i]->chunk_bytes[r];
        }
    }
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
    size_regions(memory->regions, plans, count);
    for (int32_t r = 0; r < BUR_REGION_COUNT; r++) {
        memory->regions[r].device = device;
        memory->regions[r].grows = grows && r != BUR_REGION_HOST;
    }
    bur_status status = BUR_OK;
    if (memory->regions[BUR_REGION_HOST].total_bytes > 0)
        status = bur_device_open(&memory->regions[BUR_REGION_HOST].device, device->context, "cpu");
    for (int32_t r = 0; r < BUR_REGION_COUNT && status == BUR_OK; r++)
        status = create_region(&memory->regions[r], memory->context);
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
        const size_t a = chunk_size(to, i), b = chunk_size(from, i);
        if (from->chunks[i] == NULL)
            continue;
        if (to->chunks[i] == NULL)
            BUR_TRY(create_chunk(to, i));
        memcpy(backend->map(to->chunks[i]), backend->map(from->chunks[i]), a < b ? a : b);
    }
    return BUR_OK;
}

/* A persistent region of another size with what it held: plans of one recipe agree on the offsets,
 * and what only one of them has stands at the end. */
static bur_status resize_persistent(bur_region_memory *region, size_t bytes, bur_context *context)
{
    bur_region_memory other = {.device = region->device,
                               .grows = region->grows,
                               .chunk_bytes = region->chunk_bytes,
                               .total_bytes = bytes};
    if (bytes == region->total_bytes)
        return BUR_OK;
    bur_status status = create_region(&other, context);
    if (status == BUR_OK)
        status = copy_region(&other, region);
    if (status != BUR_OK) {
        destroy_region(&other, context);
        return status;
    }
    destroy_region(region, context);
    *region = other;
    return BUR_OK;
}

bur_status bur__memory_replan(bur_memory *memory, const bur_plan *const *plans, int32_t count)
{
    bur_region_memory sized[BUR_REGION_COUNT];
    bur_region_memory *const regions = memory->regions;
    memcpy(sized, regions, sizeof sized);
    size_regions(sized, plans, count);
    bool same_pieces = true;
    for (int32_t r = 0; r < BUR_REGION_COUNT; r++)
        same_pieces = same_pieces && sized[r].chunk_bytes == regions[r].chunk_bytes;
    if (memory->device->backend->map == NULL || sized[BUR_REGION_HOST].total_bytes > 0 ||
        !same_pieces)
        return bur_fail(BUR_E_UNSUPPORTED, "the memory of %s is not replaced while it is in use",
                        memory->device->info.name);
    /* The arena holds nothing between steps: it goes before anything comes. */
    destroy_region(&regions[BUR_REGION_ARENA], memory->context);
    BUR_TRY(resize_persistent(&regions[BUR_REGION_PERSISTENT],
                              sized[BUR_REGION_PERSISTENT].total_bytes, memory->context));
    regions[BUR_REGION_ARENA].total_bytes = sized[BUR_REGION_ARENA].total_bytes;
    return create_region(&regions[BUR_REGION_ARENA], memory->context);
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
