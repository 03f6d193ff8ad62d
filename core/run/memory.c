/* The memory of a run: regions in chunks, committed when they are made. */
#include "session.h"

#include <string.h>

static size_t chunk_size(const bur_region_memory *region, int32_t chunk)
{
    if (region->chunk_bytes == 0)
        return region->total_bytes;
    const size_t before = (size_t)chunk * region->chunk_bytes, left = region->total_bytes - before;
    return left < region->chunk_bytes ? left : region->chunk_bytes;
}

/* Makes and fills the chunks of a region; a lazy driver must answer for the memory now. */
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
    for (int32_t i = 0; i < n; i++) {
        BUR_TRY(bur__buffer_create(&region->chunks[i], region->device, chunk_size(region, i)));
        BUR_TRY(region->device->backend->fill(region->chunks[i], 0, 0, chunk_size(region, i)));
    }
    return region->device->backend->sync(region->device->handle);
}

bur_status bur_memory_create(bur_memory **out, bur_device *device, const bur_plan *const *plans,
                             int32_t count)
{
    if (out == NULL || device == NULL || plans == NULL || count < 1)
        return bur_fail(BUR_E_ARG, "bur_memory_create: no plan or NULL argument");
    bur_memory *memory = bur_alloc(device->context, sizeof *memory);
    if (memory == NULL)
        return BUR_E_NOMEM;
    memory->context = device->context;
    memory->device = device;
    for (int32_t r = 0; r < BUR_REGION_COUNT; r++) {
        memory->regions[r].device = device;
        for (int32_t i = 0; i < count; i++) {
            if (plans[i]->region_bytes[r] > memory->regions[r].total_bytes)
                memory->regions[r].total_bytes = plans[i]->region_bytes[r];
            memory->regions[r].chunk_bytes = plans[i]->chunk_bytes[r];
        }
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

void bur_memory_destroy(bur_memory *memory)
{
    if (memory == NULL)
        return;
    for (int32_t r = 0; r < BUR_REGION_COUNT; r++) {
        bur_region_memory *region = &memory->regions[r];
        for (int32_t i = 0; i < region->n_chunks; i++)
            bur__buffer_destroy(region->device, region->chunks[i], chunk_size(region, i));
        bur_free(memory->context, region->chunks);
    }
    bur_free(memory->context, memory);
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
