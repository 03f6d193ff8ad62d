/* Rows that move elements. -D constants: T and FROM, the types of elements written and read. */

kernel void copy(global const T *x, ulong x_at, global T *y, ulong y_at, int count, constant walk *w)
{
    const int i = get_global_id(0);
    if (i < count)
        y[y_at + walk_at(w, 0, i)] = x[x_at + walk_at(w, 1, i)];
}

kernel void fill(global T *y, ulong y_at, int count, float value)
{
    const int i = get_global_id(0);
    if (i < count)
        y[y_at + i] = (T)value;
}

kernel void where(global const uchar *mask, ulong mask_at, global const float *a, ulong a_at,
                  global const float *b, ulong b_at, global float *y, ulong y_at, int count,
                  int invert, int both, constant walk *w)
{
    const int i = get_global_id(0);
    if (i >= count)
        return;
    const bool set = mask[mask_at + walk_at(w, 1, i)] != 0;
    if (set != (invert != 0))
        y[y_at + i] = a[a_at + walk_at(w, 2, i)];
    else
        y[y_at + i] = both ? b[b_at + walk_at(w, 3, i)] : 0.0f;
}

#ifdef CONVERT
kernel void cast(global const FROM *x, ulong x_at, global T *y, ulong y_at, int count)
{
    const int i = get_global_id(0);
    if (i >= count)
        return;
    const FROM value = x[x_at + i];
    y[y_at + i] = value == value ? CONVERT(value) : (T)0;
}
#endif

/* ---- embedding: a table [rows, n] ---- */

kernel void embedding(global const float *table, ulong table_at, global const int *ids,
                      ulong ids_at, global float *y, ulong y_at, int count, int rows, int n)
{
    const int i = get_global_id(0);
    if (i >= count)
        return;
    const int id = ids[ids_at + i / n];
    y[y_at + i] = id >= 0 && id < rows ? table[table_at + (ulong)id * n + i % n] : 0.0f;
}

/* The gradient without atomics: places with the same id form a chain in ascending order. head[i] is
 * 1 if no place before i has its id; next[i] is the next place that has it, or `places`. */
kernel void embedding_link(global const int *ids, ulong ids_at, global int *next, ulong next_at,
                           global int *head, ulong head_at, int places)
{
    const int i = get_global_id(0);
    if (i >= places)
        return;
    global const int *id = ids + ids_at;
    int after = i + 1, before = i - 1;
    while (after < places && id[after] != id[i])
        after++;
    while (before >= 0 && id[before] != id[i])
        before--;
    next[next_at + i] = after;
    head[head_at + i] = before < 0;
}

/* A work-item adds up one column along one chain. */
kernel void embedding_sum(global const float *dy, ulong dy_at, global const int *ids, ulong ids_at,
                          global const int *next, ulong next_at, global const int *head,
                          ulong head_at, global float *table, ulong table_at, int places, int rows,
                          int n)
{
    const int place = get_global_id(0) / n, column = get_global_id(0) % n;
    if (place >= places || !head[head_at + place])
        return;
    const int id = ids[ids_at + place];
    if (id < 0 || id >= rows)
        return;
    float sum = 0.0f;
    for (int i = place; i < places; i = next[next_at + i])
        sum += dy[dy_at + (ulong)i * n + column];
    table[table_at + (ulong)id * n + column] = sum;
}
