#define _POSIX_C_SOURCE 200809L /* pthread_sigmask */
/* The loader: threads gather batches ahead into a ring of slots, the caller takes them in order; or
 * there are no threads, one slot, and the caller gathers.
 *
 * One mutex guards the counters below. A thread takes the next ticket (a batch's number within the
 * epoch), gathers without the lock, and marks the slot ready. A slot is free again when the caller
 * asks for the batch after the one it held. What a batch holds is fixed by the epoch's permutation
 * and its number, so threads and timing cannot change it. */
#include <burthen/data.h>
#include "../base/size.h"
#include "stream.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

enum { DEFAULT_DEPTH = 2, MAX_DEPTH = 1024, MAX_THREADS = 256, ALIGNMENT = 64 };

typedef struct slot {
    float *x;
    void *target;
    int64_t ready; /* the batch it holds; -1: none */
} slot;

struct bur_loader {
    bur_context *context;
    const bur_dataset *dataset;
    bur_loader_options options; /* with defaults filled in */
    int64_t count, batches;     /* samples, and batches of an epoch */
    int64_t *order;             /* [count] the epoch's permutation */
    slot *slots;
    int64_t slot_count;
    pthread_t *threads;
    int32_t running; /* threads that were started */

    pthread_mutex_t mutex;
    pthread_cond_t work;  /* a ticket may be taken, or stop */
    pthread_cond_t ready; /* a batch is ready, or a thread has come to rest */
    bool started, stop;
    int32_t busy;        /* threads that are gathering */
    int64_t next_ticket; /* the next batch to be prepared */
    int64_t released;    /* batches whose slot the caller has given back */
    int64_t next_out;    /* the next batch for the caller */
    int64_t wait_ns;
};

/* Everything a loader takes is one block: where its parts lie, and how long it is. */
typedef struct layout {
    int64_t batch, slot_count;
    size_t threads, slots, order, x, x_slot_bytes, target, target_slot_bytes;
    size_t bytes; /* SIZE_MAX on overflow */
} layout;

/* Appends count elements to the block; gives their offset. */
static size_t append(layout *l, int64_t count, size_t element_bytes)
{
    const size_t offset = l->bytes;
    size_t bytes;
    if (offset == SIZE_MAX || !bur_size_multiply(&bytes, (size_t)count, element_bytes) ||
        !bur_size_add(&bytes, bytes, offset) || bytes > PTRDIFF_MAX)
        l->bytes = SIZE_MAX;
    else
        l->bytes = bur_size_align(bytes, ALIGNMENT);
    return offset;
}

static bur_loader_options with_defaults(const bur_loader_options *options)
{
    bur_loader_options o = *options;
    o.depth = o.depth == 0 ? DEFAULT_DEPTH : o.depth;
    if (o.threads == 0 && o.depth > 0)
        o.depth = 0; /* nobody gathers ahead */
    return o;
}

static bur_status check_options(const bur_loader_options *o)
{
    if (o->batch < 1)
        return bur_fail(BUR_E_ARG, "batches of %" PRId64 " samples; at least 1 is needed",
                        o->batch);
    if (o->depth < 0 || o->depth > MAX_DEPTH)
        return bur_fail(BUR_E_ARG, "%" PRId32 " batches ahead; 0 to %d are possible", o->depth,
                        MAX_DEPTH);
    if (o->threads < 0 || o->threads > MAX_THREADS)
        return bur_fail(BUR_E_ARG, "%" PRId32 " loader threads; 0 to %d are possible", o->threads,
                        MAX_THREADS);
    return BUR_OK;
}

/* `o` was checked. One slot more than the depth: the caller holds a batch while `depth` are
 * prepared. */
static layout make_layout(const bur_dataset_info *info, const bur_loader_options *o)
{
    layout l = {.batch = o->batch < info->count ? o->batch : info->count};
    const int64_t batches = (info->count - 1) / l.batch + 1;
    l.slot_count = o->depth + 1 < batches ? o->depth + 1 : batches;
    int64_t x_count = 0;
    if (bur_shape_count(&x_count, &info->sample) != BUR_OK)
        l.bytes = SIZE_MAX;

    append(&l, 1, sizeof(bur_loader));
    l.threads = append(&l, o->threads, sizeof(pthread_t));
    l.slots = append(&l, l.slot_count, sizeof(slot));
    l.order = append(&l, info->count, sizeof(int64_t));
    layout one = {0};
    append(&one, l.batch, sizeof(float) * (size_t)x_count);
    l.x_slot_bytes = one.bytes;
    l.x = append(&l, l.slot_count, l.x_slot_bytes);
    one.bytes = 0;
    append(&one, l.batch, bur_dataset_target_bytes(info));
    l.target_slot_bytes = one.bytes;
    l.target = append(&l, l.slot_count, l.target_slot_bytes);
    return l;
}

