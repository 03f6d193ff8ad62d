/* Placement from the ground up: the lowest stretch of the skyline takes the first buffer in the
 * order that lives within its time, or is raised to its lower neighbour if none does. */
#include "place_search.h"

#include <string.h>

/* A section ends where a buffer goes after one came: what is live then holds all that is live in
 * the steps before, back to the last such end. */
void bur__place_sections(placer *p)
{
    enum { COMES = 1, GOES = 2 };
    int32_t *map = p->section_of;
    memset(map, 0, (size_t)p->steps * sizeof *map);
    for (int32_t i = 0; i < p->searched; i++) {
        map[p->items[i].first] |= COMES;
        map[p->items[i].last] |= GOES;
    }
    bool came = false;
    p->n_sections = 0;
    for (int32_t t = 0; t < p->steps; t++) {
        const int32_t mark = map[t];
        came |= (mark & COMES) != 0;
        map[t] = came ? p->n_sections : p->n_sections - 1;
        if (came && (mark & GOES) != 0) {
            p->sections[p->n_sections++].live_bytes = 0;
            came = false;
        }
    }
    for (int32_t i = 0; i < p->searched; i++) {
        item *it = &p->items[i];
        it->from = map[it->first];
        it->to = map[it->last];
        for (int32_t s = it->from; s <= it->to; s++)
            p->sections[s].live_bytes += it->bytes;
    }
}

/* The leftmost lowest stretch [*from, *to] of equal height. What is complete is infinitely high. */
static void lowest_stretch(placer *p, int32_t *from, int32_t *to)
{
    const section *sections = p->sections;
    int32_t lowest = 0, end = 0;
    for (int32_t s = 1; s < p->n_sections; s++)
        if (sections[s].height < sections[lowest].height)
            lowest = s;
    for (end = lowest; end + 1 < p->n_sections; end++)
        if (sections[end + 1].height != sections[lowest].height)
            break;
    *from = lowest;
    *to = end;
    p->work += p->n_sections / 4;
}

/* The first waiting buffer that lives within the stretch; `waiting` if none does. */
static int32_t first_within(placer *p, int32_t waiting, int32_t from, int32_t to)
{
    int32_t i = 0;
    while (i < waiting && (p->waiting[i]->from < from || p->waiting[i]->to > to))
        i++;
    p->work += i;
    return i;
}

/* Raises the stretch to its lower neighbour; false if what waits there will end above `most`. */
static bool raise(placer *p, int32_t from, int32_t to, size_t most)
{
    section *sections = p->sections;
    const size_t left = from > 0 ? sections[from - 1].height : SIZE_MAX;
    const size_t right = to + 1 < p->n_sections ? sections[to + 1].height : SIZE_MAX;
    const size_t height = left < right ? left : right;
    for (int32_t s = from; s <= to; s++) {
        if (height > most || sections[s].rest_bytes > most - height)
            return false;
        sections[s].height = height;
    }
    return true;
}

/* Sets `it` down at its offset; false if what waits above it will end above `most`. */
static bool set_down(placer *p, const item *it, size_t most)
{
    const size_t top = it->offset + it->bytes;
    for (int32_t s = it->from; s <= it->to; s++) {
        section *at = &p->sections[s];
        at->rest_bytes -= it->bytes;
        if (top > most || at->rest_bytes > most - top)
            return false;
        at->height = at->rest_bytes > 0 ? top : SIZE_MAX;
    }
    return true;
}

size_t bur__place_skyline(placer *p, size_t most)
{
    size_t total = 0;
    for (int32_t s = 0; s < p->n_sections; s++) {
        section *at = &p->sections[s];
        at->rest_bytes = at->live_bytes;
        at->height = at->rest_bytes > 0 ? 0 : SIZE_MAX;
    }
    memcpy(p->waiting, p->order, (size_t)p->searched * sizeof(item *));
    for (int32_t waiting = p->searched; waiting > 0;) {
        int32_t from = 0, to = 0;
        lowest_stretch(p, &from, &to);
        const int32_t next = first_within(p, waiting, from, to);
        if (next == waiting) {
            if (!raise(p, from, to, most))
                return SIZE_MAX;
            continue;
        }
        item *it = p->waiting[next];
        waiting--;
        memmove(p->waiting + next, p->waiting + next + 1,
                (size_t)(waiting - next) * sizeof(item *));
        it->offset = bur__place_fit_chunk(p->sections[from].height, it->bytes, p->chunk_bytes);
        if (!set_down(p, it, most))
            return SIZE_MAX;
        if (it->offset + it->bytes > total)
            total = it->offset + it->bytes;
    }
    return total;
}
