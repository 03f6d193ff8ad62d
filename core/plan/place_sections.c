/* Steps that a search need not tell apart. */
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
            p->sections[p->n_sections++] = (section){.step = t};
            came = false;
        }
    }
    for (int32_t i = 0; i < p->searched; i++) {
        item *it = &p->items[i];
        it->from = map[it->first];
        it->to = map[it->last];
    }
    for (int32_t i = p->searched; i < p->count; i++) {
        const item *it = &p->items[i];
        for (int32_t s = map[it->first] < 0 ? 0 : map[it->first]; s <= map[it->last]; s++)
            if (it->first <= p->sections[s].step && p->sections[s].step <= it->last)
                p->sections[s].other_bytes += it->bytes;
    }
}