size_t bur_loader_bytes(const bur_dataset_info *info, const bur_loader_options *options)
{
    const bur_loader_options o = with_defaults(options);
    if (info->count < 1 || check_options(&o) != BUR_OK)
        return 0;
    return make_layout(info, &o).bytes;
}

/* Gathers batch `ticket` into its slot. */
static void gather(bur_loader *loader, int64_t ticket)
{
    const slot *s = &loader->slots[ticket % loader->slot_count];
    const int64_t first = ticket * loader->options.batch;
    const int64_t left = loader->count - first;
    const int64_t n = left < loader->options.batch ? left : loader->options.batch;
    bur_dataset_gather(loader->dataset, loader->order + first, n, s->x, s->target);
}

static void *prepare(void *argument)
{
    bur_loader *loader = argument;
    pthread_mutex_lock(&loader->mutex);
    while (!loader->stop) {
        const int64_t ticket = loader->next_ticket;
        if (ticket >= loader->batches || ticket >= loader->released + loader->slot_count) {
            pthread_cond_wait(&loader->work, &loader->mutex);
            continue;
        }
        loader->next_ticket++;
        loader->busy++;
        pthread_mutex_unlock(&loader->mutex);
        gather(loader, ticket);
        pthread_mutex_lock(&loader->mutex);
        loader->slots[ticket % loader->slot_count].ready = ticket;
        loader->busy--;
        pthread_cond_broadcast(&loader->ready);
    }
    pthread_mutex_unlock(&loader->mutex);
    return NULL;
}

/* The loader's threads take no signals: those are the program's. */
static bur_status start_threads(bur_loader *loader)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = 0;
    while (loader->running < loader->options.threads && error == 0) {
        error = pthread_create(&loader->threads[loader->running], NULL, prepare, loader);
        loader->running += error == 0;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return bur_fail(BUR_E_NOMEM, "cannot start loader thread %" PRId32 " of %" PRId32 ": %s",
                        loader->running + 1, loader->options.threads, strerror(error));
    return BUR_OK;
}

bur_status bur_loader_create(bur_loader **out, bur_context *context, const bur_dataset *dataset,
                             const bur_loader_options *options)
{
    if (out == NULL || context == NULL || dataset == NULL || options == NULL)
        return bur_fail(BUR_E_ARG, "bur_loader_create: NULL argument");
    bur_loader_options o = with_defaults(options);
    BUR_TRY(check_options(&o));
    const bur_dataset_info *info = bur_dataset_describe(dataset);
    const layout l = make_layout(info, &o);
    if (l.bytes == SIZE_MAX)
        return bur_fail(BUR_E_RANGE, "%d batches of %" PRId64 " samples are more than 2^63 bytes",
                        (int)l.slot_count, l.batch);
    if (info->count > UINT32_MAX)
        return bur_fail(BUR_E_RANGE, "%" PRId64 " samples; at most 2^32 - 1 can be shuffled",
                        info->count);
    char *block = bur_alloc(context, l.bytes);
    if (block == NULL)
        return BUR_E_NOMEM;

    bur_loader *loader = (bur_loader *)(void *)block;
    o.batch = l.batch;
    *loader = (bur_loader){.context = context,
                           .dataset = dataset,
                           .options = o,
                           .count = info->count,
                           .batches = (info->count - 1) / l.batch + 1,
                           .order = (int64_t *)(void *)(block + l.order),
                           .slots = (slot *)(void *)(block + l.slots),
                           .slot_count = l.slot_count,
                           .threads = (pthread_t *)(void *)(block + l.threads)};
    loader->next_ticket = loader->batches; /* nothing to do before the first start */
    for (int64_t i = 0; i < l.slot_count; i++)
        loader->slots[i] = (slot){(float *)(void *)(block + l.x + (size_t)i * l.x_slot_bytes),
                                  block + l.target + (size_t)i * l.target_slot_bytes, -1};
    pthread_mutex_init(&loader->mutex, NULL);
    pthread_cond_init(&loader->work, NULL);
    pthread_cond_init(&loader->ready, NULL);

    const bur_status status = start_threads(loader);
    if (status != BUR_OK)
        bur_loader_destroy(loader);
    else
        *out = loader;
    return status;
}

