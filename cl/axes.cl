/* Reductions over a set of axes in two steps, without barriers or atomics: a work-item reduces one
 * chunk of the elements of one result, then one a result takes the chunks together in order.
 * MAXIMUM is defined for maxima, INDEX if their positions are wanted. */

/* A NaN is greater than every number and not than another NaN. */
inline bool is_greater(float a, float b)
{
    return a > b || (isnan(a) && !isnan(b));
}

kernel void reduce_chunks(global const float *x, ulong x_at, global float *partial,
                          ulong partial_at,
#ifdef MAXIMUM
                          global int *position, ulong position_at,
#endif
                          int outputs, int terms, int chunk_terms, int chunks, constant walk *kept,
                          constant walk *reduced)
{
    const int id = get_global_id(0), chunk = id / outputs, output = id % outputs;
    if (chunk >= chunks)
        return;
    const int first = chunk * chunk_terms, last = min(first + chunk_terms, terms);
    const int inner = reduced->size[reduced->rank - 1], step = reduced->stride[1][reduced->rank - 1];
    global const float *in = x + x_at + walk_at(kept, 1, output);
#ifdef MAXIMUM
    float value = -INFINITY;
    int best = first;
#else
    float value = 0.0f;
#endif
    for (int i = first; i < last;) {
        const int end = min(last, i - i % inner + inner); /* of this row */
        for (int at = walk_at(reduced, 1, i); i < end; i++, at += step) {
#ifdef MAXIMUM
            if (is_greater(in[at], value)) {
                value = in[at];
                best = i;
            }
#else
            value += in[at];
#endif
        }
    }
    partial[partial_at + id] = value;
#ifdef MAXIMUM
    position[position_at + id] = best;
#endif
}

/* y = scale times the sum of the chunks, or the first greatest of them. */
kernel void reduce_together(global const float *partial, ulong partial_at,
#ifdef MAXIMUM
                            global const int *position, ulong position_at,
#endif
                            global float *y, ulong y_at,
#ifdef INDEX
                            global int *index, ulong index_at,
#endif
                            int outputs, int chunks, float scale)
{
    const int i = get_global_id(0);
    if (i >= outputs)
        return;
    float value = partial[partial_at + i];
    int best = i;
    for (int at = i + outputs; at < chunks * outputs; at += outputs) {
#ifdef MAXIMUM
        if (is_greater(partial[partial_at + at], value)) {
            value = partial[partial_at + at];
            best = at;
        }
#else
        value += partial[partial_at + at];
#endif
    }
    y[y_at + i] = value * scale;
#ifdef INDEX
    index[index_at + i] = position[position_at + best];
#endif
}

/* dx is dy where the index names the place, else 0. Operand 3 is that place. */
kernel void reduce_max_grad(global const float *dy, ulong dy_at, global const int *index,
                            ulong index_at, global float *dx, ulong dx_at, int count, constant walk *w)
{
    const int i = get_global_id(0);
    if (i >= count)
        return;
    const bool here = index[index_at + walk_at(w, 2, i)] == walk_at(w, 3, i);
    dx[dx_at + i] = here ? dy[dy_at + walk_at(w, 1, i)] : 0.0f;
}