void bur_loader_destroy(bur_loader *loader)
{
    if (loader == NULL)
        return;
    pthread_mutex_lock(&loader->mutex);
    loader->stop = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
    for (int32_t i = 0; i < loader->running; i++)
        pthread_join(loader->threads[i], NULL);
    pthread_cond_destroy(&loader->ready);
    pthread_cond_destroy(&loader->work);
    pthread_mutex_destroy(&loader->mutex);
    bur_free(loader->context, loader);
}

/* The epoch's order: the identity, or by Fisher and Yates a permutation that depends on seed and
 * epoch. Source: Durstenfeld, "Algorithm 235: random permutation", CACM 1964. */
static void make_order(bur_loader *loader, int64_t epoch)
{
    int64_t *order = loader->order;
    for (int64_t i = 0; i < loader->count; i++)
        order[i] = i;
    if (!loader->options.shuffle)
        return;
    bur__stream stream =
        bur__stream_make(loader->options.seed, BUR__STREAM_SHUFFLE, (uint64_t)epoch);
    for (int64_t i = loader->count - 1; i > 0; i--) {
        const int64_t j = bur__stream_below(&stream, (uint32_t)(i + 1));
        const int64_t row = order[i];
        order[i] = order[j];
        order[j] = row;
    }
}

bur_status bur_loader_start(bur_loader *loader, int64_t epoch)
{
    if (loader == NULL)
        return bur_fail(BUR_E_ARG, "bur_loader_start: NULL argument");
    pthread_mutex_lock(&loader->mutex);
    loader->next_ticket = loader->batches; /* no new batches of the old epoch */
    while (loader->busy > 0)
        pthread_cond_wait(&loader->ready, &loader->mutex);
    make_order(loader, epoch);
    for (int64_t i = 0; i < loader->slot_count; i++)
        loader->slots[i].ready = -1;
    loader->next_ticket = loader->next_out = loader->released = 0;
    loader->wait_ns = 0;
    loader->started = true;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->mutex);
    return BUR_OK;
}

/* Until the batch is in its slot; without threads that is the caller's work. */
static void wait_for(bur_loader *loader, int64_t batch)
{
    slot *s = &loader->slots[batch % loader->slot_count];
    const int64_t begin_ns = bur_time_ns();
    if (loader->options.threads == 0) {
        gather(loader, batch);
        s->ready = batch;
    }
    while (s->ready != batch)
        pthread_cond_wait(&loader->ready, &loader->mutex);
    loader->wait_ns += bur_time_ns() - begin_ns;
}

bur_status bur_loader_next(bur_loader *loader, bur_batch *out)
{
    if (loader == NULL || out == NULL)
        return bur_fail(BUR_E_ARG, "bur_loader_next: NULL argument");
    pthread_mutex_lock(&loader->mutex);
    if (!loader->started) {
        pthread_mutex_unlock(&loader->mutex);
        return bur_fail(BUR_E_STATE, "bur_loader_next before bur_loader_start");
    }
    if (loader->released < loader->next_out) {
        loader->released = loader->next_out;
        pthread_cond_signal(&loader->work);
    }
    *out = (bur_batch){NULL, NULL, 0};
    const int64_t batch = loader->next_out;
    if (batch < loader->batches) {
        const slot *s = &loader->slots[batch % loader->slot_count];
        if (s->ready != batch)
            wait_for(loader, batch);
        const int64_t left = loader->count - batch * loader->options.batch;
        *out = (bur_batch){s->x, s->target,
                           left < loader->options.batch ? left : loader->options.batch};
        loader->next_out++;
    }
    pthread_mutex_unlock(&loader->mutex);
    return BUR_OK;
}

int64_t bur_loader_wait_ns(const bur_loader *loader)
{
    return loader->wait_ns;
}
